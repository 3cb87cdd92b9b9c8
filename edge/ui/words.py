"""The words of the edge's console in both languages. Ring: rim."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from shared.ui.words import COMMON, LANGUAGES, TROUBLES, Words

__all__ = ["LANGUAGES", "catalogue", "has_words", "say", "words"]


@functools.cache  # the files are part of the package and do not change while it runs
def words() -> Words:
    """Give all texts."""
    return Words([COMMON, TROUBLES, Path(__file__).with_name("words.toml")])


@functools.cache  # as above
def settings_in_chinese() -> Mapping[str, str]:
    """Give what each setting means, by its description in English."""
    path = Path(__file__).with_name("settings_words.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def catalogue() -> Mapping[str, tuple[str, str]]:
    """Give every text as `section.key` → (English, Chinese)."""
    return words().texts


def has_words(key: str) -> bool:
    """Tell whether the catalogue knows a key."""
    return words().has(key)


def say(key: str, language: str, **values: object) -> Markup:
    """Say a text, see `Words.say`."""
    return words().say(key, language, **values)
