"""How to log in to a camera's web server: Basic, or Digest after RFC 7616. Ring: domain.

The password goes out only after the camera has asked for it, and in the clear (Basic) only when it asks for nothing
better.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

_HASHES: dict[str, Any] = {
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False),  # what most cameras speak
    "sha-256": hashlib.sha256,
}
_LONGEST_CHALLENGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Login:
    """Who we are."""

    user: str
    password: str

    def answer(self, challenges: Sequence[str], method: str, url: str) -> str | None:
        """Write the `Authorization` that answers a 401.

        Args:
            challenges: the values of its `WWW-Authenticate` headers, one challenge each.
            method: of the request that will be repeated.
            url: of the same.

        Returns:
            None when the camera asks for nothing that we speak.
        """
        basic = None
        for challenge in challenges:
            scheme, _, rest = challenge[:_LONGEST_CHALLENGE].strip().partition(" ")
            if scheme.lower() == "digest":
                answer = self._digest(_parameters(rest), method, url)
                if answer is not None:
                    return answer
            elif scheme.lower() == "basic":
                pair = f"{self.user}:{self.password}".encode()
                basic = f"Basic {base64.b64encode(pair).decode()}"
        return basic

    def _digest(self, asked: dict[str, str], method: str, url: str) -> str | None:
        algorithm = asked.get("algorithm", "MD5")
        make_hash = _HASHES.get(algorithm.lower())
        realm, nonce = asked.get("realm"), asked.get("nonce")
        qops = [qop.strip() for qop in asked.get("qop", "").split(",") if qop.strip()]
        if make_hash is None or realm is None or nonce is None or (qops and "auth" not in qops):
            return None

        def hashed(text: str) -> str:
            return str(make_hash(text.encode()).hexdigest())

        parts = urlsplit(url)
        uri = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        secret, request = hashed(f"{self.user}:{realm}:{self.password}"), hashed(f"{method}:{uri}")
        fields = {"username": self.user, "realm": realm, "nonce": nonce, "uri": uri}
        plain = {"algorithm": algorithm}
        if qops:
            once, count = secrets.token_hex(8), "00000001"
            fields["cnonce"] = once
            plain |= {"qop": "auth", "nc": count}
            fields["response"] = hashed(f"{secret}:{nonce}:{count}:{once}:auth:{request}")
        else:
            fields["response"] = hashed(f"{secret}:{nonce}:{request}")
        if "opaque" in asked:
            fields["opaque"] = asked["opaque"]
        quoted = [f'{name}="{_escaped(value)}"' for name, value in fields.items()]
        return "Digest " + ", ".join([*quoted, *(f"{k}={v}" for k, v in plain.items())])


def _parameters(text: str) -> dict[str, str]:
    """Read `name="value", …`; nothing when it cannot be read."""
    try:
        return {
            name.lower(): value for name, value in parse_keqv_list(parse_http_list(text)).items()
        }
    except (ValueError, IndexError):
        return {}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
