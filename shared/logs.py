"""Structured logs: one JSON line an event on stderr, a short line for a person on a terminal. Ring: adapter.

Secrets are cut out at the last step, whatever a caller passes: credentials in URLs, and fields named like secrets.
"""

from __future__ import annotations

import functools
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO, cast

import click
import structlog

# Up to the last @ of the word: a password with an @ or a / in it must not leave its second half behind.
_URL_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s'\"]+@", re.IGNORECASE)
_URL_SECRETS = re.compile(
    r"(?P<name>\b(?:password|passwd|pwd|pass|secret|token|api_?key)=)[^&#\s'\"]+", re.IGNORECASE
)
_ENCODER = json.JSONEncoder(default=str, ensure_ascii=False, separators=(",", ":"))
_SECRET_FIELDS = re.compile(r"password|secret|token|api_?key|authorization", re.IGNORECASE)


def redact(text: str) -> str:
    """Replace user and password, and secrets in the query, in every URL of a text by `***`."""
    if "://" not in text:
        return text
    return _URL_SECRETS.sub(r"\g<name>***", _URL_CREDENTIALS.sub(r"\g<scheme>***@", text))


def printable(text: str) -> str:
    """Write what a terminal would obey, such as an escape sequence from a peer's answer, as its code."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_PLAIN = frozenset({int, float, bool, type(None)})  # nothing in these can be a secret


@dataclass(slots=True)
class _Losses:
    """What the log lost: lines that did not go out, `tries` to say so among them; `why` is "" while lines go out."""

    lines: int = 0
    tries: int = 0
    why: str = ""


_losses = _Losses()

Line = Callable[[MutableMapping[str, Any]], str]
"""Writes the fields of one event as a line for a person."""


def configure_logs(
    *,
    level: str = "info",
    pretty: bool | None = None,
    stream: TextIO | None = None,
    lines: Mapping[str, Line] | None = None,
) -> None:
    """Set up logging for this process.

    Args:
        level: debug, info, warning or error.
        pretty: lines for a person instead of JSON; None decides by whether the stream is a terminal.
        stream: where to write; None is stderr.
        lines: how some events are written for a person, by event name.
    """
    out = stream or sys.stderr
    is_pretty = out.isatty() if pretty is None else pretty
    renderer = functools.partial(_render_line, lines or {}) if is_pretty else _render_json
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            _redact_fields,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Forgiving(out))),
        cache_logger_on_first_use=True,
    )
    get_logger.cache_clear()
    _losses.lines, _losses.tries, _losses.why = 0, 0, ""


class _Forgiving(io.TextIOBase):
    """What lines are written to: a full disk or a reader that is gone costs lines, never the work that they tell of."""

    def __init__(self, out: TextIO) -> None:
        """Write to `out`."""
        self._out = out

    def write(self, text: str) -> int:
        """Write it, and see it gone; count it where it does not go."""
        try:
            # Half of a line may be out: what comes next must not become its second half.
            self._out.write(f"\n{text}" if _losses.why else text)
            self._out.flush()
            _losses.why = ""
        except OSError as err:
            _losses.lines += 1
            _losses.why = err.strerror or str(err)
        except ValueError:
            pass  # the stream is closed: the process ends
        return len(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLines:
    """How many lines did not go out, and why the last one did not."""

    count: int
    why: str


def lost_lines() -> LostLines | None:
    """Tell what the log loses now; None while lines go out.

    After a loss this writes a line with the count, so that the log tells of its gap as soon as it can be written. The
    last few kilobytes before the gap may come out late, they wait in the stream's buffer. For one caller at a time.
    """
    lost = _losses.lines - _losses.tries
    if not _losses.lines:
        return None
    get_logger().error("log_lines_lost", count=lost)
    if _losses.why:
        _losses.tries += 1
        return LostLines(count=lost, why=_losses.why)
    _losses.lines, _losses.tries = 0, 0
    return None


@functools.lru_cache(maxsize=1)  # structlog would put a logger together for every line
def get_logger() -> Any:
    """Give the process's logger; event names are snake_case constants, everything else is a field."""
    return structlog.get_logger()


def _render_json(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    return _ENCODER.encode(fields)


def _render_line(
    lines: Mapping[str, Line], _logger: object, _method: str, fields: MutableMapping[str, Any]
) -> str:
    at, event, level = (str(fields.pop(key, "")) for key in ("at", "event", "level"))
    own = lines.get(event)
    trace = fields.pop("exception", None)
    rest = (
        own(fields)
        if own
        else "  ".join(f"{key}={printable(str(value))}" for key, value in fields.items())
    )
    name = "" if own else f"{event}  "
    warning = "" if level in ("info", "debug") else click.style(f"{level}  ", fg="yellow")
    time_of_day = datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S")
    return f"{time_of_day}  {warning}{name}{rest}" + (f"\n{trace}" if trace else "")


def _redact_fields(
    _logger: object, _method: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    redacted: MutableMapping[str, Any] = _redact_value(fields)
    return redacted


@functools.lru_cache(maxsize=512)  # field names are few; values are never looked up here
def _is_secret(key: str) -> bool:
    return _SECRET_FIELDS.search(key) is not None


def _redact_value(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            key: "***" if _is_secret(str(key)) else _redact_value(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redact_value(inner) for inner in value]
    return value if value is None or isinstance(value, int | float) else redact(str(value))
