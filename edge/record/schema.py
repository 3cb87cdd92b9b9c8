"""The tables of the evidence store. Ring: adapter (SQLite).

`journal` is the only truth. Everything else is an index over it, which a check compares with the journal: `event`
points to the newest entry of each kind, `frame` to the entry of each picture, `file` counts who needs a picture's file.
`head` holds the chain's last hash of each day and the bytes that came that day, by the clock by which evidence ages.
`doomed` names files that are being deleted, so that a crash between row and file leaves nothing behind.
"""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE journal(
        seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, event_id TEXT, line TEXT, row_sha256 TEXT NOT NULL,
        chain TEXT NOT NULL
    );
    CREATE INDEX journal_of_event ON journal(event_id, seq);
    CREATE TABLE event(
        event_id TEXT PRIMARY KEY, camera TEXT NOT NULL, severity TEXT NOT NULL, grade TEXT NOT NULL,
        opened_at TEXT NOT NULL, kept_at TEXT NOT NULL, is_closed INTEGER NOT NULL, is_test INTEGER NOT NULL,
        is_reviewed INTEGER NOT NULL DEFAULT 0, is_held INTEGER NOT NULL DEFAULT 0, opened_seq INTEGER NOT NULL,
        event_seq INTEGER NOT NULL, origin_seq INTEGER, acknowledged_seq INTEGER, marked_seq INTEGER, held_seq INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX event_by_time ON event(opened_at, event_id);
    CREATE TABLE frame(
        event_id TEXT NOT NULL, frame_id TEXT NOT NULL, seq INTEGER NOT NULL, sha256 TEXT NOT NULL,
        PRIMARY KEY(event_id, frame_id)
    ) WITHOUT ROWID;
    CREATE INDEX frame_by_file ON frame(sha256);
    CREATE TABLE file(sha256 TEXT PRIMARY KEY, bytes INTEGER NOT NULL, uses INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE head(
        day TEXT PRIMARY KEY, seq INTEGER NOT NULL, chain TEXT NOT NULL, bytes INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE doomed(sha256 TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE fact(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
    """,
)
