"""What a cloud keeps beside pictures: who is signed in, and what edges reported. Ring: domain.

A store may be away: who was signed in at this process stays so, and what edges reported here is still known.
"""

from __future__ import annotations

from typing import Protocol

from cloud.fleet.fleet import FleetStore
from shared.access.sessions import MOST_SESSIONS, MemorySessions, SeenSession, SessionStore
from shared.errors import FireError


class KeptState(SessionStore, FleetStore, Protocol):
    """A store for both; every call may raise FireError while it is away."""

    @property
    def trouble(self) -> str | None:
        """Tell why nothing can be kept; None when it can, and where others tell that already."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class MirroredSessions:
    """Sessions in a store, and in memory for while that is away, see `shared.access.sessions.SessionStore`."""

    def __init__(self, store: SessionStore) -> None:
        """Keep the store; it is asked first, since other processes may have signed somebody out."""
        self._store = store
        self._memory = MemorySessions()
        self._unsaved: set[str] = set()  # what the store missed while it was away

    def load(self, key: str) -> SeenSession | None:
        """Give a session as the store knows it, or as it was last known here."""
        try:
            seen = self._store.load(key)
        except FireError:
            return self._memory.load(key)
        if seen is None and key in self._unsaved and (seen := self._memory.load(key)):
            self.save(key, seen)
        elif seen is None:
            self._memory.remove(key)
        else:
            self._memory.save(key, seen)
        return seen

    def save(self, key: str, seen: SeenSession) -> None:
        """Keep a session, where possible in the store."""
        self._memory.save(key, seen)
        try:
            self._store.save(key, seen)
        except FireError:  # told as a trouble by whoever owns the store
            if len(self._unsaved) < MOST_SESSIONS:
                self._unsaved.add(key)
        else:
            self._unsaved.discard(key)

    def remove(self, key: str) -> None:
        """Forget a session everywhere, or raise."""
        self._memory.remove(key)
        self._unsaved.discard(key)
        self._store.remove(key)
