"""Logs to a stream of a test's own for the length of a block."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import structlog

from shared.logs import configure_logs


@contextmanager
def logging_to(stream: TextIO) -> Iterator[None]:
    """Log to a stream, and let no later test hear of what it lost."""
    configure_logs(level="info", pretty=False, stream=stream)
    try:
        yield
    finally:
        configure_logs(stream=io.StringIO())
        structlog.reset_defaults()


@contextmanager
def logging_into(target: Path | int) -> Iterator[TextIO]:
    """Log into a file, or into an open one by its number, that may not take it: closing it may fail, too."""
    stream = open(target, "w", buffering=1, encoding="utf-8")  # noqa: SIM115 # closed below
    try:
        with logging_to(stream):
            yield stream
    finally:
        with contextlib.suppress(OSError):
            stream.close()


FULL = Path("/dev/full")
"""A disk without room."""
