"""Say to a person what went wrong and what to do about it. Ring: rim."""

from __future__ import annotations

from flask import Response

from edge.ui.kit import Kit, is_fragment
from shared.errors import FireError
from shared.ui.failure import explain


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
