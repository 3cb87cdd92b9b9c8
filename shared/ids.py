"""Names for requests and frames, and the W3C trace context. Ring: domain."""

from __future__ import annotations

import os
import random
import re
from datetime import datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]
_random = (
    random.Random()
)  # ids must be unique, not secret; a system call each would hand the GIL over
_REQ_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\Z")


def new_id(now_at: datetime) -> str:
    """Create a ULID: 26 characters that sort by time (github.com/ulid/spec: 48-bit ms, 80 random bits)."""
    value = int(now_at.timestamp() * 1000) << 80 | _random.getrandbits(80)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def is_req_id(text: object) -> bool:
    """Tell whether a caller's id may be echoed: 1…64 of `A-Za-z0-9._:-`."""
    return isinstance(text, str) and _REQ_ID.match(text) is not None


def continue_trace(traceparent: str | None) -> str:
    """Continue a W3C `traceparent` with a span of our own; start a new trace when it is absent or invalid.

    Returns:
        a version 00 traceparent (www.w3.org/TR/trace-context), sampled.
    """
    match = _TRACEPARENT.match(traceparent or "")
    trace_id = match.group(1) if match and set(match.group(1)) != {"0"} else os.urandom(16).hex()
    return f"00-{trace_id}-{os.urandom(8).hex()}-01"
