"""Names for requests and frames, and the W3C trace context. Ring: domain."""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass
from datetime import datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]
# Ids must be unique, not secret; a system call each would hand the GIL over.
_random = random.Random()
_REQ_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_TRACESTATE = re.compile(r"[!-~](?:[ -~]{0,510}[!-~])?\Z")


def new_id(now_at: datetime) -> str:
    """Create a ULID: 26 characters that sort by time (github.com/ulid/spec: 48-bit ms, 80 random bits)."""
    value = int(now_at.timestamp() * 1000) << 80 | _random.getrandbits(80)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def is_req_id(text: object) -> bool:
    """Tell whether a caller's id may be echoed: 1…64 of `A-Za-z0-9._:-`."""
    return isinstance(text, str) and _REQ_ID.match(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A caller's W3C trace context as it came; `continue_trace` says what of it may go out."""

    parent: str
    state: str | None = None


def continue_trace(trace: Trace | None) -> dict[str, str]:
    """Continue a caller's trace with a span of our own; start a new one when it is absent or invalid.

    Returns:
        headers: a version 00 `traceparent` (www.w3.org/TR/trace-context), sampled, and the caller's `tracestate` as it
        came, unless it cannot be sent or belongs to an invalid `traceparent`.
    """
    span = os.urandom(8).hex()
    match = _TRACEPARENT.match(trace.parent) if trace else None
    if trace is None or match is None:
        return {"traceparent": f"00-{os.urandom(16).hex()}-{span}-01"}
    headers = {"traceparent": f"00-{match.group(1)}-{span}-01"}
    if trace.state and _TRACESTATE.match(trace.state):
        headers["tracestate"] = trace.state
    return headers
