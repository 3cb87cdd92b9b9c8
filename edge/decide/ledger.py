"""Charges on disk, one row a call. Ring: adapter (SQLite, a thread)."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from edge.decide.audit import Audit
from edge.decide.budget import DISK_WITHIN_S, Charge
from shared.disk.disk_thread import PATIENCE_S, DiskThread, on_disk
from shared.disk.store import Store
from shared.errors import StoreError

_MIGRATIONS = (
    """
    CREATE TABLE charge(
        call_id TEXT PRIMARY KEY, day TEXT NOT NULL, cost_micros INTEGER NOT NULL, camera TEXT, tier TEXT NOT NULL,
        is_open INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX charge_by_day ON charge(day)
    """,
    """
    CREATE TABLE audit(
        call_id TEXT PRIMARY KEY, day TEXT NOT NULL, camera TEXT, presence REAL NOT NULL, is_miss INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX audit_by_day ON audit(day);
    CREATE TABLE first_price(id INTEGER PRIMARY KEY CHECK (id = 1), day TEXT NOT NULL, price REAL NOT NULL)
    """,
)


_DAY = "[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"  # anything else was not written by us


class Ledger:
    """The store behind `BudgetManager`; every change is synced before it returns.

    Every call may raise StoreError, and does so soon where the disk hangs, but for those that only a start makes.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StoreError
        """
        self._store = Store(path, _MIGRATIONS, is_checked=True)
        self._disk = DiskThread("ledger")

    def insert(self, charge: Charge, *, within_s: float = PATIENCE_S) -> bool:
        """Write a charge; False when an open one of that id is there. A refunded id pays again.

        One that comes to be after `within_s` is given back: nobody made that call.
        """
        return self._disk.do(
            lambda: self._insert(charge),
            within_s=within_s,
            late=lambda is_new: is_new and self._refund(charge.call_id),
        )

    def is_open(self, call_id: str, *, within_s: float = PATIENCE_S) -> bool:
        """Tell whether an open charge of that id is there."""
        return self._disk.do(lambda: self._is_open(call_id), within_s=within_s)

    @on_disk
    def refund(self, call_id: str) -> Charge | None:
        """Close an open charge and return it."""
        return self._refund(call_id)

    def set_cost(self, call_id: str, cost_micros: int) -> None:
        """Change what an open charge costs; a change that comes too late is taken back."""
        self._disk.do(
            lambda: self._set_cost(call_id, cost_micros),
            late=lambda before_micros: self._set_cost(call_id, before_micros),
        )

    def _insert(self, charge: Charge) -> bool:
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT is_open FROM charge WHERE call_id=?", (charge.call_id,)
            ).fetchone()
            if row and row[0]:
                return False
            db.execute(
                "INSERT OR REPLACE INTO charge VALUES(?,?,?,?,?,1)",
                (charge.call_id, charge.day, charge.cost_micros, charge.camera, charge.tier),
            )
        return True

    def _is_open(self, call_id: str) -> bool:
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT 1 FROM charge WHERE call_id=? AND is_open=1", (call_id,)
            ).fetchone()
        return row is not None

    def _refund(self, call_id: str) -> Charge | None:
        with self._store.transaction() as db:
            row = db.execute(
                "UPDATE charge SET is_open=0 WHERE call_id=? AND is_open=1 RETURNING day, cost_micros, camera, tier",
                (call_id,),
            ).fetchone()
        if row is None:
            return None
        return Charge(call_id=call_id, day=row[0], cost_micros=row[1], camera=row[2], tier=row[3])

    @on_disk
    def find(self, call_id: str) -> Charge | None:
        """Give an open charge."""
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT day, cost_micros, camera, tier FROM charge WHERE call_id=? AND is_open=1",
                (call_id,),
            ).fetchone()
        if row is None:
            return None
        return Charge(call_id=call_id, day=row[0], cost_micros=row[1], camera=row[2], tier=row[3])

    def _set_cost(self, call_id: str, cost_micros: int) -> int:
        """Change a cost and give what it was before."""
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT cost_micros FROM charge WHERE call_id=? AND is_open=1", (call_id,)
            ).fetchone()
            db.execute(
                "UPDATE charge SET cost_micros=? WHERE call_id=? AND is_open=1",
                (cost_micros, call_id),
            )
        return int(row[0]) if row else 0

    def spent_on(self, day: str) -> int:
        """Sum the open charges of a day that is over, while a frame waits."""
        return self._disk.do(lambda: self.spent_micros(day), within_s=DISK_WITHIN_S)

    def spent_micros(self, day: str) -> int:
        """Sum the open charges of a day."""
        with self._store.transaction() as db:
            (total,) = db.execute(
                "SELECT coalesce(sum(cost_micros), 0) FROM charge WHERE day=? AND is_open=1", (day,)
            ).fetchone()
        return int(total)

    @on_disk
    def spent_micros_since(self, day: str) -> int:
        """Sum the open charges of a day and of all days after it."""
        with self._store.transaction() as db:
            (total,) = db.execute(
                "SELECT coalesce(sum(cost_micros), 0) FROM charge WHERE day>=? AND is_open=1",
                (day,),
            ).fetchone()
        return int(total)

    @on_disk
    def move(self, *, after: str) -> None:
        """Let what the days after a day paid count for that day."""
        with self._store.transaction() as db:
            db.execute("UPDATE charge SET day=? WHERE day>?", (after, after))

    @on_disk
    def calls(self, day: str) -> int:
        """Count the calls of a day that were paid, and not refunded."""
        with self._store.transaction() as db:
            (number,) = db.execute(
                "SELECT count(*) FROM charge WHERE day=? AND is_open=1", (day,)
            ).fetchone()
            return int(number)

    def spent_micros_of_month(self, month: str) -> int:
        """Sum the open charges of a month, `YYYY-MM`."""
        with self._store.transaction() as db:
            (total,) = db.execute(
                "SELECT coalesce(sum(cost_micros), 0) FROM charge"
                " WHERE day BETWEEN ? AND ? AND is_open=1",
                (f"{month}-01", f"{month}-31"),
            ).fetchone()
        return int(total)

    def spent_by_camera(self, day: str) -> dict[str | None, int]:
        """Sum the open charges of a day by camera; None stands for frames without one."""
        with self._store.transaction() as db:
            rows = db.execute(
                "SELECT camera, sum(cost_micros) FROM charge WHERE day=? AND is_open=1"
                " GROUP BY camera",
                (day,),
            ).fetchall()
        return dict(rows)

    def last_day(self) -> str:
        """Tell the latest day with a charge, empty without any."""
        with self._store.transaction() as db:
            (day,) = db.execute("SELECT max(day) FROM charge WHERE day GLOB ?", (_DAY,)).fetchone()
        return day or ""

    @on_disk
    def prune(self, before_day: str) -> int:
        """Forget charges and audits of the days before a day, `YYYY-MM-DD`; gives how many."""
        with self._store.transaction() as db:
            charges = db.execute("DELETE FROM charge WHERE day<?", (before_day,)).rowcount
            return charges + db.execute("DELETE FROM audit WHERE day<?", (before_day,)).rowcount

    @property
    def trouble(self) -> str | None:
        """Tell why it cannot be written; None when it can, as far as is known."""
        return self._disk.trouble or self._store.trouble

    def look_again(self) -> None:
        """Find out whether a ledger that could not be written can be now, also while nothing is spent."""
        if self.trouble is not None:
            with contextlib.suppress(StoreError):
                self.last_day()  # after any transaction the store tries to write

    def note_audit(self, call_id: str, audit: Audit) -> None:
        """Keep what an audit found, while its frame waits."""
        self._disk.do(lambda: self._note_audit(call_id, audit), within_s=DISK_WITHIN_S)

    def _note_audit(self, call_id: str, audit: Audit) -> None:
        with self._store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO audit VALUES(?,?,?,?,?)",
                (call_id, audit.day, audit.camera, audit.presence, audit.is_miss),
            )

    @on_disk
    def audits(self, first_day: str, last_day: str) -> list[Audit]:
        """Give the audits of some local days, both ends included."""
        with self._store.transaction() as db:
            rows = db.execute(
                "SELECT day, camera, presence, is_miss FROM audit WHERE day BETWEEN ? AND ?",
                (first_day, last_day),
            ).fetchall()
        return [Audit(day=d, camera=c, presence=p, is_miss=bool(m)) for d, c, p, m in rows]

    def load(self) -> tuple[str, float] | None:
        """Give the first price that was saved last, with its day."""
        with self._store.transaction() as db:
            row = db.execute("SELECT day, price FROM first_price").fetchone()
        is_sound = row is not None and isinstance(row[1], float) and math.isfinite(row[1])
        return (str(row[0]), row[1]) if is_sound else None

    def save(self, day: str, first_price: float) -> None:
        """Keep the first price of a day, while a frame waits."""
        self._disk.do(lambda: self._save(day, first_price), within_s=DISK_WITHIN_S)

    def _save(self, day: str, first_price: float) -> None:
        with self._store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO first_price VALUES(1, ?, ?)", (day, first_price))

    def close(self) -> None:
        """Close the file."""
        self._disk.stop(self._store.close)
