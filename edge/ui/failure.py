"""Say to a person what went wrong and what to do about it. Ring: rim."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response
from markupsafe import Markup

from edge.ui.kit import Kit, is_fragment
from edge.ui.speech import Speech
from shared.errors import FireError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong, its number, and the remedy; `detail` is English."""

    number: int
    title: str
    detail: str
    remedy: Markup


def explain(error: FireError, speech: Speech) -> Failure:
    """Take an error's row of the catalogue in the language of the page."""
    row = error.code.row
    return Failure(
        number=row.number,
        title=row.text_zh if speech.is_chinese else row.text_en[:1].upper() + row.text_en[1:],
        detail=error.detail,
        remedy=speech.known(f"hint.{row.slug}", row.hint),
    )


def show_failure(kit: Kit, error: FireError) -> Response:
    """Answer with a page, or with a message for a script."""
    speech = kit.speech()
    failure = explain(error, speech)
    return kit.render(
        "failure_toast.html" if is_fragment() else "failure.html",
        speech,
        title=failure.title,
        current="",
        status=error.code.row.http_status,
        failure=failure,
    )
