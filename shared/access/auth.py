"""Signed requests between edge and cloud. Ring: domain.

The wire form is HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530), in one fixed profile: HMAC-SHA256
over method, path, query and body digest, with the edge's name as `keyid`, a time and a nonce. Any library that speaks
RFC 9421 can sign for this; ours is the standard library alone, where a full implementation would bring 16 MB of
compiled packages to the box for an HMAC.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError

SKEW_S = 120
"""How far the two clocks may differ. Smaller refuses boxes without NTP, larger keeps nonces longer."""

MIN_KEY_CHARACTERS = 32
_LABEL = "emberlink"
_COVERED = '("@method" "@path" "@query" "content-digest")'
_INPUT = re.compile(
    r"(?P<label>[a-z*][a-z0-9_.*-]{0,31})=(?P<params>" + re.escape(_COVERED) + r"(?P<rest>;.*))\Z"
)
_PARAM = re.compile(r';(created|expires|nonce|keyid|alg|tag)=(?:"([^"\\]{0,128})"|(\d{1,12}))')
_EDGE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
# About 200 MB; two per second from each of two thousand edges need half of it.
_MAX_NONCES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A request as it came; header values are None where the header was not sent."""

    method: str
    path: str
    query: str
    signature_input: str | None
    signature: str | None
    content_digest: str | None
    body: Callable[[], bytes]


class Signer:
    """Signs the requests of one edge; safe for use by many threads."""

    def __init__(self, edge_id: str, key: bytes, clock: Clock) -> None:
        """Keep name and key."""
        self._edge_id = edge_id
        self._key = key
        self._clock = clock

    def headers(self, method: str, path: str, query: str, body: bytes) -> dict[str, str]:
        """Give the headers that sign a request; each call has a nonce of its own.

        Args:
            method: in capitals.
            path: as it is sent, percent-encoded.
            query: as it is sent, without the question mark.
            body: as it is sent.
        """
        created_s = int(self._clock.now_at().timestamp())
        nonce = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        params = (
            f'{_COVERED};created={created_s};nonce="{nonce}";keyid="{self._edge_id}"'
            ';alg="hmac-sha256"'
        )
        digest = content_digest(body)
        mac = _mac(self._key, _base(method, path, query, digest, params))
        return {
            "Content-Digest": digest,
            "Signature-Input": f"{_LABEL}={params}",
            "Signature": f"{_LABEL}=:{base64.b64encode(mac).decode()}:",
        }


class Nonces(Protocol):
    """Where used nonces are remembered; safe for use by many threads."""

    def is_new(self, edge_id: str, nonce: str, ttl_s: float) -> bool:
        """Remember a nonce for `ttl_s`; False: it was used before."""
        ...


class MemoryNonces:
    """The nonces of one process."""

    def __init__(self, clock: Clock) -> None:
        """Start empty."""
        self._clock = clock
        self._lock = threading.Lock()
        self._used: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_new(self, edge_id: str, nonce: str, ttl_s: float) -> bool:
        """Remember a nonce.

        Raises:
            FireError(HTTP_UNAVAILABLE): too many are remembered; forgetting one early would allow a replay.
        """
        now_mono_s = self._clock.mono_s()
        with self._lock:
            while self._used and next(iter(self._used.values())) <= now_mono_s:
                self._used.popitem(last=False)
            if (edge_id, nonce) in self._used:
                return False
            if len(self._used) >= _MAX_NONCES:
                detail = "too many signed requests in a short time"
                raise FireError(ErrorCode.HTTP_UNAVAILABLE, detail, retry_after_s=SKEW_S)
            self._used[edge_id, nonce] = now_mono_s + ttl_s
            return True


class Verifier:
    """Checks signed requests; safe for use by many threads."""

    def __init__(
        self, keys: Callable[[str], Sequence[bytes]], nonces: Nonces, clock: Clock
    ) -> None:
        """Keep where keys and nonces are.

        Args:
            keys: the keys of a name, newest first, none for a name that is not known.
            nonces: where used nonces are remembered.
            clock: wall time.
        """
        self._keys = keys
        self._nonces = nonces
        self._clock = clock

    def verify(self, request: Signed) -> str:
        """Check a request; the cheap tests come first, the body is hashed only for a signature that is right.

        Returns:
            the name that signed it.

        Raises:
            RequestError(SIGNATURE_MISSING): not signed.
            RequestError(SIGNATURE_INVALID): not of our profile, an unknown name, a wrong key, or another body.
            RequestError(SIGNATURE_CLOCK): signed too long ago or in the future, by our clock.
            RequestError(SIGNATURE_REPLAYED): this very request came before.
        """
        if not (request.signature_input and request.signature and request.content_digest):
            detail = "Signature-Input, Signature and Content-Digest are needed"
            raise RequestError(ErrorCode.SIGNATURE_MISSING, detail)
        label, params, values = _read_input(request.signature_input)
        self._check_mac(request, label, params, values["keyid"])
        self._check_time(int(values["created"]))
        if not hmac.compare_digest(content_digest(request.body()), request.content_digest):
            raise _invalid("Content-Digest is not that of the body")
        if not self._nonces.is_new(values["keyid"], values["nonce"], 2.0 * SKEW_S):
            raise RequestError(ErrorCode.SIGNATURE_REPLAYED, "the nonce was used before")
        return values["keyid"]

    def _check_mac(self, request: Signed, label: str, params: str, edge_id: str) -> None:
        given = _read_signature(request.signature or "", label)
        base = _base(
            request.method, request.path, request.query, request.content_digest or "", params
        )
        keys = self._keys(edge_id) or (b"",)  # an unknown name takes as long as a wrong key
        matches = [hmac.compare_digest(_mac(key, base), given) for key in keys]
        if not any(matches) or keys == (b"",):
            raise _invalid(f"no key of {edge_id!r} made this signature")

    def _check_time(self, created_s: int) -> None:
        ahead_s = created_s - self._clock.now_at().timestamp()
        if abs(ahead_s) > SKEW_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            detail = f"signed {abs(ahead_s):.0f} s {side} this server's clock, at most {SKEW_S} s are allowed"
            raise RequestError(ErrorCode.SIGNATURE_CLOCK, detail)


def is_edge_id(text: str) -> bool:
    """Tell whether a name may sign: 1…64 of `A-Za-z0-9._-`."""
    return _EDGE_ID.match(text) is not None


def new_key() -> str:
    """Create a key of 256 random bits, as 43 characters of base64url."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def content_digest(body: bytes) -> str:
    """Give the value of Content-Digest (0.1 ms for 150 kB)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _base(method: str, path: str, query: str, digest: str, params: str) -> bytes:
    lines = (
        f'"@method": {method}',
        f'"@path": {path}',
        f'"@query": ?{query}',
        f'"content-digest": {digest}',
        f'"@signature-params": {params}',
    )
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _mac(key: bytes, base: bytes) -> bytes:
    return hmac.new(key, base, hashlib.sha256).digest()


def _read_input(header: str) -> tuple[str, str, dict[str, str]]:
    match = _INPUT.match(header)
    if match is None:
        raise _invalid(f"Signature-Input must cover {_COVERED}")
    found = list(_PARAM.finditer(match["rest"]))
    values = {m[1]: m[2] if m[2] is not None else m[3] for m in found}
    is_whole = "".join(m[0] for m in found) == match["rest"] and len(values) == len(found)
    is_ours = (
        is_whole
        and values.get("alg", "hmac-sha256") == "hmac-sha256"
        and values.get("created", "").isdigit()
        and len(values.get("nonce", "")) >= 16
        and is_edge_id(values.get("keyid", ""))
    )
    if not is_ours:
        raise _invalid("Signature-Input needs created, nonce (16…128 characters) and keyid")
    return match["label"], match["params"], values


def _read_signature(header: str, label: str) -> bytes:
    prefix = f"{label}=:"
    if not (header.startswith(prefix) and header.endswith(":")) or len(header) > 200:
        raise _invalid("Signature must be label=:base64: under the label of Signature-Input")
    try:
        return base64.b64decode(header[len(prefix) : -1], validate=True)
    except ValueError as err:
        raise _invalid("Signature is not base64") from err


def _invalid(detail: str) -> RequestError:
    return RequestError(ErrorCode.SIGNATURE_INVALID, detail)
