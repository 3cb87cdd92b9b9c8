"""Which language the caller of a request reads. Ring: rim (Flask)."""

from __future__ import annotations

from flask import request

from shared.ui.page import LANGUAGE_COOKIE


def is_chinese() -> bool:
    """Tell whether the caller prefers Chinese: as chosen on a console, else as the browser says."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in ("en", "zh"):
        return chosen == "zh"
    accepted: str = request.environ.get("HTTP_ACCEPT_LANGUAGE", "")
    return accepted.lower().startswith("zh")
