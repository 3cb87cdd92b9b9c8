"""Dates in HTTP headers, from peers that may write anything. Ring: domain."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime


def read_http_date(text: str) -> datetime | None:
    """Read a date (RFC 9110, 5.6.7); None for what is none, lies outside the years 1…9999, or has no zone."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else None
