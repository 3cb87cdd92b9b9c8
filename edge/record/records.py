"""The evidence store: events, frames, origins and what people said of them, on disk when a call returns.

Ring: adapter (SQLite, disk, threads). Reading is `edge.record.archive`'s, the rows are `edge.record.journal`'s.
Pictures are on disk before the row that names them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from edge.alert.notice import Notice
from edge.event.fire_event import FireEvent, KeptFrame, Origin
from edge.record.archive import Archive
from edge.record.chain import EntryKind
from edge.record.clock_set import ClockSet, clock_set_body
from edge.record.codec import event_body, notice_body, origin_body
from edge.record.export import export
from edge.record.journal import Journal, is_needed
from edge.record.keep_clock import KeepClock
from edge.record.opening import OpenedStore, open_store
from edge.record.prune import Pruner
from edge.record.retention import Forecast, KeepRules, Pruned
from edge.record.troubles import (
    CLOCK_OFF,
    FILLING,
    FULL,
    NOT_WRITTEN,
    clock_off,
    lost,
    not_written,
    room,
    set_aside,
    unreadable,
)
from edge.record.types import EventPage, EventQuery, EventRecord, FrameRecord, Mark, Verification
from edge.record.verification import verify
from shared.clock import Clock
from shared.disk.blobs import Blobs, refuse_link
from shared.disk.disk_thread import DiskThread
from shared.disk.store import turn
from shared.error_code import ErrorCode
from shared.errors import FolderTaken, StoreError
from shared.logs import get_logger
from shared.watch.trouble import Trouble, TroubleKind

_DEFAULT_RULES = KeepRules()
# Shorter: a disk that spins up counts as one that hangs. Longer: a box whose disk hangs at the start watches later.
_OPENED_WITHIN_S = 6.0


class Troubles(Protocol):
    """Where a trouble is told; raising the same one again is no news."""

    def raise_trouble(self, trouble: Trouble) -> None:
        """Tell a trouble."""
        ...

    def clear(self, kind: TroubleKind, subject: str, code: str | None = None) -> None:
        """Say that it is over."""
        ...


class Records:
    """The store; safe for use by many threads and beside the command line, writers one after another.

    Every call raises StoreError when the disk cannot be used, and that is a trouble until it can.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        troubles: Troubles,
        camera_facts: Callable[[str], Mapping[str, Any]] = lambda camera: {},
        rules: KeepRules = _DEFAULT_RULES,
        free_bytes: Callable[[], int | None] = lambda: None,
        zone: tzinfo = UTC,
        is_visitor: bool = False,
    ) -> None:
        """Open or create the store, and bring in order what a crash left.

        A disk that cannot be written now, or a folder that is a symbolic link, is a trouble, not an error: a box must
        watch and alert without evidence, too, and every later call tries to open the store again. A database that is
        damaged is set aside, and that is a trouble, too.

        Args:
            folder: of journal and pictures; no symbolic link, which would lead evidence elsewhere.
            clock: of entries and of ageing.
            troubles: where the store says what is wrong with it.
            camera_facts: what is known of a camera, kept with each event.
            rules: what goes when.
            free_bytes: tells the room of the disk.
            zone: whose local time reports tell.
            is_visitor: a command beside the service, which alone brings the store in order.

        Raises:
            FolderTaken: another box records there: each would take the other's open events for ones left by a crash.
            StoreError: its schema is newer, or the folder of a visitor is a link.
        """
        self._folder = folder
        self._clock = clock
        self._troubles = troubles
        self._camera_facts = camera_facts
        self._zone = zone
        self._is_visitor = is_visitor
        self._lock = threading.Lock()
        self._disk = DiskThread("evidence", patience_s=_OPENED_WITHIN_S)
        self._reading = DiskThread("evidence-read")
        self._is_open: OpenedStore | None = None
        self._reader: Archive | None = None
        self._is_late = False
        self._damaged: set[str] = set()
        self._pruner = Pruner(self, rules, free_bytes)
        if is_visitor:
            refuse_link(folder)
        try:
            self._open()
        except StoreError as err:
            if err.code is ErrorCode.STORE_SCHEMA or isinstance(err, FolderTaken):
                raise
            self._is_late = True
            self._troubles.raise_trouble(not_written(err.detail, clock.now_at()))

    @property
    def came_late(self) -> bool:
        """Tell whether the store could not be opened at the start, and is open now: it may hold what nobody closed."""
        return self._is_late and self._is_open is not None

    def open_event(self, event: FireEvent, before: Sequence[KeptFrame]) -> None:
        """Keep a new event, with the frames from before it and the one that opened it; once more changes nothing."""
        facts = dict(self._camera_facts(event.camera))
        with self.writing([kept.frame.picture.encoded for kept in before]) as (journal, names):
            if not journal.is_known(event.event_id):
                body = {"event": event_body(event), "camera": facts}
                journal.append_event(EntryKind.OPENED, event, body)
                for kept, name in zip(before, names, strict=True):
                    journal.append_frame(event.event_id, kept, name)

    def update_event(self, event: FireEvent) -> None:
        """Keep what an event has become."""
        with self.writing() as (journal, _):
            journal.require(event.event_id)
            journal.append_event(EntryKind.UPDATED, event, {"event": event_body(event)})

    def close_event(self, event: FireEvent) -> None:
        """Keep how an event ended."""
        with self.writing() as (journal, _):
            journal.require(event.event_id)
            journal.append_event(EntryKind.CLOSED, event, {"event": event_body(event)})

    def add_frame(self, event_id: str, kept: KeptFrame) -> None:
        """Keep a frame of an event; one that is kept already gets the later verdict as an entry of its own."""
        with self.writing([kept.frame.picture.encoded]) as (journal, names):
            journal.require(event_id)
            journal.append_frame(event_id, kept, names[0])

    def set_origin(self, event_id: str, origin: Origin) -> None:
        """Keep where and when an event began; the newest word holds."""
        with self.writing() as (journal, _):
            journal.append_about(event_id, EntryKind.ORIGIN, origin_body(origin))

    def note_alert(self, event_id: str, notice: Notice) -> None:
        """Keep what came of a message about an event; of one that is not kept any more nothing is."""
        with self.writing() as (journal, _):
            if journal.is_known(event_id):
                journal.append(EntryKind.ALERTED, event_id, notice_body(notice))

    def acknowledge(self, event_id: str, *, by: str) -> None:
        """Keep that somebody has seen it; the pages show who did so last, the journal everybody."""
        with self.writing() as (journal, _):
            journal.append_about(event_id, EntryKind.ACKNOWLEDGED, {"by": by})

    def label(self, event_id: str, mark: Mark | None, *, by: str, note: str = "") -> None:
        """Keep what a person says it was; None takes that back."""
        body = {"mark": mark.value if mark else None, "by": by, "text": note}
        with self.writing() as (journal, _):
            journal.append_about(event_id, EntryKind.MARKED, body, is_reviewed=mark is not None)

    def hold(self, event_id: str, *, is_held: bool, by: str, why: str) -> None:
        """Keep it from being deleted, or let it go."""
        body = {"is_held": is_held, "by": by, "text": why}
        with self.writing() as (journal, _):
            journal.append_about(event_id, EntryKind.HELD, body, is_held=is_held)

    def events(self, query: EventQuery) -> EventPage:
        """Give a page of events, newest first, see `Archive.events`; one that is damaged is a trouble, once."""
        page = self.archive.events(query)
        for event_id in page.unreadable:
            self._note_damage(event_id)
        for record in page.events:
            if record.damaged:
                self._note_damage(record.event.event_id)
        return page

    def event(self, event_id: str) -> EventRecord:
        """Give one event, see `Archive.event`; one that is damaged is a trouble, once."""
        record = self.archive.event(event_id)
        if record.damaged:
            self._note_damage(event_id)
        return record

    def frames(self, event_id: str) -> tuple[FrameRecord, ...]:
        """Give the frames of an event; see `Archive.frames`."""
        return self.archive.frames(event_id)

    def alerts(self, event_id: str) -> tuple[Notice, ...]:
        """Tell who was told of an event; see `Archive.alerts`."""
        return self.archive.alerts(event_id)

    def picture(self, event_id: str, frame_id: str) -> bytes:
        """Give a frame's picture; see `Archive.picture`."""
        return self.archive.picture(event_id, frame_id)

    def prune(self) -> Pruned:
        """Take away what is old enough, and what is worth least when room is needed; tell what is wrong with either."""
        self._follow_clock()
        pruned = self._pruner.prune()
        found = room(self._pruner.forecast(), pruned, self._clock.now_at())
        self._tell([FILLING, FULL], found)
        return pruned

    def forecast(self) -> Forecast:
        """Tell how long the room lasts at the rate of the last 24 hours."""
        return self._pruner.forecast()

    def verify(self) -> Verification:
        """Check everything that is kept; reads all of it."""
        return verify(self.archive)

    def export(self, event_id: str, target: BinaryIO, *, is_chinese: bool) -> None:
        """Write the zip of an event for somebody else; see `edge.record.export`."""
        export(self.archive, event_id, target, zone=self._zone, is_chinese=is_chinese)

    def trust_clock(self) -> None:
        """Let evidence age by the wall clock of the start: somebody vouches for it."""
        self.keep_clock.trust_start()
        with self.writing():
            pass  # what is written holds the time

    @property
    def archive(self) -> Archive:
        """Give the reading side; also of a disk that cannot be written."""
        try:
            return self._open().archive
        except StoreError as err:
            try:
                return self._reading.do(self._read)
            except StoreError:
                raise err from None  # why it cannot be opened says more than why it cannot be read

    @property
    def keep_clock(self) -> KeepClock:
        """Give the clock by which evidence ages."""
        return self._open().keep_clock

    def sweep(self, before: datetime) -> int:
        """Delete the pictures of a journal that was set aside before a time, and it; gives how many files."""
        opened = self._open()
        set_aside_at = opened.archive.set_aside_at()
        if set_aside_at is None or set_aside_at >= before:
            return 0
        old = [path for path in self._folder.iterdir() if ".damaged-" in path.name]
        with opened.store.transaction() as db:
            old += [path for path in opened.pictures.settled() if not is_needed(db, path.name)]
            for path in old:
                path.unlink(missing_ok=True)
            db.execute("DELETE FROM fact WHERE name='set_aside_at'")
        return len(old)

    def bury(self) -> None:
        """Delete the files whose rows are gone."""
        self._open().bury()

    def close(self) -> None:
        """Close the store; one whose disk hangs is left open."""
        self._disk.stop(self._close)
        self._reading.stop(self._close_reader)

    def _open(self) -> OpenedStore:
        """Give the open store; open it and bring it in order when it is not."""
        return self._is_open or self._disk.do(self._open_once)

    def _open_once(self) -> OpenedStore:
        if self._is_open is None:
            opened = open_store(self._folder, self._clock, is_visitor=self._is_visitor)
            if opened.aside:
                self._troubles.raise_trouble(set_aside(opened.aside, self._clock.now_at()))
            self._is_open = opened
        return self._is_open

    def _close(self) -> None:
        if self._is_open is not None:
            self._is_open.close()

    def _read(self) -> Archive:
        self._reader = self._reader or Archive(self._folder)
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    @contextlib.contextmanager
    def writing(self, contents: Sequence[bytes] = ()) -> Iterator[tuple[Journal, list[str]]]:
        """Stage pictures, write rows, settle the pictures: all of it or nothing, and a failure is a trouble."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(turn(self._lock, self._folder))
                refuse_link(self._folder)
                opened = self._open()
                with opened.pictures.staging(contents) as names, opened.store.transaction() as db:
                    journal = opened.journal(db)
                    clock_set = self._write_clock(opened, journal)
                    yield journal, names
                    needed = [name for name in names if journal.is_needed(name)]
                    _require_files(opened.pictures, needed)
                    journal.mark_time()
            except StoreError as err:
                self._troubles.raise_trouble(not_written(err.detail, self._clock.now_at()))
                with contextlib.suppress(StoreError):
                    self._disk.do(self._let_go_if_lost)
                raise
            if clock_set:
                opened.keep_clock.note_wall_set(clock_set)
            opened.settle(needed)
            opened.pictures.discard(set(names) - set(needed))
        self._tell([NOT_WRITTEN], [])

    def _write_clock(self, opened: OpenedStore, journal: Journal) -> ClockSet | None:
        """Write down that the clock was set, before anything that bears its new time."""
        found = None if self._is_visitor else opened.keep_clock.wall_set()
        if found:
            body = clock_set_body(found)
            get_logger().warning("clock_set", **body)
            journal.append(EntryKind.CLOCK_SET, None, body)
        return found

    def _let_go_if_lost(self) -> None:
        """Close a journal that was moved or deleted under us, so that the next call opens what lies there then."""
        opened = self._is_open
        if opened is None or not opened.store.is_lost():
            return
        self._is_open = None
        opened.close()
        self._troubles.raise_trouble(lost(self._clock.now_at()))

    def _follow_clock(self) -> None:
        """Take over a time that somebody vouched for beside the service, and tell when the wall clock disagrees."""
        opened = self._open()
        vouched_at = opened.archive.last_kept_at()
        if vouched_at is not None:
            opened.keep_clock.not_before(vouched_at)
        off = clock_off(opened.keep_clock.wall_is_ahead(), self._clock.now_at())
        self._tell([CLOCK_OFF], [off] if off else [])

    def _note_damage(self, event_id: str) -> None:
        if event_id not in self._damaged:
            self._damaged.add(event_id)
            self._troubles.raise_trouble(unreadable(event_id, self._clock.now_at()))

    def _tell(self, codes: Sequence[str], found: Iterable[Trouble]) -> None:
        """Tell which of some troubles hold now; the others of them are over."""
        told = set()
        for trouble in found:
            self._troubles.raise_trouble(trouble)
            told.add(trouble.code)
        for code in set(codes) - told:
            self._troubles.clear(TroubleKind.EVIDENCE, "", code)


def _require_files(pictures: Blobs, names: Sequence[str]) -> None:
    """Hold against a deletion by another process between staging and now."""
    for name in names:
        if not pictures.has(name):
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, f"picture {name} vanished; try again")
