"""The catalogue of errors as pages, for whoever follows the `type` of an answer. Ring: rim."""

from __future__ import annotations

import html

from flask import Flask, Response

from shared.error_code import ErrorCode, by_slug
from shared.errors import FireError
from shared.openapi import Reply, describes

_TAG = "Health"
_ERROR_PAGE = {200: Reply(text="The page.", media_types=("text/html",))}
_ERROR_STYLE = (
    "body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}"
)


def add_error_pages(app: Flask) -> None:
    """Add `/errors` and `/errors/<slug>`, which the `type` of a problem document names."""

    @app.get("/errors")
    @describes("Explain every error.", tag=_TAG, says=_ERROR_PAGE)
    def errors() -> Response:
        rows = "".join(_error_table_row(code) for code in ErrorCode)
        head = "<tr><th>err_no</th><th>status</th><th>retry</th><th>meaning</th><th>what to do</th></tr>"
        return Response(_page("Error codes", f"<table border=1 cellpadding=6>{head}{rows}</table>"))

    @app.get("/errors.css")
    @describes(
        "Give the style of these pages.",
        tag=_TAG,
        says={200: Reply(text="The style.", media_types=("text/css",))},
    )
    def error_style() -> Response:
        return Response(_ERROR_STYLE, content_type="text/css")

    @app.get("/errors/<slug>")
    @describes("Explain one error.", tag=_TAG, says=_ERROR_PAGE)
    def error_page(slug: str) -> Response:
        code = by_slug(slug)
        if code is None:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, f"no error is called {slug[:40]!r}")
        row = code.row
        body = (
            f"<p>{html.escape(row.text_en)} · <span lang=zh>{html.escape(row.text_zh)}</span></p>"
            f"<p><b>What to do:</b> {html.escape(row.hint)}</p>"
            f"<p>HTTP {row.http_status}, {'worth another try' if row.retryable else 'not worth another try as it is'}"
            f" · <a href=/errors>all codes</a></p>"
        )
        return Response(_page(f"{row.number} {row.slug}", body))


def _error_table_row(code: ErrorCode) -> str:
    row = code.row
    cells = (
        row.number,
        row.http_status,
        "yes" if row.retryable else "no",
        f"{row.text_en} · {row.text_zh}",
        row.hint,
    )
    return (
        f"<tr id={row.slug}>"
        + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        + "</tr>"
    )


def _page(title: str, body: str) -> str:
    escaped = html.escape(title)
    return (
        f"<!doctype html><meta charset=utf-8><title>{escaped}</title>"
        "<link rel=stylesheet href=/errors.css>"
        f"<h1>{escaped}</h1>{body}"
    )
