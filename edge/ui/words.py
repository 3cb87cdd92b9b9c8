"""The console's words in both languages, from one catalogue file. Ring: rim."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup, escape

_CATALOGUE = Path(__file__).with_name("words.toml")
LANGUAGES = ("en", "zh")


@functools.cache  # the file is part of the package and does not change while it runs
def catalogue() -> Mapping[str, tuple[str, str]]:
    """Give every text as `section.key` → (English, Chinese)."""
    sections = tomllib.loads(_CATALOGUE.read_text(encoding="utf-8"))
    return {
        f"{section}.{key}": (english, chinese)
        for section, texts in sections.items()
        for key, (english, chinese) in texts.items()
    }


def has_words(key: str) -> bool:
    """Tell whether the catalogue knows a key."""
    return key in catalogue()


def say(key: str, language: str, **values: object) -> Markup:
    """Say a text; values are escaped unless they are markup already.

    With `n=1` the text `<key>.one` is taken where there is one: English counts, Chinese does not.

    Raises:
        KeyError: no such text, or a value that it needs is not given.
    """
    texts = catalogue()
    one = f"{key}_one"
    chosen = texts[one if values.get("n") in (1, "1") and one in texts else key]
    text = chosen[LANGUAGES.index(language)]
    return Markup(text.format(**{name: escape(value) for name, value in values.items()}))  # noqa: S704 # ours, values escaped
