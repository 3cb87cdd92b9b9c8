from __future__ import annotations

from edge.decide.uplink import Uplink, UploadForm
from tests.helpers.clock import FakeClock

_BEST = UploadForm(long_side_px=1280, quality=75)


def uplink(
    bytes_per_s: int, *, burst_bytes: int = 100_000, clock: FakeClock | None = None
) -> Uplink:
    return Uplink(
        best=_BEST, bytes_per_s=bytes_per_s, burst_bytes=burst_bytes, clock=clock or FakeClock()
    )


def test_a_link_without_a_limit_carries_the_best_form():
    assert uplink(0).choose(5_000_000, 1280, 0.1) == _BEST


def test_a_thin_link_gets_a_smaller_picture():
    form = uplink(50_000).choose(300_000, 1920, 1.0)
    assert form is not None
    assert form.long_side_px == 640


def test_a_link_that_carries_nothing_in_time_is_not_used():
    assert uplink(1_000).choose(300_000, 1920, 1.0) is None


def test_bytes_that_were_sent_come_back_with_time_and_never_above_the_burst():
    clock = FakeClock()
    link = uplink(10_000, burst_bytes=20_000, clock=clock)
    link.spend(20_000)
    assert link.available_bytes() == 0
    clock.advance(1.0)
    assert link.available_bytes() == 10_000
    clock.advance(60.0)
    assert link.available_bytes() == 20_000


def test_a_wrong_guess_makes_the_bucket_owe():
    link = uplink(10_000, burst_bytes=20_000)
    link.spend(50_000)
    assert link.choose(1_000, 320, 1.0) is None
