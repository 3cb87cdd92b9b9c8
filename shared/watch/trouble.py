"""A trouble: something about the system, not the site, that a person can do something about. Ring: domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

_MOST_AT_ONCE = 1024  # 64 cameras with every finding each; beyond that a caller invents subjects


class TroubleKind(StrEnum):
    """What kind of thing is wrong; the values are wire words and metric labels."""

    CAMERA = "camera"
    VIEW = "view"
    LINK = "link"
    DISK = "disk"
    CLOCK = "clock"
    MODEL = "model"
    BUDGET = "budget"
    SINK = "sink"
    SELFTEST = "selftest"
    OUTBOX = "outbox"
    THREAD = "thread"
    RESTART = "restart"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleKey:
    """What makes a trouble the same one."""

    kind: TroubleKind
    subject: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One trouble, unique by kind, subject and code.

    `subject` is the camera, sink, disk or thread it is about ("" for the box itself). `code` names the finding within
    its kind in snake_case (for instance `frozen` of a view), so that pages can say it in their language. `cause` and
    `remedy` are sentences; `figures` names what the cause tells in numbers, names and details, so that another
    language can tell them, too. `needs_acknowledgement`: it does not go away by itself. `acknowledged_at` and `_by`: a
    person has seen it; None and "" before.
    """

    kind: TroubleKind
    subject: str
    code: str
    cause: str
    remedy: str
    since: datetime
    needs_acknowledgement: bool = False
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    figures: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> TroubleKey:
        """Give what makes it the same one."""
        return TroubleKey(kind=self.kind, subject=self.subject, code=self.code)


class TroubleBook:
    """The troubles that hold now, in the order they began; not for use by several threads at once.

    Troubles of the process before are not active, but remembered: one that is raised again while it is remembered
    keeps its `since` and that it was acknowledged.
    """

    def __init__(self, kept: Iterable[Trouble] = ()) -> None:
        """Take up what was kept; those that need an acknowledgement are active at once."""
        all_kept = list(kept)
        self._active = {t.key: t for t in all_kept if t.needs_acknowledgement}
        self._remembered = {t.key: t for t in all_kept if not t.needs_acknowledgement}

    def note(self, trouble: Trouble) -> bool:
        """Put down a trouble, or its newest words; its first `since` and acknowledgement stay.

        Returns:
            whether it is new. False also when the book is full: the newest is dropped then.
        """
        known = self._active.get(trouble.key) or self._remembered.pop(trouble.key, None)
        is_new = trouble.key not in self._active
        if is_new and len(self._active) >= _MOST_AT_ONCE:
            return False
        if known is not None:
            trouble = replace(
                trouble,
                since=known.since,
                acknowledged_at=known.acknowledged_at,
                acknowledged_by=known.acknowledged_by,
            )
        self._active[trouble.key] = trouble
        return is_new

    def clear(self, kind: TroubleKind, subject: str, code: str | None = None) -> list[Trouble]:
        """Strike out what is over, all codes of a subject for None; gives what was struck out."""
        over = [
            key
            for key in self._active
            if (key.kind, key.subject) == (kind, subject) and code in (None, key.code)
        ]
        return [self._active.pop(key) for key in over]

    def acknowledge(self, key: TroubleKey, *, by: str, at: datetime) -> Trouble | None:
        """Write down that a person has seen it; one that waited for that is over. None when it is not active."""
        trouble = self._active.get(key)
        if trouble is None:
            return None
        seen = replace(trouble, acknowledged_at=at, acknowledged_by=by)
        if trouble.needs_acknowledgement:
            del self._active[key]
        else:
            self._active[key] = seen
        return seen

    def forget_remembered(self) -> None:
        """Drop what was not raised again since the start: it ended while nobody watched."""
        self._remembered.clear()

    def active(self) -> tuple[Trouble, ...]:
        """Give what holds now."""
        return tuple(self._active.values())

    def to_keep(self) -> tuple[Trouble, ...]:
        """Give what the next process should know."""
        return tuple({**self._remembered, **self._active}.values())
