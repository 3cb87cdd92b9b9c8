from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.forward.balance import BalancedClient, Endpoint
from edge.forward.cloud_client import CloudAnswer, no_time_left
from shared.breaker import BreakerSettings, BreakerState
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import LinkError
from shared.types import Label, MediaType, Picture
from tests.helpers.clock import FakeClock

_PICTURE = Picture(encoded=b"x", media_type=MediaType.JPEG, width_px=16, height_px=16)


class Cloud:
    """Takes `seconds` of the clock a call, or fails."""

    def __init__(self, clock: FakeClock, name: str) -> None:
        self.clock, self.name = clock, name
        self.seconds = 0.1
        self.failure: LinkError | None = None
        self.calls = self.reports = 0
        self.is_closed = self.hangs = False

    def infer(self, picture, *, call_id, deadline, trace) -> CloudAnswer:
        self.calls += 1
        self.clock.advance(self.seconds)
        if self.failure is not None:
            raise self.failure
        model = {"name": self.name, "version": "1", "sha256_12": ""}
        return CloudAnswer(label=Label.NONE, confidence=0.9, detections=(), model=model)

    def report(self, body, deadline) -> None:
        if deadline.has_passed():
            raise no_time_left()
        if self.hangs:
            self.clock.advance(deadline.remaining_s())
            raise unreachable()
        if self.failure is not None:
            raise self.failure
        self.reports += 1

    def close(self) -> None:
        self.is_closed = True


class Site:
    """A balanced client over named clouds."""

    def __init__(self, *names: str, ranks: dict[str, int] | None = None) -> None:
        self.clock = FakeClock()
        self.clouds = {name: Cloud(self.clock, name) for name in names}
        self.client = BalancedClient(
            [Endpoint(url=n, rank=(ranks or {}).get(n, 0)) for n in names],
            build=lambda url: self.clouds.setdefault(url, Cloud(self.clock, url)),
            breaker=BreakerSettings(),
            clock=self.clock,
        )
        self._number = 0

    def ask(self, seconds: float = 2.5) -> str:
        self._number += 1
        deadline = Deadline.after(seconds, self.clock)
        answer = self.client.infer(
            _PICTURE, call_id=f"c{self._number}", deadline=deadline, trace=None
        )
        return answer.model["name"]


def unreachable(*, certainly_not_run: bool = True) -> LinkError:
    return LinkError(ErrorCode.CLOUD_UNREACHABLE, "away", certainly_not_run=certainly_not_run)


def test_the_quickest_cloud_is_asked_once_all_are_known():
    site = Site("near", "far")
    site.clouds["far"].seconds = 0.4
    asked = [site.ask() for _ in range(10)]
    assert asked.count("far") == 1
    assert asked[-1] == "near"


def test_a_cloud_that_fails_is_replaced_within_the_same_call():
    site = Site("near", "far")
    site.ask()
    site.ask()
    site.clouds["near"].failure = unreachable()
    assert site.ask() == "far"


def test_a_cloud_that_keeps_failing_is_left_alone_and_found_again():
    site = Site("near", "far")
    site.clouds["far"].seconds = 0.4
    for _ in range(4):
        site.ask()
    site.clouds["near"].failure = unreachable()
    for _ in range(3):
        site.ask()
    calls = site.clouds["near"].calls
    site.ask()
    assert site.clouds["near"].calls == calls
    site.clouds["near"].failure = None
    site.clock.advance(20.0)
    assert "near" in {site.ask() for _ in range(3)}


def test_a_higher_rank_is_asked_only_when_the_lower_ones_are_out():
    site = Site("main", "spare", ranks={"spare": 10})
    site.clouds["main"].seconds = 0.9
    assert {site.ask() for _ in range(5)} == {"main"}
    site.clouds["main"].failure = unreachable()
    assert site.ask() == "spare"


def test_a_refused_picture_is_not_offered_to_the_next_cloud():
    site = Site("one", "two")
    for cloud in site.clouds.values():
        cloud.failure = LinkError(ErrorCode.CLOUD_REFUSED, "no picture", certainly_not_run=True)
    with pytest.raises(LinkError):
        site.ask()
    assert sum(cloud.calls for cloud in site.clouds.values()) == 1
    assert all(s.breaker is BreakerState.CLOSED for s in site.client.states())


def test_one_try_that_may_have_run_decides_for_the_call():
    site = Site("one", "two")
    site.clouds["one"].failure = unreachable(certainly_not_run=False)
    site.clouds["two"].failure = unreachable(certainly_not_run=True)
    with pytest.raises(LinkError) as caught:
        site.ask()
    assert not caught.value.certainly_not_run


def test_without_any_cloud_the_call_certainly_did_not_run():
    with pytest.raises(LinkError) as caught:
        Site().ask()
    assert caught.value.certainly_not_run


@given(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=8), st.floats(0.1, 5.0))
def test_no_cloud_is_asked_once_the_deadline_is_over(seconds, deadline_s):
    site = Site(*(f"c{n}" for n in range(len(seconds))))
    for cloud, takes_s in zip(site.clouds.values(), seconds, strict=True):
        cloud.seconds, cloud.failure = takes_s, unreachable()
    began_s = site.clock.mono_s()
    with pytest.raises(LinkError):
        site.ask(deadline_s)
    assert site.clock.mono_s() - began_s <= deadline_s + max(seconds)


def test_a_cloud_that_is_no_longer_named_is_closed_and_one_that_stays_keeps_what_was_learnt():
    site = Site("stays", "goes")
    for _ in range(4):
        site.ask()
    site.client.update([Endpoint(url="stays"), Endpoint(url="new")])
    assert site.clouds["goes"].is_closed
    known = {s.url: s.median_s for s in site.client.states()}
    assert known["stays"] is not None
    assert known["new"] is None


def test_every_cloud_is_told_and_one_that_is_away_keeps_nobody_from_it():
    site = Site("near", "far")
    site.clouds["near"].failure = LinkError(ErrorCode.CLOUD_UNREACHABLE, "away")
    site.client.report(b"{}", Deadline.after(5.0, site.clock))
    assert [site.clouds[name].reports for name in ("near", "far")] == [0, 1]


def test_a_cloud_that_hangs_leaves_the_others_their_share_of_a_report_s_time():
    site = Site("near", "far", "farther")
    site.clouds["near"].hangs = site.clouds["far"].hangs = True
    site.client.report(b"{}", Deadline.after(6.0, site.clock))
    assert site.clouds["farther"].reports == 1


def test_a_call_whose_turn_came_too_late_counts_against_no_cloud():
    site = Site("near")
    site.clouds["near"].failure = no_time_left()
    for _ in range(5):
        with pytest.raises(LinkError):
            site.ask()
    assert [state.breaker for state in site.client.states()] == [BreakerState.CLOSED]


def test_a_report_that_no_cloud_heard_says_so():
    site = Site("near")
    site.clouds["near"].failure = LinkError(ErrorCode.CLOUD_UNREACHABLE, "away")
    with pytest.raises(LinkError):
        site.client.report(b"{}", Deadline.after(5.0, site.clock))
