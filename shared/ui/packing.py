"""Pages go over the wire compressed: a wall of 64 cameras is a hundred kilobytes, every two seconds. Ring: rim."""

from __future__ import annotations

import gzip

from flask import Response, request

_LEVEL = 1  # a seventh of the bytes for a millisecond of one core; level 6 takes five for a tenth


def takes_gzip() -> bool:
    """Tell whether who asks can unpack what is compressed."""
    return request.accept_encodings.quality("gzip") > 0


def pack(response: Response) -> Response:
    """Compress a page for whoever takes that.

    A page holds its form's token beside what a query says; the length of the whole tells nobody else, since the
    session's cookie goes along only with requests of our own pages.
    """
    if not response.content_type.startswith("text/html"):
        return response
    response.vary.add("Accept-Encoding")
    if takes_gzip():
        response.set_data(gzip.compress(response.get_data(), _LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    return response
