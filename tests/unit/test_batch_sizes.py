from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.model.batch_sizes import BatchSizes
from tests.helpers.clock import FakeClock


@given(most=st.integers(1, 64))
def test_sizes_are_few_and_the_largest_is_what_was_asked_for(most):
    sizes = BatchSizes(most, FakeClock()).sizes
    assert (sizes[0], sizes[-1]) == (1, most)
    assert len(sizes) <= 7
    assert list(sizes) == sorted(set(sizes))


@given(most=st.integers(1, 64), data=st.data())
def test_a_batch_is_padded_to_the_next_size_and_never_doubled(most, data):
    sizes = BatchSizes(most, FakeClock())
    count = data.draw(st.integers(1, most))
    padded = sizes.padded(count)
    assert padded in sizes.sizes
    assert count <= padded < 2 * count or padded == count


def test_eight_becomes_four_and_comes_back_after_a_calm_minute():
    clock = FakeClock()
    sizes = BatchSizes(8, clock)
    assert sizes.shrink(8) is True
    sizes.grow()
    assert sizes.limit == 4
    clock.advance(60)
    sizes.grow()
    assert sizes.limit == 8


def test_a_size_that_keeps_failing_is_tried_less_and_less_often():
    clock = FakeClock()
    sizes = BatchSizes(2, clock)
    tries = 0
    for _ in range(24 * 60):
        clock.advance(60)
        sizes.grow()
        if sizes.limit == 2:
            tries += 1
            sizes.shrink(2)
    assert 20 <= tries <= 35  # about once an hour in a day, not every minute


def test_a_day_without_failure_forgets_the_failures_before():
    clock = FakeClock()
    sizes = BatchSizes(2, clock)
    for _ in range(10):
        sizes.shrink(2)
    for _ in range(10):
        clock.advance(86_400)
        sizes.grow()
    sizes.shrink(2)
    clock.advance(60)
    sizes.grow()
    assert sizes.limit == 2


def test_one_picture_that_does_not_fit_cannot_be_made_smaller():
    assert BatchSizes(8, FakeClock()).shrink(1) is False


class Card(RuleBasedStateMachine):
    """A card whose free memory comes and goes; work is never lost and never runs at a size that just failed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.sizes = BatchSizes(8, self.clock)
        self.fits = 8

    @rule(fits=st.integers(1, 8))
    def neighbour(self, fits: int) -> None:
        self.fits = fits

    @rule(seconds=st.integers(0, 4000))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(count=st.integers(1, 20))
    def work(self, count: int) -> None:
        done = runs = 0
        while done < count:
            at_once = min(count - done, self.sizes.limit)
            size = self.sizes.padded(at_once)
            runs += 1
            assert runs <= count + len(self.sizes.sizes)
            if size > self.fits:
                assert self.sizes.shrink(size)
                assert self.sizes.limit < size
                continue
            done += at_once
            self.sizes.grow()

    @invariant()
    def the_limit_is_one_of_the_sizes(self) -> None:
        assert self.sizes.limit in self.sizes.sizes


TestCard = Card.TestCase
