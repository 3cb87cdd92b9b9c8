"""The words of a console in both languages, from catalogue files. Ring: rim."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup, escape

LANGUAGES = ("en", "zh")
COMMON = Path(__file__).with_name("words.toml")
"""The words that every console needs."""
TROUBLES = Path(__file__).with_name("troubles.toml")
"""What the troubles of an edge are called, which its cloud tells, too, and the words that are the same for both."""


class Words:
    """Texts by `section.key`, from files of which later ones win."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read the files."""
        self.texts: Mapping[str, tuple[str, str]] = {
            f"{section}.{key}": (english, chinese)
            for file in files
            for section, texts in tomllib.loads(file.read_text(encoding="utf-8")).items()
            for key, (english, chinese) in texts.items()
        }

    def has(self, key: str) -> bool:
        """Tell whether there is such a text."""
        return key in self.texts

    def say(self, key: str, language: str, **values: object) -> Markup:
        """Say a text; values are escaped unless they are markup already.

        With `n=1` the text `<key>_one` is taken where there is one: English counts, Chinese does not.

        Raises:
            KeyError: no such text, or a value that it needs is not given.
        """
        one = f"{key}_one"
        is_one = values.get("n") in (1, "1") and one in self.texts
        text = self.texts[one if is_one else key][LANGUAGES.index(language)]
        return Markup(text.format(**{name: escape(value) for name, value in values.items()}))  # noqa: S704 # ours, values escaped
