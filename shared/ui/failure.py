"""What went wrong, in words for a page. Ring: rim."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from shared.errors import FireError
from shared.ui.speech import Speech, with_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong, its number, and the remedy; `detail` is English."""

    number: int
    title: str
    detail: str
    remedy: Markup


def explain(error: FireError, speech: Speech) -> Failure:
    """Take an error's row of the catalogue in the language of the page; a page knows some remedies better."""
    row = error.code.row
    key, hint = f"hint.{row.slug}", row.hint_zh if speech.is_chinese else row.hint
    return Failure(
        number=row.number,
        title=row.text_zh if speech.is_chinese else row.text_en[:1].upper() + row.text_en[1:],
        detail=error.detail,
        remedy=with_code(speech.t(key) if speech.words.has(key) else hint),
    )
