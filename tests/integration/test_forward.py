"""The way to the cloud: its places, who may try a cloud that was down, and what a stop leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from edge.decide.budget import BudgetManager
from edge.decide.decider import Decider
from edge.decide.latency import Latency
from edge.decide.ledger import Ledger
from edge.decide.policies import PolicyName, build_simple_policy
from edge.decide.reasons import Reason
from edge.decide.uplink import Uplink, UploadForm
from edge.forward.cloud_client import CloudAnswer, MockCloudClient
from edge.forward.forwarder import Forwarder
from edge.forward.http_client import DEFAULT_RETRY, HttpCloudClient
from shared.breaker import Breaker, BreakerSettings
from shared.clock import Clock, SystemClock
from shared.deadline import Deadline
from shared.errors import LinkError
from shared.ids import Trace
from shared.types import Classification, Picture
from tests.helpers.clock import FakeClock
from tests.helpers.frames import frame, picture
from tests.helpers.stand_in_clouds import stand_in_cloud
from tests.helpers.waiting import wait_until

_LIMIT_MICROS = 1_000_000
_CLOCK = SystemClock()


class _Hanging(MockCloudClient):
    """A cloud whose socket never says anything."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.release = threading.Event(), threading.Event()

    def infer(
        self, picture: Picture, *, call_id: str, deadline: Deadline, trace: Trace | None
    ) -> CloudAnswer:
        self.is_asked.set()
        self.release.wait(30)
        raise RuntimeError("nobody answered")


@contextmanager
def _books(folder: Path) -> Iterator[BudgetManager]:
    ledger = Ledger(folder / "ledger.sqlite3")
    try:
        yield BudgetManager(
            limit_micros=_LIMIT_MICROS, zone=ZoneInfo("UTC"), store=ledger, now_at=_CLOCK.now_at
        )
    finally:
        ledger.close()


def _forwarder(
    client: MockCloudClient, books: BudgetManager, *, clock: Clock = _CLOCK, places: int = 1
) -> Forwarder:
    return Forwarder(
        client,
        breaker=Breaker(BreakerSettings(failures_to_open=1, probe_after_s=5.0), clock),
        books=books,
        latency=Latency(_CLOCK),
        max_in_flight=places,
        uplink=Uplink(
            best=UploadForm(long_side_px=1280, quality=75),
            bytes_per_s=0,
            burst_bytes=1_000_000,
            clock=_CLOCK,
        ),
    )


def _decider(books: BudgetManager, forwarder: Forwarder) -> Decider:
    policy = build_simple_policy(PolicyName.ALWAYS, threshold=0.7)
    return Decider(policy, budget=books, link=forwarder, cost_micros=20_000)


def test_the_last_place_is_kept_for_what_is_more_urgent(tmp_path):
    with _books(tmp_path) as books:
        forwarder = _forwarder(MockCloudClient(), books, places=2)
        assert forwarder.enter("routine", keep_places=1) is None
        assert forwarder.enter("another", keep_places=1) is Reason.FALLBACK_UPLINK_BUSY
        assert forwarder.enter("urgent") is None
        assert forwarder.enter("one more") is Reason.FALLBACK_UPLINK_BUSY
        forwarder.stop(1.0)


def test_a_probe_that_was_never_sent_leaves_its_turn_to_the_next(tmp_path):
    clock = FakeClock()
    with _books(tmp_path) as books:
        forwarder = _forwarder(MockCloudClient(), books, clock=clock, places=2)
        forwarder.breaker.failed("was away")
        assert forwarder.enter("too soon") is Reason.FALLBACK_CLOUD_DOWN
        clock.advance(5.0)
        assert forwarder.enter("cannot be paid") is None
        assert forwarder.enter("waits") is Reason.FALLBACK_CLOUD_DOWN
        forwarder.leave("cannot be paid")
        assert forwarder.enter("next") is None
        forwarder.stop(1.0)


def test_a_frame_that_was_decided_on_when_the_service_stopped_costs_nothing(tmp_path):
    with _books(tmp_path) as books:
        forwarder = _forwarder(MockCloudClient(latency_s=0), books)
        deadline = Deadline.after(600.0, _CLOCK)
        seen = Classification(fire=0.5, smoke=0.5)
        decision = _decider(books, forwarder).decide(frame(), seen, deadline)
        assert books.remaining_micros() == _LIMIT_MICROS - 20_000
        forwarder.stop(1.0)
        outcome = forwarder.send(frame(), decision, deadline).result(0)
        assert (outcome.reason, outcome.charged_micros) == (Reason.FALLBACK_CLOUD_DOWN, 0)
        assert books.remaining_micros() == _LIMIT_MICROS


def test_a_call_that_hangs_does_not_keep_the_service_from_stopping(tmp_path):
    with _books(tmp_path) as books:
        cloud = _Hanging()
        forwarder = _forwarder(cloud, books)
        deadline = Deadline.after(600.0, _CLOCK)
        seen = Classification(fire=0.5, smoke=0.5)
        decision = _decider(books, forwarder).decide(frame(), seen, deadline)
        promised = forwarder.send(frame(), decision, deadline)
        assert cloud.is_asked.wait(40)
        begun_s = time.monotonic()
        forwarder.stop(0.2)
        took_s = time.monotonic() - begun_s
        cloud.release.set()
        promised.result(40)
        assert took_s < 15.0


def test_closing_a_client_cuts_the_calls_that_are_under_way():
    with stand_in_cloud(lambda exchange: exchange.stopping.wait(30)) as cloud:
        client = HttpCloudClient(
            cloud.url, replace(DEFAULT_RETRY, tries=2, timeout_s=25.0), pool_size=1
        )
        found: list[LinkError] = []

        def ask() -> None:
            try:
                client.infer(
                    picture(),
                    call_id="c",
                    deadline=Deadline.after(25.0, _CLOCK),
                    trace=None,
                )
            except LinkError as err:
                found.append(err)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: cloud.calls)
        client.close()
        thread.join(15)  # of the 25 s that the call may take
        assert found
        assert not found[0].certainly_not_run
