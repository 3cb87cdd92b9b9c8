"""Charges on disk, one row a call. Ring: adapter (SQLite)."""

from __future__ import annotations

import contextlib
from pathlib import Path

from edge.audit import Audit
from edge.budget import Charge
from shared.errors import StoreError
from shared.store import Store

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


class Ledger:
    """The store behind `BudgetManager`; every change is synced before it returns."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StoreError
        """
        self._store = Store(path, _MIGRATIONS, is_checked=True)

    def insert(self, charge: Charge) -> bool:
        """Write a charge; False when an open one of that id is there. A refunded id pays again."""
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

    def is_open(self, call_id: str) -> bool:
        """Tell whether an open charge of that id is there."""
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT 1 FROM charge WHERE call_id=? AND is_open=1", (call_id,)
            ).fetchone()
        return row is not None

    def refund(self, call_id: str) -> Charge | None:
        """Close an open charge and return it."""
        with self._store.transaction() as db:
            row = db.execute(
                "UPDATE charge SET is_open=0 WHERE call_id=? AND is_open=1 RETURNING day, cost_micros, camera, tier",
                (call_id,),
            ).fetchone()
        if row is None:
            return None
        return Charge(call_id=call_id, day=row[0], cost_micros=row[1], camera=row[2], tier=row[3])

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

    def set_cost(self, call_id: str, cost_micros: int) -> None:
        """Change what an open charge costs."""
        with self._store.transaction() as db:
            db.execute(
                "UPDATE charge SET cost_micros=? WHERE call_id=? AND is_open=1",
                (cost_micros, call_id),
            )

    def spent_micros(self, day: str) -> int:
        """Sum the open charges of a day."""
        with self._store.transaction() as db:
            (total,) = db.execute(
                "SELECT coalesce(sum(cost_micros), 0) FROM charge WHERE day=? AND is_open=1", (day,)
            ).fetchone()
        return int(total)

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
            (day,) = db.execute("SELECT max(day) FROM charge").fetchone()
        return day or ""

    def prune(self, before_day: str) -> int:
        """Forget charges and audits of the days before a day, `YYYY-MM-DD`; gives how many."""
        with self._store.transaction() as db:
            charges = db.execute("DELETE FROM charge WHERE day<?", (before_day,)).rowcount
            return charges + db.execute("DELETE FROM audit WHERE day<?", (before_day,)).rowcount

    @property
    def trouble(self) -> str | None:
        """Tell why it cannot be written; None when it can, as far as is known."""
        return self._store.trouble

    def look_again(self) -> None:
        """Find out whether a ledger that could not be written can be now, also while nothing is spent."""
        if self.trouble is not None:
            with contextlib.suppress(StoreError), self._store.transaction():
                pass

    def note_audit(self, call_id: str, audit: Audit) -> None:
        """Keep what an audit found."""
        with self._store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO audit VALUES(?,?,?,?,?)",
                (call_id, audit.day, audit.camera, audit.presence, audit.is_miss),
            )

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
        return (str(row[0]), float(row[1])) if row else None

    def save(self, day: str, first_price: float) -> None:
        """Keep the first price of a day."""
        with self._store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO first_price VALUES(1, ?, ?)", (day, first_price))

    def close(self) -> None:
        """Close the file."""
        self._store.close()
