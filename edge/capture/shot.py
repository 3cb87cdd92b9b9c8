"""What a source of pictures is: address, shots, pace. Ring: adapter (clock, threading).

A source is opened, read until it ends or fails, and closed; who reads it, opens it again and keeps the newest frame is
`edge.capture.cameras`. Shots are JPEG, or PNG where the source is: what was scored is what can be stored, hashed and
sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from shared.logs import redact
from shared.types import Picture

PUSH = "push:"
"""The source of a camera whose frames come over `POST /joint_predict`."""
_SLICE_S = 1.0  # a thread that waits beats once a slice
JPEG_QUALITY = 90
"""Of frames that do not come as JPEG; 90 keeps a flame's edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture from a source; `captured_at` where the source itself tells when it was taken, else None.

    `took_s` is how long the source worked on it, without the wait for its time to come.
    """

    picture: Picture
    took_s: float
    captured_at: datetime | None = None


class Pace:
    """The rhythm of one reading thread: it waits here, shows here that it is alive, and learns here that it is over."""

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        """Keep whom to tell that the thread is alive."""
        self._beat = beat
        self._is_over = threading.Event()

    def goes_on(self) -> bool:
        """Beat, and tell whether to read on; a source asks before every read."""
        if self._is_over.is_set():
            return False
        self._beat()
        return True

    def wait(self, seconds: float) -> bool:
        """Wait, beating; False as soon as it is over."""
        left_s = seconds
        while self.goes_on() and left_s > 0:
            self._is_over.wait(min(_SLICE_S, left_s))
            left_s -= _SLICE_S
        return not self._is_over.is_set()

    def end(self) -> None:
        """End the reading, also in the middle of a wait."""
        self._is_over.set()


class FrameSource(Protocol):
    """One opened camera."""

    @property
    def is_live(self) -> bool:
        """Tell whether it shows what is happening now, and goes on for ever."""
        ...

    def shots(self, pace: Pace) -> Iterator[Shot]:
        """Give shots as they come, paced by the source itself; ends when the source or the pace does.

        Raises:
            CameraError(CAMERA_UNAVAILABLE): it cannot be opened, broke, or shows nothing that can be used.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraAddress:
    """Where a camera is, with its password kept apart; `repr` never shows the password."""

    url: str
    password: str | None = None

    def __repr__(self) -> str:
        return f"CameraAddress({self.shown!r})"

    @property
    def shown(self) -> str:
        """Give the address as anybody may see it."""
        return redact(self.url)

    @property
    def user(self) -> str:
        """Name the user to log in as; `admin` where the address names nobody."""
        return unquote(urlsplit(self.url).username or "admin")

    def with_password(self) -> str:
        """Give the URL as the camera wants it. Never log the result."""
        if not self.password or "://" not in self.url:
            return self.url
        parts = urlsplit(self.url)
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@{_host(parts.netloc)}"))

    def bare(self) -> str:
        """Give the URL without user and password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=_host(parts.netloc)))

    def secret(self) -> str | None:
        """Give the password, wherever it stands. Never log the result."""
        written = urlsplit(self.url).password
        return self.password or (unquote(written) if written else None)


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]
