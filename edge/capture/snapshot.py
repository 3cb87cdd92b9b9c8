"""A camera that gives one picture a request (HTTP snapshot). Ring: adapter (network).

The answer is hostile until it was read: a total deadline, bounded bytes, no redirects, no compression.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import requests
from urllib3.exceptions import HTTPError

from edge.capture.auth import Login
from edge.capture.shot import CameraAddress, Pace, Shot
from shared.clock import SystemClock
from shared.error_code import ErrorCode
from shared.errors import CameraError, ImageError
from shared.picture.imaging import read_picture
from shared.types import ImageLimits, Picture
from shared.web.http_date import read_http_date
from shared.web.socket_deadline import DeadlineAdapter, SocketDeadlines

_WITHIN_S = 5.0  # connect, log in and receive; a snapshot of 1 MB over 4 Mbit/s takes 2 s
_PLAUSIBLE = timedelta(hours=24)  # a told age beyond this is a clock that was never set
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    body: bytes
    headers: requests.structures.CaseInsensitiveDict[str]
    received_at: datetime


class SnapshotSource:
    """Asks for a picture at the camera's rate.

    The same bytes with the same told time are not given twice: the camera has no new picture, and becomes late. Other
    bytes with the same told time are a new picture, and the time is not believed.
    """

    is_live = True

    def __init__(self, address: CameraAddress, fps: float, limits: ImageLimits) -> None:
        """Keep where to ask."""
        self._address = address
        self._url = address.bare()
        secret = address.secret()
        self._login = Login(user=address.user, password=secret) if secret else None
        self._period_s = 1.0 / fps
        self._limits = limits
        self._challenges: list[str] = []

    def shots(self, pace: Pace) -> Iterator[Shot]:
        """Ask, wait out the period, ask again."""
        deadlines = SocketDeadlines()
        try:
            with requests.Session() as session:
                session.trust_env = False
                session.mount("http://", DeadlineAdapter(pool_connections=1, pool_maxsize=1))
                session.mount("https://", DeadlineAdapter(pool_connections=1, pool_maxsize=1))
                yield from self._ask_on(session, deadlines, pace)
        finally:
            deadlines.stop()

    def _ask_on(
        self, session: requests.Session, deadlines: SocketDeadlines, pace: Pace
    ) -> Iterator[Shot]:
        before: bytes | None = None
        told_before: datetime | None = None
        while pace.goes_on():
            asked_mono_s = time.monotonic()
            with deadlines.call(_WITHIN_S) as call:
                try:
                    answer = self._ask(session)
                except (requests.RequestException, HTTPError, OSError) as err:
                    what = f"gave no picture in {_WITHIN_S:g} s" if call.is_over else _plain(err)
                    raise self._unavailable(what) from err
            told_at = _told_at(answer)
            is_told_again = before is not None and told_at is not None and told_at == told_before
            if not is_told_again or answer.body != before:
                picture, took_s = self._picture(answer), time.monotonic() - asked_mono_s
                captured_at = None if is_told_again else _captured_at(answer)
                yield Shot(picture=picture, took_s=took_s, captured_at=captured_at)
            before, told_before = answer.body, told_at
            pace.wait(self._period_s - (time.monotonic() - asked_mono_s))

    def _ask(self, session: requests.Session) -> _Answer:
        """Ask once, and once more with a login where the camera wants one."""
        for _ in range(2):
            with session.get(
                self._url,
                headers=self._headers(),
                timeout=_WITHIN_S,
                stream=True,
                allow_redirects=False,
            ) as response:
                if response.status_code == 200:
                    self._refuse_stream(response)
                    return self._read(response)
                self._note_challenge(response)
        raise self._unavailable("does not accept the password")

    def _headers(self) -> dict[str, str | bytes]:
        headers: dict[str, str | bytes] = {
            "Accept": "image/jpeg, image/png",
            "Accept-Encoding": "identity",
        }
        answer = (
            self._login.answer(self._challenges, "GET", self._url)
            if self._login and self._challenges
            else None
        )
        if answer:
            headers["Authorization"] = answer.encode()  # a user's name is UTF-8 (RFC 7616, 3.4)
        return headers

    def _note_challenge(self, response: requests.Response) -> None:
        """Keep what a 401 asks for; anything else, or a 401 without a password to give, is an error."""
        if response.status_code != 401:
            raise self._unavailable(f"answers HTTP {response.status_code}")
        if self._login is None:
            raise self._unavailable("wants a password")
        self._challenges = response.raw.headers.getlist("WWW-Authenticate")[:4]

    def _refuse_stream(self, response: requests.Response) -> None:
        """Say at once what the deadline would end with worse words: an MJPEG stream has no end."""
        if response.headers.get("Content-Type", "").lower().startswith("multipart/"):
            raise self._unavailable("sends a stream of pictures; name the address of a single one")

    def _read(self, response: requests.Response) -> _Answer:
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._limits.max_bytes:
                raise self._unavailable(f"sends more than {self._limits.max_bytes} bytes")
        return _Answer(
            body=bytes(body), headers=response.headers, received_at=SystemClock().now_at()
        )

    def _picture(self, answer: _Answer) -> Picture:
        try:
            return read_picture(answer.body, self._limits)
        except ImageError as err:
            raise self._unavailable(f"sends no usable picture: {err.detail}") from err

    def _unavailable(self, what: str) -> CameraError:
        return CameraError(ErrorCode.CAMERA_UNAVAILABLE, f"{self._address.shown} {what}")


def _captured_at(answer: _Answer) -> datetime | None:
    """Tell by our clock when a picture was taken, from the age that the camera tells by its own.

    `Last-Modified` against `Date` needs no right clock in the camera; `Last-Modified` or `X-Timestamp` (seconds since
    1970, of ustreamer and mjpg-streamer) alone does, and is believed when it is not in the future.
    """
    told_at = _told_at(answer)
    if told_at is None:
        return None
    now_there_at = _date(answer, "Date") if "X-Timestamp" not in answer.headers else None
    age = (now_there_at or answer.received_at) - told_at
    return answer.received_at - age if timedelta(0) <= age < _PLAUSIBLE else None


def _told_at(answer: _Answer) -> datetime | None:
    try:
        seconds = float(answer.headers["X-Timestamp"])
        if math.isfinite(seconds):
            return datetime.fromtimestamp(seconds, UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        pass
    return _date(answer, "Last-Modified")


def _date(answer: _Answer, name: str) -> datetime | None:
    return read_http_date(answer.headers.get(name, ""))


def _plain(err: Exception) -> str:
    """Say in few words what broke."""
    if isinstance(err, requests.exceptions.ConnectTimeout | requests.exceptions.ReadTimeout):
        return f"gave no picture in {_WITHIN_S:g} s"
    if isinstance(err, requests.exceptions.SSLError):
        return "has a certificate that is not trusted"
    return f"cannot be reached ({type(err).__name__})"
