"""Work on a disk that may hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from shared.disk.disk_thread import DiskThread
from shared.errors import StoreError
from tests.helpers.waiting import wait_until


class Disk:
    """Stands in for a disk: work on it ends while the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.written: list[str] = []

    def write(self, what: str) -> str:
        assert self.gate.wait(40)
        self.written.append(what)
        return what

    def take_back(self, what: str) -> None:
        self.written.remove(what)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def thread(disk: Disk) -> Iterator[DiskThread]:
    built = DiskThread("disk", hangs_after_s=0.1)
    yield built
    disk.gate.set()
    built.stop()


def test_what_a_disk_that_hangs_takes_after_all_is_taken_back(disk, thread):
    with pytest.raises(StoreError, match="does not answer"):
        thread.do(lambda: disk.write("late"), within_s=0.05, late=disk.take_back)
    wait_until(lambda: thread.trouble)
    disk.gate.set()
    wait_until(lambda: thread.trouble is None)
    assert thread.do(lambda: disk.write("next")) == "next"
    assert disk.written == ["next"]


def test_a_process_that_was_stopped_for_a_while_does_not_take_its_disk_for_one_that_hangs(
    disk, thread, monkeypatch
):
    class Missed(Future):
        """Its first wait is over as soon as it begins."""

        waits = 0

        def result(self, timeout=None):
            self.waits += 1
            if self.waits == 1:
                raise TimeoutError
            disk.gate.set()
            return super().result(timeout)

    monkeypatch.setattr("shared.disk.disk_thread.Future", Missed)
    assert thread.do(lambda: disk.write("at last"), within_s=40.0) == "at last"


def test_while_a_disk_hangs_everybody_else_is_refused_at_once(disk, thread):
    with pytest.raises(StoreError):
        thread.do(lambda: disk.write("hangs"), within_s=0.2)
    started_s = time.monotonic()
    for _ in range(100):
        with pytest.raises(StoreError):
            thread.do(lambda: disk.write("refused"), within_s=30.0)
    assert time.monotonic() - started_s < 10.0
    disk.gate.set()
    wait_until(lambda: thread.trouble is None)
    assert disk.written == ["hangs"]


def test_what_was_not_begun_in_time_is_never_done(disk):
    thread = DiskThread("disk")
    first = threading.Thread(target=lambda: thread.do(lambda: disk.write("first"), within_s=40.0))
    first.start()
    with pytest.raises(StoreError):
        thread.do(lambda: disk.write("second"), within_s=0.2)
    assert thread.trouble is None  # the first still has its time
    disk.gate.set()
    first.join(40)
    thread.do(lambda: disk.write("third"))
    thread.stop()
    assert disk.written == ["first", "third"]


def test_after_its_end_nobody_waits_for_it(disk):
    for is_used in (True, False):
        thread = DiskThread("disk")
        disk.gate.set()
        if is_used:
            thread.do(lambda: disk.write("before"))
        thread.stop()
        assert thread.do(lambda: disk.write("after"), within_s=30.0) == "after"


def test_what_the_work_raises_is_raised_to_whoever_asked(disk, thread):
    def fail() -> None:
        raise TimeoutError("the disk's own words")

    with pytest.raises(TimeoutError, match="own words"):
        thread.do(fail)
    assert thread.trouble is None
