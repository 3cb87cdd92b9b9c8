"""State that survives: migrations with a copy, backups beside the running service, and restoring them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.box.state_copy import Places, back_up
from edge.cli import main
from edge.record.types import Mark
from shared.disk.blobs import Blobs
from shared.disk.store import Store
from shared.errors import StoreError
from tests.helpers.clock import FakeClock
from tests.helpers.disks import small_disk
from tests.helpers.evidence import AT, fill, fire_event, kept_frame, open_records
from tests.helpers.services import Running, running_edge
from tests.helpers.waiting import wait_until

_ONE = "CREATE TABLE one(x INTEGER)"
_TWO = "ALTER TABLE one ADD COLUMN y INTEGER"


def _run(*arguments: object) -> Result:
    environment = {"CREDENTIALS_DIRECTORY": "/nonexistent"}
    return CliRunner().invoke(main, ["state", *map(str, arguments)], env=environment)


def _back_up(state: Path, folder: Path) -> Path:
    result = _run("backup", folder, "--state", state)
    assert result.exit_code == 0, result.output
    (path,) = folder.glob("*.tar")
    return path


def _back_up_with(config: Path, folder: Path) -> Path:
    result = _run("backup", folder, "--config", config)
    assert result.exit_code == 0, result.output
    (path,) = folder.glob("*.tar")
    return path


def test_a_database_is_copied_before_it_is_migrated(tmp_path):
    path = tmp_path / "s.sqlite3"
    store = Store(path, [_ONE])
    with store.transaction() as db:
        db.execute("INSERT INTO one VALUES(7)")
    store.close()
    Store(path, [_ONE, _TWO]).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite3.schema-1")) as copy:
        assert copy.execute("SELECT * FROM one").fetchall() == [(7,)]
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM one").fetchall() == [(7, None)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path):
    path = tmp_path / "s.sqlite3"
    Store(path, [_ONE]).close()
    with pytest.raises(StoreError):
        Store(path, [_ONE, f"{_TWO}; NONSENSE"])
    Store(path, [_ONE]).close()


def test_a_new_database_and_one_that_is_up_to_date_leave_no_copy(tmp_path):
    for _ in range(2):
        Store(tmp_path / "s.sqlite3", [_ONE, _TWO]).close()
    assert list(tmp_path.glob("*.schema-*")) == []


def test_a_backup_beside_the_running_service_comes_back_whole(tmp_path, models):
    state = tmp_path / "state"
    with running_edge(state, models, policy={"daily_limit": 10}) as edge:
        fill(edge.service._kept.records, "one")
        edge.service._plane.budget.check_and_deduct(20_000, call_id="paid")
        backup = _back_up(state, tmp_path / "backups")
        fill(edge.service._kept.records, "after")
    result = _run("restore", backup, "--state", state)
    assert result.exit_code == 0, result.output
    assert "what was there before" in result.output
    with running_edge(state, models, policy={"daily_limit": 10}) as edge:
        events = edge.get("/events").json()["result"]["events"]
        assert [event["event_id"] for event in events] == ["one"]
        picture = edge.get("/events/one/frames/one-1").content
        assert picture == kept_frame("one-1").frame.picture.encoded
        assert edge.service._plane.budget.remaining_micros() == 10_000_000 - 20_000
        assert edge.service._kept.records.verify().is_unaltered
        assert edge.get("/troubles").json()["result"]["troubles"] == []  # it was not killed
    (old,) = state.glob("before-restore-*")
    with open_records(old / "evidence") as records:
        assert records.event("after").frames_kept == 3


def test_a_backup_can_be_restored_on_a_new_box(tmp_path):
    with open_records(tmp_path / "a" / "evidence") as records:
        fill(records)
        records.label("event", Mark.TRUE, by="mei")
    backup = _back_up(tmp_path / "a", tmp_path / "backups")
    assert _run("restore", backup, "--state", tmp_path / "b").exit_code == 0
    with open_records(tmp_path / "b" / "evidence") as records:
        assert records.event("event").mark is Mark.TRUE
        assert records.verify().is_unaltered


def test_evidence_on_a_disk_of_its_own_is_backed_up_and_restored_there(tmp_path):
    config = tmp_path / "edge.toml"
    config.write_text(
        f"state = '{tmp_path / 'state'}'\n[evidence]\nfolder = '{tmp_path / 'disk' / 'evidence'}'\n"
    )
    (tmp_path / "state").mkdir()
    with open_records(tmp_path / "disk" / "evidence") as records:
        fill(records)
    assert _run("backup", tmp_path / "b", "--config", config).exit_code == 0
    (backup,) = (tmp_path / "b").glob("*.tar")
    with open_records(tmp_path / "disk" / "evidence") as records:
        fill(records, "after")
    result = _run("restore", backup, "--config", config)
    assert result.exit_code == 0, result.output
    with open_records(tmp_path / "disk" / "evidence") as records:
        assert [r.event.event_id for r in records.archive.removable()] == ["event"]
        assert records.verify().is_unaltered


def test_a_backup_comes_back_into_mounted_disks_and_for_the_user_whose_they_are(tmp_path):
    with small_disk(tmp_path / "state", "4m") as state, small_disk(tmp_path / "disk", "4m") as disk:
        os.chown(state, 12345, 12345)
        config = tmp_path / "edge.toml"
        config.write_text(f"state = '{state}'\n[evidence]\nfolder = '{disk}'\n")
        with open_records(disk) as records:
            fill(records)
        backup = _back_up_with(config, tmp_path / "b")
        result = _run("restore", backup, "--config", config)
        assert result.exit_code == 0, result.output
        with open_records(disk) as records:
            assert records.verify().is_unaltered
        assert {path.stat().st_uid for path in state.iterdir()} == {12345}
        assert list(disk.glob("before-restore-*/records.sqlite3"))
        second = _back_up_with(config, tmp_path / "second")
    with tarfile.open(second) as tar:
        assert not [name for name in tar.getnames() if "before-restore" in name]


def test_what_a_killed_service_had_not_yet_merged_is_moved_away_with_its_database(tmp_path):
    state = tmp_path / "s"
    Store(state / "ledger.sqlite3", [_ONE]).close()
    backup = _back_up(state, tmp_path / "b")
    killed = "import os, sys; from pathlib import Path; from shared.disk.store import Store\n"
    killed += f"store = Store(Path({str(state / 'ledger.sqlite3')!r}), [{_ONE!r}])\n"
    killed += "with store.transaction() as db: db.execute('INSERT INTO one VALUES(7)')\n"
    killed += "os._exit(9)"
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert (state / "ledger.sqlite3-wal").exists()
    assert _run("restore", backup, "--state", state).exit_code == 0
    with contextlib.closing(sqlite3.connect(state / "ledger.sqlite3")) as db:
        assert db.execute("SELECT * FROM one").fetchall() == []


def test_an_old_evidence_folder_that_was_left_behind_is_in_no_backup(tmp_path):
    config = tmp_path / "edge.toml"
    config.write_text(f"state = '{tmp_path / 's'}'\n[evidence]\nfolder = '{tmp_path / 'disk'}'\n")
    for folder, event_id in ((tmp_path / "s" / "evidence", "old"), (tmp_path / "disk", "new")):
        with open_records(folder) as records:
            fill(records, event_id)
    backup = _back_up_with(config, tmp_path / "b")
    result = _run("restore", backup, "--config", config)
    assert result.exit_code == 0, result.output
    with open_records(tmp_path / "disk") as records:
        assert records.event("new").frames_kept == 3
        assert records.verify().is_unaltered


def test_a_backup_while_evidence_is_pruned_still_verifies(tmp_path, monkeypatch):
    clock = FakeClock(AT)
    with open_records(tmp_path / "s" / "evidence", clock) as records:
        fill(records, "one")
        fill(records, "two")
        read, is_pruned = Blobs.read, []

        def read_while_pruning(self: Blobs, name: str) -> bytes:
            if not is_pruned:
                is_pruned.append(True)
                with records.writing() as (journal, _):
                    journal.remove_event("one", "a test")
                records.bury()
            return read(self, name)

        monkeypatch.setattr(Blobs, "read", read_while_pruning)
        backup = _back_up(tmp_path / "s", tmp_path / "b")
    assert _run("restore", backup, "--state", tmp_path / "new").exit_code == 0
    with open_records(tmp_path / "new" / "evidence") as records:
        assert records.event("two").frames_kept == 3
        assert records.verify().is_unaltered


def test_a_running_service_is_not_restored_over(tmp_path, models):
    with running_edge(tmp_path / "s", models):
        backup = _back_up(tmp_path / "s", tmp_path / "b")
        result = _run("restore", backup, "--state", tmp_path / "s")
    assert (result.exit_code, "in use by another process" in result.output) == (2, True)


def _packed(path: Path, listing: bytes, name: str = "a", mode: int = 0o600) -> Path:
    """Pack one file, with a list of one's own."""
    with tarfile.open(path, "w") as tar:
        for member, content in ((name, b"a"), ("manifest.json", listing)):
            info = tarfile.TarInfo(member)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return path


def _listing(name: str) -> bytes:
    return json.dumps({"files": {name: hashlib.sha256(b"a").hexdigest()}}).encode()


@pytest.mark.parametrize("damage", ["cut", "byte", "text", "path"])
def test_a_damaged_backup_is_refused_and_nothing_is_touched(tmp_path, damage):
    with open_records(tmp_path / "s" / "evidence") as records:
        records.open_event(fire_event(), [kept_frame(encoded=b"\xff\xd8\xff" + b"q" * 5000)])
    backup = _back_up(tmp_path / "s", tmp_path / "b")
    content = backup.read_bytes()
    if damage == "cut":
        backup.write_bytes(content[: len(content) // 2])
    elif damage == "byte":
        backup.write_bytes(content.replace(b"qqqq", b"qqqr", 1))
    elif damage == "text":
        backup.write_text("hello")
    else:
        _packed(backup, _listing("../evil"), "../evil")
    before = {path.relative_to(tmp_path / "s") for path in (tmp_path / "s").rglob("*")}
    result = _run("restore", backup, "--state", tmp_path / "s")
    assert (result.exit_code, "error 4006" in result.output) == (2, True), result.output
    after = {path.relative_to(tmp_path / "s") for path in (tmp_path / "s").rglob("*")}
    assert after - {Path("lock")} == before
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    "listing", [b"[]", b'{"files": []}', b'{"files": "x"}', b"[" * 200_000, b'{"files": {"a": 1}}']
)
def test_a_backup_whose_list_is_none_is_damaged(tmp_path, listing):
    result = _run("restore", _packed(tmp_path / "b.tar", listing), "--state", tmp_path / "s")
    assert (result.exit_code, "error 4006" in result.output) == (2, True), result.output


def test_nothing_that_is_restored_can_be_run(tmp_path):
    backup = _packed(tmp_path / "b.tar", _listing("a"), mode=0o6777)
    assert _run("restore", backup, "--state", tmp_path / "s").exit_code == 0
    assert (tmp_path / "s" / "a").stat().st_mode & 0o7111 == 0


def test_a_backup_can_be_read_by_its_owner_only(tmp_path):
    (tmp_path / "s").mkdir()
    backup = _back_up(tmp_path / "s", tmp_path / "b")
    assert backup.stat().st_mode & 0o077 == 0


def test_a_backup_each_night_fills_no_disk_and_touches_no_other_boxs(tmp_path, monkeypatch):
    places = Places(state=tmp_path / "s", evidence=tmp_path / "s" / "evidence")
    Store(places.state / "ledger.sqlite3", [_ONE]).close()
    for box in ("gate", "gate-2"):  # both at three o'clock, into one folder
        monkeypatch.setattr("platform.node", lambda box=box: box)
        for night in range(4):
            back_up(places, tmp_path / "b", AT + timedelta(days=night), keep=2)
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "emberlink-edge-gate-2-20260312T120000Z.tar",
        "emberlink-edge-gate-2-20260313T120000Z.tar",
        "emberlink-edge-gate-20260312T120000Z.tar",
        "emberlink-edge-gate-20260313T120000Z.tar",
    ]


def test_a_service_can_write_its_log_to_a_file(tmp_path, models):
    config = tmp_path / "edge.toml"
    config.write_text(
        f"state = '{tmp_path / 's'}'\nmodels = '{models}'\n[server]\nport = 0\n"
        f"[model]\nvariant = 'fp32'\n[log]\nfile = '{tmp_path / 'logs' / 'edge.log'}'\n"
    )
    command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
    with subprocess.Popen(command) as service:
        log = tmp_path / "logs" / "edge.log"
        try:
            wait_until(lambda: log.exists() and "edge_ready" in log.read_text(), 100.0)
        finally:
            service.terminate()
    assert "edge_stopped" in log.read_text()


def codes(edge: Running) -> set[str]:
    found = edge.get("/troubles").json()["result"]["troubles"]
    return {f"{trouble['kind']}.{trouble['code']}" for trouble in found}


def test_rows_that_cannot_be_read_any_more_keep_no_box_from_starting(tmp_path, models):
    with running_edge(tmp_path, models):
        pass
    garbage = {
        "outbox.sqlite3": [
            "INSERT INTO item(item_id, kind, key, class, payload, bytes, created_at, expires_at)"
            " VALUES('a', 'alert.log', 'e', 'alarn', '{}', 2, '', '')",
            "INSERT INTO tally VALUES('alarn', 'dropped', 1)",
        ],
        "selftest.sqlite3": [
            "INSERT INTO result VALUES('gate', '{')",
            "UPDATE since SET at = CAST(x'32ff' AS TEXT)",
        ],
        "zones.sqlite3": [
            "INSERT INTO zones(camera, at, by, body) VALUES('gate', '?', CAST(x'ff' AS TEXT), '{}')",
        ],
        "ledger.sqlite3": [
            "INSERT INTO charge VALUES('a', CAST(x'ff' AS TEXT), 2, 'gate', 'routine', 1)",
            "INSERT OR REPLACE INTO first_price VALUES(1, '2026-03-10', 'much')",
        ],
        "evidence/records.sqlite3": ["UPDATE fact SET value = CAST(x'ff' AS TEXT)"],
        "alerts.sqlite3": ["INSERT INTO alert_case VALUES('event', '{')"],
    }
    for name, statements in garbage.items():
        with contextlib.closing(sqlite3.connect(tmp_path / name, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)
    with running_edge(tmp_path, models, cameras={"gate": {"source": "push:"}}) as edge:
        assert edge.get("/readyz").status_code == 200
        assert edge.get("/policy").json()["result"]["day"] < "3"
        assert "disk.zones_unread" in codes(edge)


def test_of_zones_that_cannot_be_read_the_version_before_holds_and_can_be_replaced(
    tmp_path, models
):
    cameras = {"gate": {"source": "push:"}}
    corner = {"kind": "ignore", "points": [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]}
    with running_edge(tmp_path, models, cameras=cameras) as edge:
        for after, name in enumerate(("first", "second")):
            edge.service._kept.zones.save("gate", {name: corner}, by="test", after=after)
    with contextlib.closing(
        sqlite3.connect(tmp_path / "zones.sqlite3", isolation_level=None)
    ) as db:
        db.execute("UPDATE zones SET body = CAST(x'7b22ff' AS TEXT) WHERE number = 2")
    with running_edge(tmp_path, models, cameras=cameras) as edge:
        zones = edge.service._kept.zones
        assert zones.zones("gate").keys() == {"first"}
        assert "disk.zones_unread" in codes(edge)
        newest = zones.saved("gate").number
        assert [saved.number for saved in zones.versions("gate", 9)] == [newest]
        zones.save("gate", {"third": corner}, by="test", after=newest)
    with running_edge(tmp_path, models, cameras=cameras) as edge:
        assert edge.service._kept.zones.zones("gate").keys() == {"third"}


def test_a_box_all_of_whose_files_are_damaged_starts_and_says_so_of_each(tmp_path, models):
    with running_edge(tmp_path, models):
        pass
    names = {path.name for path in tmp_path.glob("*.sqlite3")}
    assert len(names) > 5
    for name in names:
        (tmp_path / name).write_bytes(b"\0" * 65_536)
    with running_edge(tmp_path, models) as edge:
        told = codes(edge)
    assert {path.name.partition(".damaged-")[0] for path in tmp_path.glob("*.damaged-*")} == names
    assert {
        "outbox.set_aside",
        "budget.set_aside",
        "disk.counts_set_aside",
        "disk.zones_set_aside",
        "selftest.set_aside",
    } <= told
