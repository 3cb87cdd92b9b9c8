"""Who is signed in: sessions that end, and where they are kept. Ring: domain."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from shared.clock import Clock
from shared.roles import Session, digest, new_secret

MOST_SESSIONS = 1_000  # above, the one that was silent longest has to sign in again
_NOTED_EVERY = 20  # a session's last request is known to this part of its idle time, for one write in many requests


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSession:
    """A session, and about when it was last used."""

    session: Session
    seen_at: datetime


class SessionStore(Protocol):
    """Where sessions are kept, by the digest of their id; bounded. Safe for use by many threads."""

    def load(self, key: str) -> SeenSession | None:
        """Give a session; None when it is not known."""
        ...

    def save(self, key: str, seen: SeenSession) -> None:
        """Keep a session, in place of what was kept under this key."""
        ...

    def remove(self, key: str) -> None:
        """Forget a session; raises FireError when it may come back."""
        ...


class MemorySessions:
    """Sessions of one process; a restart signs everybody out."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, SeenSession] = OrderedDict()

    def load(self, key: str) -> SeenSession | None:
        """Give a session."""
        with self._lock:
            seen = self._seen.get(key)
            if seen is not None:
                self._seen.move_to_end(key)
            return seen

    def save(self, key: str, seen: SeenSession) -> None:
        """Keep a session; above the bound the one that was silent longest goes."""
        with self._lock:
            self._seen[key] = seen
            self._seen.move_to_end(key)
            while len(self._seen) > MOST_SESSIONS:
                self._seen.popitem(last=False)

    def remove(self, key: str) -> None:
        """Forget a session."""
        with self._lock:
            self._seen.pop(key, None)


class Sessions:
    """Who is signed in, by the digest of a random id; safe for use by many threads.

    Times are wall times, since sessions may be kept over restarts and by several machines.
    """

    def __init__(
        self, clock: Clock, *, idle_s: float, longest_s: float, store: SessionStore | None = None
    ) -> None:
        """A session ends `idle_s` after its last request, and `longest_s` after its beginning; None keeps in memory."""
        self._clock = clock
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._store = store or MemorySessions()

    def begin(self, name: str, kept: str) -> str:
        """Sign somebody in; the id that is returned goes into the cookie and is kept nowhere."""
        now_at, session_id = self._clock.now_at(), new_secret()
        session = Session(name=name, kept=kept, form_token=new_secret(), began_at=now_at)
        self._store.save(digest(session_id), SeenSession(session=session, seen_at=now_at))
        return session_id

    def find(self, session_id: str) -> Session | None:
        """Give the session of a cookie; None when it is unknown or over."""
        key, now_at = digest(session_id), self._clock.now_at()
        seen = self._store.load(key)
        if seen is None:
            return None
        idle_s = (now_at - seen.seen_at).total_seconds()
        lasts_s = (now_at - seen.session.began_at).total_seconds()
        if idle_s > self._idle_s or lasts_s > self._longest_s:
            return None
        if idle_s > self._idle_s / _NOTED_EVERY:
            self._store.save(key, replace(seen, seen_at=now_at))
        return seen.session

    def end(self, session_id: str) -> None:
        """Sign one session out.

        Raises:
            FireError: it could not be forgotten everywhere.
        """
        self._store.remove(digest(session_id))
