"""Opens the evidence store on its disk, and brings in order what a crash left. Ring: adapter (SQLite, disk)."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge.record.archive import DATABASE, MAX_PICTURE_BYTES, PICTURES, Archive
from edge.record.chain import EntryKind
from edge.record.journal import Journal, is_needed
from edge.record.keep_clock import KeepClock
from edge.record.schema import MIGRATIONS
from shared.clock import Clock
from shared.disk.blobs import Blobs, refuse_link
from shared.disk.store import Store, set_damaged_aside
from shared.errors import StoreError
from shared.logs import get_logger
from shared.startup import hold_folder
from shared.version import commit, version


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedStore:
    """What is there once the store could be opened.

    `held` keeps other boxes out of the folder, `aside` names the damaged database that made room for this one.
    """

    held: IO[bytes] | None
    pictures: Blobs
    store: Store
    archive: Archive
    keep_clock: KeepClock
    clock: Clock
    aside: str | None

    def close(self) -> None:
        """Close the database and let go of the folder."""
        self.archive.close()
        self.store.close()
        if self.held:
            self.held.close()

    def journal(self, db: sqlite3.Connection) -> Journal:
        """Give the end of the journal inside a transaction."""
        return Journal(db, at=self.clock.now_at(), kept_at=self.keep_clock.now_at())

    def settle(self, names: Sequence[str]) -> None:
        """Move pictures to their place; they are safe and readable where they are when that fails."""
        try:
            self.pictures.settle(names)
        except StoreError as err:
            get_logger().error("pictures_not_settled", count=len(names), detail=err.detail)

    def bury(self) -> None:
        """Delete the files whose rows are gone; what a crash interrupts here is done at the next start."""
        names = [""]
        while names:
            with self.store.transaction() as db:
                names = [row[0] for row in db.execute("SELECT sha256 FROM doomed LIMIT 200")]
                # Another event may have come to need the same picture meanwhile.
                needed = {name for name in names if is_needed(db, name)}
                self.pictures.remove(set(names) - needed)
                db.executemany("DELETE FROM doomed WHERE sha256=?", [(name,) for name in names])


def open_store(folder: Path, clock: Clock, *, is_visitor: bool) -> OpenedStore:
    """Open or create the store; a visitor neither holds the folder nor brings it in order.

    Raises:
        FolderTaken: another box records there.
        StoreError: it cannot be opened now, or its schema is newer.
    """
    refuse_link(folder)
    with contextlib.ExitStack() as undo:
        held = None if is_visitor else undo.enter_context(hold_folder(folder))
        pictures = Blobs(folder / PICTURES, max_bytes=MAX_PICTURE_BYTES)
        store, aside = _open_database(folder / DATABASE, clock, is_visitor=is_visitor)
        undo.callback(store.close)
        archive = Archive(folder)
        undo.callback(archive.close)
        opened = OpenedStore(
            held=held,
            pictures=pictures,
            store=store,
            archive=archive,
            keep_clock=KeepClock(clock, archive.last_kept_at()),
            clock=clock,
            aside=aside,
        )
        if not is_visitor:
            _recover(opened)
        undo.pop_all()
    return opened


def _open_database(path: Path, clock: Clock, *, is_visitor: bool) -> tuple[Store, str | None]:
    """Open the database; one that is none is moved away, so that a box that stands alone goes on recording."""
    try:
        return Store(path, MIGRATIONS), None
    except StoreError as err:
        aside = None if is_visitor else set_damaged_aside(path, err, clock.now_at())
        if aside is None:
            raise
    return Store(path, MIGRATIONS), aside


def _recover(opened: OpenedStore) -> None:
    """Write down that the service started, and finish what a crash interrupted."""
    body = {"version": version(), "commit": commit(), "set_aside": opened.aside}
    with opened.store.transaction() as db:
        journal = opened.journal(db)
        journal.append(EntryKind.STARTED, None, body)
        if opened.aside:
            journal.note_set_aside()
        staged = opened.pictures.staged()
        needed = [name for name in staged if journal.is_needed(name)]
    opened.pictures.discard(set(staged) - set(needed))
    opened.settle(needed)
    try:
        opened.bury()
    except StoreError as err:  # a file that cannot be deleted keeps nothing from being recorded
        get_logger().error("pictures_not_deleted", detail=err.detail)
