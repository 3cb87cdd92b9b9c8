"""Which events a query means, as conditions for SQL, and cursors from page to page. Ring: domain."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from edge.record.codec import sortable
from edge.record.types import EventQuery
from shared.error_code import ErrorCode
from shared.errors import RequestError

_CALLING = "(is_closed=0 OR (acknowledged_seq IS NULL AND severity<>'uncertain'))"


def conditions(query: EventQuery) -> tuple[str, list[Any]]:
    """Write a query as an SQL condition over the rows of events, with its values.

    Raises:
        RequestError(REQUEST_FIELD_INVALID): the cursor is not one of ours.
    """
    wanted: list[tuple[str, Any]] = []
    if query.camera is not None:
        wanted.append(("camera=?", query.camera))
    if query.severity is not None:
        wanted.append(("severity=?", query.severity.value))
    if query.grade is not None:
        wanted.append(("grade=?", query.grade.value))
    if query.is_reviewed is not None:
        wanted.append(("is_reviewed=?", query.is_reviewed))
    if query.is_held is not None:
        wanted.append(("is_held=?", query.is_held))
    if query.is_closed is not None:
        wanted.append(("is_closed=?", query.is_closed))
    if query.since is not None:
        wanted.append(("opened_at>=?", sortable(query.since)))
    if query.until is not None:
        wanted.append(("opened_at<?", sortable(query.until)))
    if not query.with_tests:
        wanted.append(("is_test=?", False))
    terms = [condition for condition, _ in wanted]
    values = [value for _, value in wanted]
    if query.is_calling:
        terms.append(_CALLING)
    if query.cursor is not None:
        terms.append("(opened_at, event_id) < (?, ?)")
        values += _position(query.cursor)
    return " AND ".join(terms) or "1", values


def cursor_after(opened_at: str, event_id: str) -> str:
    """Name the place after an event."""
    return base64.urlsafe_b64encode(json.dumps([opened_at, event_id]).encode()).decode().rstrip("=")


def _position(cursor: str) -> list[str]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        opened_at, event_id = position
    except (ValueError, TypeError, binascii.Error, RecursionError) as err:
        raise _bad_cursor(cursor) from err
    if not (isinstance(opened_at, str) and isinstance(event_id, str)):
        raise _bad_cursor(cursor)
    return [opened_at, event_id]


def _bad_cursor(cursor: str) -> RequestError:
    return RequestError(
        ErrorCode.REQUEST_FIELD_INVALID, f"cursor {cursor[:40]!r} is not one that was given"
    )
