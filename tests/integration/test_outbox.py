from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

import edge.outbox.outbox
import shared.disk.store
from edge.box.troubles import outbox_troubles
from edge.decide.uplink import Uplink, UploadForm
from edge.outbox.item import (
    Delivered,
    ItemClass,
    OutboxItem,
    Outcome,
    Poison,
    Retry,
    StoredItem,
)
from edge.outbox.order import Room
from edge.outbox.outbox import Outbox, OutboxRules
from edge.outbox.store import OutboxStore
from shared.clock import SystemClock
from shared.errors import StoreError
from tests.helpers.alerts import KEEP, drain, ids, item, outbox_in
from tests.helpers.clock import FakeClock
from tests.helpers.disks import locked
from tests.helpers.waiting import wait_until


class Cloud:
    """A receiver that is away until a test says otherwise."""

    def __init__(self) -> None:
        self.is_away = True
        self.got: list[OutboxItem] = []

    def take(self, item: OutboxItem) -> Outcome:
        if self.is_away:
            return Retry(reason="no route to host")
        self.got.append(item)
        return Delivered()


def test_six_hours_without_a_cloud_and_two_restarts_lose_nothing_and_keep_each_event_in_order(
    tmp_path: Path,
) -> None:
    clock, cloud, put = FakeClock(), Cloud(), 0
    chance = random.Random(6)
    expected: dict[str, list[str]] = {}
    for run in range(3):
        with outbox_in(tmp_path, clock) as outbox:
            outbox.handle("cloud", cloud.take)
            for _ in range(120):  # every minute of two hours
                for _ in range(chance.randrange(4)):
                    put += 1
                    key = f"event-{chance.randrange(40)}"
                    item_class = ItemClass.ALARM if put % 3 else ItemClass.EVIDENCE
                    outbox.put([item(f"{put}", key=key, item_class=item_class, number=put)])
                    expected.setdefault(key, []).append(f"{put}")
                drain(outbox, "cloud", clock, seconds=60.0)
            assert not cloud.got
            assert sum(outbox.status().items.values()) == put
            if run == 2:
                cloud.is_away = False
                drain(outbox, "cloud", clock, seconds=600.0)
                status = outbox.status()
    assert sum(status.items.values()) == 0
    assert len(cloud.got) == put
    for key, wanted in expected.items():
        assert [one.item_id for one in cloud.got if one.key == key] == wanted


def test_a_backlog_drains_at_its_pace_and_leaves_the_thin_link_to_live_frames(
    tmp_path: Path,
) -> None:
    clock, cloud = FakeClock(), Cloud()
    form = UploadForm(long_side_px=1280, quality=75)
    link = Uplink(best=form, bytes_per_s=200_000, burst_bytes=1_000_000, clock=clock)
    refused_live = 0
    with outbox_in(tmp_path, clock, link=link, link_bytes=1_000_000) as outbox:
        outbox.handle("cloud", cloud.take)
        for number in range(100):
            outbox.put(
                [
                    item(
                        f"{number}",
                        key=f"{number}",
                        item_class=ItemClass.EVIDENCE,
                        picture=bytes([number]) * 100_000,
                    )
                ]
            )
        cloud.is_away = False
        for _ in range(100):  # a live frame each second, while the backlog goes
            refused_live += link.choose(80_000, 1280, 2.5) is None
            link.spend(80_000)
            drain(outbox, "cloud", clock, seconds=1.0)
        assert refused_live == 0
        assert len(cloud.got) == 100


def test_an_alarm_overtakes_a_backlog_and_waits_for_no_pace(tmp_path: Path) -> None:
    clock, cloud = FakeClock(), Cloud()
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        for number in range(50):
            outbox.put([item(f"t{number}", key=f"{number}", item_class=ItemClass.TELEMETRY)])
        outbox.put([item("alarm", key="fire")])
        assert outbox.step("cloud") == 0.0
    assert ids(cloud.got) == ["alarm"]


def test_a_picture_goes_out_as_it_came_in_and_is_kept_once(tmp_path: Path) -> None:
    clock, cloud, picture = FakeClock(), Cloud(), b"\xff\xd8" + bytes(1000)
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        outbox.put([item("1", picture=picture), item("2", key="b", picture=picture)])
        assert _pictures(tmp_path) == 1
        outbox.step("cloud")
        assert _pictures(tmp_path) == 1
        outbox.step("cloud")
        assert _pictures(tmp_path) == 0
    assert [one.picture for one in cloud.got] == [picture, picture]


def test_a_damaged_row_is_set_apart_and_holds_up_no_other(tmp_path: Path) -> None:
    clock, cloud = FakeClock(), Cloud()
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.put([item("1", key="a"), item("2", key="b")])
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.sqlite3")) as db, db:
        db.execute("UPDATE item SET payload='{cut' WHERE item_id='1'")
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        drain(outbox, "cloud", clock, seconds=60.0)
        assert outbox.status().quarantined == 1
    assert ids(cloud.got) == ["2"]


def test_the_same_item_twice_goes_out_once(tmp_path: Path) -> None:
    clock, cloud = FakeClock(), Cloud()
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        outbox.put([item("1")])
        outbox.put([item("1"), item("2")])
        drain(outbox, "cloud", clock, seconds=5.0)
    assert ids(cloud.got) == ["1", "2"]


def test_a_refused_item_is_set_aside_shown_and_comes_back_on_request(tmp_path: Path) -> None:
    clock = FakeClock()
    answers: dict[str, Outcome] = {"bad": Poison(reason="HTTP 400")}
    got: list[str] = []

    def deliver(one: OutboxItem) -> Outcome:
        outcome = answers.get(one.item_id, Delivered())
        if outcome == Delivered():
            got.append(one.item_id)
        return outcome

    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", deliver)
        outbox.put([item("bad"), item("next")])
        drain(outbox, "cloud", clock, seconds=60.0)
        assert got == ["next"]
        assert outbox.status().quarantined == 1
        assert [t.code for t in outbox_troubles(outbox.status(), clock.now_at())] == ["quarantined"]
    with outbox_in(tmp_path, clock) as outbox:  # it is still set aside after a restart
        outbox.handle("cloud", deliver)
        assert outbox.status().quarantined == 1
        outside = OutboxStore(tmp_path / "outbox.sqlite3")
        assert [(row.item_id, row.error) for row in outside.rows()] == [("bad", "HTTP 400")]
        answers.clear()
        assert outside.release("bad")
        assert not outside.release("bad")
        outside.close()
        outbox.reread()
        drain(outbox, "cloud", clock, seconds=5.0)
        assert outbox.status().quarantined == 0
    assert got == ["next", "bad"]


def test_what_another_process_drops_is_not_sent(tmp_path: Path) -> None:
    clock, cloud = FakeClock(), Cloud()
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        outbox.put([item("1"), item("2"), item("3")])
        outside = OutboxStore(tmp_path / "outbox.sqlite3")
        outside.remove([(row.seq, row.item_class) for row in outside.rows()[:2]], "dropped")
        outside.close()
        outbox.step("cloud")  # not yet noticed: the row is gone all the same
        assert ids(cloud.got) == []
        outbox.reread()
        drain(outbox, "cloud", clock, seconds=5.0)
    assert ids(cloud.got) == ["3"]


def test_what_expires_is_counted_and_shown_over_a_restart(tmp_path: Path) -> None:
    clock, cloud = FakeClock(), Cloud()
    rules = OutboxRules(
        room=Room(max_items=100, max_bytes=10_000_000),
        keep={**KEEP, ItemClass.TELEMETRY: timedelta(days=1)},
    )
    with outbox_in(tmp_path, clock, rules=rules) as outbox:
        outbox.handle("cloud", cloud.take)
        outbox.put([item("old", item_class=ItemClass.TELEMETRY), item("alarm", key="fire")])
        clock.advance(86_400.0)
        assert outbox.expire() == 1
        status = outbox.status()
        assert status.items[ItemClass.TELEMETRY] == 0
        assert status.items[ItemClass.ALARM] == 1
        assert [t.code for t in outbox_troubles(status, clock.now_at())] == ["lost"]
    with outbox_in(tmp_path, clock, rules=rules) as outbox:
        assert outbox.status().ended[ItemClass.TELEMETRY] == {"expired": 1}


def test_a_full_outbox_drops_telemetry_then_evidence_and_takes_every_alarm(tmp_path: Path) -> None:
    clock = FakeClock()
    rules = OutboxRules(room=Room(max_items=4, max_bytes=10_000_000), keep=KEEP)
    with outbox_in(tmp_path, clock, rules=rules) as outbox:
        for number, item_class in enumerate(
            [ItemClass.EVIDENCE, ItemClass.TELEMETRY, ItemClass.EVIDENCE, ItemClass.TELEMETRY]
        ):
            outbox.put([item(f"{number}", key=f"{number}", item_class=item_class)])
        for number in range(6):
            outbox.put([item(f"alarm-{number}", key=f"fire-{number}")])
        outbox.put([item("late", item_class=ItemClass.EVIDENCE)])
        status = outbox.status()
    assert status.items == {ItemClass.ALARM: 6, ItemClass.EVIDENCE: 0, ItemClass.TELEMETRY: 0}
    assert status.ended[ItemClass.TELEMETRY] == {"dropped": 2}
    assert status.ended[ItemClass.EVIDENCE] == {"dropped": 3}


def test_a_receiver_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    stuck, done = threading.Event(), threading.Event()
    clock = SystemClock()

    def hang(one: OutboxItem) -> Outcome:
        stuck.wait(30)
        return Delivered()

    def work(one: OutboxItem) -> Outcome:
        if one.item_id == "99":
            done.set()
        return Delivered()

    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("hangs", hang)
        outbox.handle("works", work)
        outbox.start()
        outbox.put([item("stuck", kind="hangs")])
        for number in range(100):
            outbox.put([item(f"{number}", kind="works", key=f"{number}")])
        assert done.wait(40)
        stuck.set()


def test_a_receiver_that_goes_mad_keeps_its_thread(tmp_path: Path) -> None:
    clock, tries = FakeClock(), []

    def mad(one: OutboxItem) -> Outcome:
        tries.append(one.item_id)
        if len(tries) < 3:
            raise ZeroDivisionError("oops")
        return Delivered()

    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", mad)
        outbox.put([item("1")])
        drain(outbox, "cloud", clock, seconds=60.0)
        assert outbox.status().items[ItemClass.ALARM] == 0
    assert len(tries) == 3


def test_a_disk_that_takes_nothing_stops_no_alarm(tmp_path: Path) -> None:
    clock, cloud = FakeClock(), Cloud()
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        _fill_disk(outbox)
        outbox.put([item("alarm", picture=b"x" * 100_000)])
        evidence = item("e", item_class=ItemClass.EVIDENCE, picture=b"y" * 100_000)
        with pytest.raises(StoreError):
            outbox.put([evidence])
        codes = [t.code for t in outbox_troubles(outbox.status(), clock.now_at())]
        assert "not_written" in codes
        drain(outbox, "cloud", clock, seconds=5.0)
    assert ids(cloud.got) == ["alarm"]


def test_what_is_put_while_another_process_changes_is_read_again_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, cloud = FakeClock(), Cloud()
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        outbox.put([item("refused", key="other")])
        other = OutboxStore(tmp_path / "outbox.sqlite3")
        other.remove([(1, ItemClass.ALARM)], "dropped")
        other.close()
        rows = outbox._store.rows

        def read_then_put() -> list[StoredItem]:
            found = rows()
            outbox.put([item("alarm")])
            return found

        monkeypatch.setattr(outbox._store, "rows", read_then_put)
        outbox.reread()
        drain(outbox, "cloud", clock, seconds=5.0)
    assert ids(cloud.got) == ["alarm"]


def test_a_file_that_is_gone_is_a_trouble_and_no_line_a_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with outbox_in(tmp_path, SystemClock()) as outbox:
        outbox.handle("cloud", lambda one: Delivered())
        outbox.put([item("alarm")])
        (tmp_path / "outbox.sqlite3").rename(tmp_path / "elsewhere")
        outbox.start()
        wait_until(lambda: "moved or deleted" in (outbox.status().disk_trouble or ""))
        time.sleep(1.5)  # it is found again at each look
    assert len(capsys.readouterr().out.splitlines()) <= 1


def test_a_disk_that_hangs_stops_no_alarm_and_sends_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.disk.store, "_BUSY_TIMEOUT_S", 30.0)
    clock, cloud = FakeClock(), Cloud()
    cloud.is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", cloud.take)
        with locked(tmp_path / "outbox.sqlite3"):
            started_s = time.monotonic()
            outbox.put([item("first", picture=b"x" * 100)])
            outbox.put([item("second", key="another event")])
            took_s = time.monotonic() - started_s
        assert took_s < 15.0  # the lock is waited for thirty seconds, each time
        wait_until(lambda: outbox.status().disk_trouble is None)
        drain(outbox, "cloud", clock, seconds=5.0)
    assert ids(cloud.got) == ["first", "second"]
    with outbox_in(tmp_path, clock) as outbox:
        assert outbox.status().items[ItemClass.ALARM] == 0
        assert _pictures(tmp_path) == 0


def test_an_alarm_that_no_disk_took_and_its_receiver_refuses_for_good_is_counted_as_lost(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    with outbox_in(tmp_path, clock) as outbox:
        outbox.handle("cloud", lambda one: Poison(reason="never"))
        _fill_disk(outbox)
        outbox.put([item("alarm", picture=b"x" * 100_000)])
        drain(outbox, "cloud", clock, seconds=600.0)
        assert outbox.status().lost == {"dropped": 1}
        assert outbox._unwritten.numbers() == set()


def test_putting_wakes_the_thread_that_would_sleep_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.outbox.outbox, "_LOOK_AGAIN_S", 600.0)
    arrived: list[str] = []

    def take(one: OutboxItem) -> Outcome:
        arrived.append(one.item_id)
        return Delivered()

    with outbox_in(tmp_path, SystemClock()) as outbox:
        outbox.handle("cloud", take)
        outbox.start()
        for number in range(3):
            time.sleep(0.1)  # the thread sleeps by now
            outbox.put([item(f"{number}", key=f"{number}")])
            wait_until(lambda wanted=f"{number}": wanted in arrived)


def _fill_disk(outbox: Outbox) -> None:
    """Let SQLite say what it says on a full disk: no page more."""
    with outbox._store._store.transaction() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count={pages}")


def _pictures(folder: Path) -> int:
    connection = sqlite3.connect(folder / "outbox.sqlite3")
    try:
        (count,) = connection.execute("SELECT count(*) FROM picture").fetchone()
    finally:
        connection.close()
    return int(count)
