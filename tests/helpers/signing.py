"""Signing the requests that tests send."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from shared.access.auth import Signer
from shared.clock import Clock, SystemClock


class SignedBy(requests.auth.AuthBase):
    """Sign with a name and a key, as an edge does."""

    def __init__(self, edge_id: str, key: str, clock: Clock | None = None) -> None:
        """Keep name and key."""
        self._signer = Signer(edge_id, key.encode(), clock or SystemClock())

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the headers."""
        parts = urlsplit(str(request.url))
        body = request.body or b""
        encoded = body if isinstance(body, bytes) else body.encode()
        signed = self._signer.headers(str(request.method), parts.path, parts.query, encoded)
        request.headers.update(signed)
        return request
