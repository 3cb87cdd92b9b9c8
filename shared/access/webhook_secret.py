"""Secrets as standardwebhooks.com writes them: `whsec_` and base64. Ring: domain."""

from __future__ import annotations

import base64

_PREFIX = "whsec_"


def is_webhook_secret(secret: str) -> bool:
    """Tell whether a text is meant as such a secret."""
    return secret.startswith(_PREFIX)


def webhook_key(secret: str) -> bytes:
    """Give the bytes that sign: 24 to 64, as the specification asks.

    Raises:
        ValueError: without the secret itself.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not is_webhook_secret(secret) or not 24 <= len(key) <= 64:
        detail = "must be whsec_ and the base64 of 24 to 64 random bytes, for instance from "
        raise ValueError(detail + "`echo whsec_$(openssl rand -base64 32)`")
    return key
