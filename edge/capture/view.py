"""Looks at a camera's view about once a second. Ring: adapter (picture decoding)."""

from __future__ import annotations

import contextlib
import hashlib
import threading

from edge.capture.quality import THUMB_HEIGHT_PX, THUMB_WIDTH_PX, ViewHealth
from edge.capture.state import ViewFinding
from shared.clock import Clock
from shared.errors import ImageError
from shared.picture.imaging import grey_thumbnail
from shared.types import Picture

_EVERY_S = 0.9  # a look takes 3 ms of one core at 720p, nearly all of it for the thumbnail


class View:
    """Feeds `ViewHealth` with thumbnails; safe for use by many threads."""

    def __init__(self, clock: Clock) -> None:
        """Look at the first picture that comes."""
        self._clock = clock
        self._health = ViewHealth()
        self._lock = threading.Lock()
        # Held over a look: a posted picture may come while another is looked at.
        self._looking = threading.Lock()
        self._next_mono_s = clock.mono_s()

    def look(self, picture: Picture) -> None:
        """Look at a picture, or not, when the last look was a moment ago; a damaged one is left to the classifier."""
        with self._lock:
            now_mono_s = self._clock.mono_s()
            if now_mono_s < self._next_mono_s:
                return
            if not self._looking.acquire(blocking=False):
                return
            self._next_mono_s = now_mono_s + _EVERY_S
        try:
            with contextlib.suppress(ImageError):
                thumbnail = grey_thumbnail(picture, THUMB_WIDTH_PX, THUMB_HEIGHT_PX)
                digest = hashlib.blake2b(picture.encoded, digest_size=8).digest()
                self._health.note(thumbnail, digest, now_mono_s)
        finally:
            self._looking.release()

    def findings(self) -> tuple[ViewFinding, ...]:
        """Give what is wrong with the view."""
        return self._health.findings()

    def learn_anew(self) -> None:
        """Take what is seen from now on as usual."""
        self._health.learn_anew()
