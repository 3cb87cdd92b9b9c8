"""The catalogue of errors as pages, for whoever follows the `type` of an answer. Ring: rim."""

from __future__ import annotations

from flask import Flask, Response, render_template

from shared.error_code import ErrorCode, by_slug
from shared.errors import FireError
from shared.ui.assets import SHARED
from shared.ui.speech import with_code
from shared.web.language import is_chinese
from shared.web.openapi import Reply, describes

_TAG = "Health"
_ERROR_PAGE = {200: Reply(text="The page.", media_types=("text/html",))}


def add_error_pages(app: Flask) -> None:
    """Add `/errors` and `/errors/<slug>`, which the `type` of a problem document names."""

    def page(code: ErrorCode | None) -> Response:
        rows = [one.row for one in ErrorCode]
        row = code.row if code else None
        text = render_template(
            "errors.html", row=row, rows=rows, is_chinese=is_chinese(), with_code=with_code
        )
        return Response(text, headers={"Vary": "Accept-Language, Cookie"})

    @app.get("/errors")
    @describes("Explain every error.", tag=_TAG, says=_ERROR_PAGE)
    def errors() -> Response:
        return page(None)

    @app.get("/errors.css")
    @describes(
        "Give the style of these pages.",
        tag=_TAG,
        says={200: Reply(text="The style.", media_types=("text/css",))},
    )
    def error_style() -> Response:
        return Response((SHARED / "errors.css").read_text("utf-8"), content_type="text/css")

    @app.get("/errors/<slug>")
    @describes("Explain one error.", tag=_TAG, says=_ERROR_PAGE)
    def error_page(slug: str) -> Response:
        code = by_slug(slug)
        if code is None:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, f"no error is called {slug[:40]!r}")
        return page(code)
