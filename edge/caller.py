"""Who posted a picture: the ids that go along, and with whom the places are shared. Ring: rim."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, request

from shared.ids import Trace
from shared.roles import Visitor
from shared.web import app as web


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who waits for an answer.

    `lane`: callers of one lane share its places. `trace` is the trace context that the caller sent.
    """

    req_id: str
    lane: str
    trace: Trace | None = None


def caller() -> Caller:
    """Name who sent the current request: whoever said who they are, or the address it came from."""
    visitor: Visitor | None = g.get("visitor")
    is_known = visitor is not None and visitor.is_known
    return Caller(
        req_id=g.req_id,
        lane=f"@{visitor.name}" if visitor and is_known else request.remote_addr or "",
        trace=web.trace_of(request.environ),
    )
