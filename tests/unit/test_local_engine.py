from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from cloud.engine import BatchReport
from cloud.local_engine.engine import LocalEngine
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.model.detect import RawOutput
from tests.helpers.clock import FakeClock

_POISON = -1.0


class _Model:
    """Counts its batches and can be held in the middle of a run."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.is_running = threading.Event()

    def __call__(self, tensors):
        self.is_running.set()
        assert self.go_on.wait(40)
        self.batches.append(len(tensors))
        if any(t[0, 0, 0, 0] == _POISON for t in tensors):
            raise ModelError(ErrorCode.MODEL_FAILED, "poison")
        return [RawOutput(scores=t.reshape(1, -1), boxes=np.zeros((1, 4))) for t in tensors]


def _tensor(value: float = 0.0) -> np.ndarray:
    return np.full((1, 1, 1, 2), value, np.float32)


def _later(seconds: float = 60.0, clock: FakeClock | None = None) -> Deadline:
    return Deadline.after(seconds, clock or FakeClock())


@contextmanager
def _engine(model: _Model, **arguments) -> Iterator[LocalEngine]:
    engine = LocalEngine(model, **{"capacity": 8, "max_batch": 4, **arguments})
    try:
        yield engine
    finally:
        model.go_on.set()
        engine.stop(5.0)


@contextmanager
def _held(model: _Model, engine: LocalEngine) -> Iterator[None]:
    """Keep the session busy with one picture, so that what is submitted meanwhile waits."""
    model.go_on.clear()
    first = engine.submit(_tensor(), _later())
    assert model.is_running.wait(40)
    yield
    model.go_on.set()
    first.result(5)


def _error(future) -> ErrorCode:
    with pytest.raises(FireError) as caught:
        future.result(5)
    return caught.value.code


def test_each_picture_gets_its_own_answer():
    model = _Model()
    with _engine(model) as engine:
        futures = [engine.submit(_tensor(v), _later()) for v in range(6)]
        assert [f.result(5).scores[0, 0] for f in futures] == list(range(6))


def test_what_waits_is_run_together_up_to_the_largest_batch():
    model = _Model()
    with _engine(model) as engine:
        with _held(model, engine):
            waiting = [engine.submit(_tensor(), _later()) for _ in range(6)]
        for future in waiting:
            future.result(5)
    assert model.batches == [1, 4, 2]


def test_a_full_queue_refuses_and_says_when_to_come_back():
    model = _Model()
    with _engine(model, capacity=2) as engine, _held(model, engine):
        for _ in range(2):
            engine.submit(_tensor(), _later())
        with pytest.raises(FireError) as caught:
            engine.submit(_tensor(), _later())
    assert caught.value.code is ErrorCode.CLOUD_OVERLOADED
    assert caught.value.retry_after_s


def test_a_picture_whose_deadline_passed_in_the_queue_never_reaches_the_model():
    model, clock = _Model(), FakeClock()
    with _engine(model) as engine:
        with _held(model, engine):
            late = engine.submit(_tensor(), _later(1.0, clock))
            clock.advance(2.0)
        code = _error(late)
    assert (code, model.batches) == (ErrorCode.DEADLINE_MISSED, [1])


def test_a_picture_that_was_taken_back_never_reaches_the_model():
    model = _Model()
    with _engine(model) as engine:
        with _held(model, engine):
            assert engine.submit(_tensor(), _later()).cancel()
        engine.submit(_tensor(), _later()).result(5)
    assert sum(model.batches) == 2


def test_a_picture_taken_back_the_moment_it_is_given_up_costs_the_others_nothing():
    model, clock = _Model(), FakeClock()
    with _engine(model) as engine:
        with _held(model, engine):
            late = engine.submit(_tensor(), _later(1.0, clock))
            good = engine.submit(_tensor(3), _later())
            clock.advance(2.0)

            def taken_back_just_now(error: FireError) -> None:
                late.cancel()
                type(late).set_exception(late, error)

            late.set_exception = taken_back_just_now
        assert good.result(5).scores[0, 0] == 3
        assert late.cancelled()


def test_one_poison_picture_costs_one_error():
    model = _Model()
    with _engine(model) as engine:
        with _held(model, engine):
            good, poison, other = (engine.submit(_tensor(v), _later()) for v in (1, _POISON, 2))
        assert [good.result(5).scores[0, 0], other.result(5).scores[0, 0]] == [1, 2]
        assert _error(poison) is ErrorCode.MODEL_FAILED


def test_a_model_that_goes_mad_does_not_end_the_session():
    model = _Model()

    def mad(tensors):
        if not model.batches:
            model.batches.append(0)
            raise RuntimeError("boom")
        return model(tensors)

    engine = LocalEngine(mad, capacity=8, max_batch=4)
    try:
        with pytest.raises(FireError) as caught:
            engine.submit(_tensor(), _later()).result(5)
        assert caught.value.code is ErrorCode.INTERNAL
        assert "boom" not in caught.value.detail  # what our own code says is for the log alone
        assert engine.submit(_tensor(7), _later()).result(5).scores[0, 0] == 7
    finally:
        engine.stop(5.0)


def test_stopping_finishes_what_was_accepted():
    model = _Model()
    engine = LocalEngine(model, capacity=8, max_batch=4)
    futures = [engine.submit(_tensor(v), _later()) for v in range(5)]
    engine.stop(5.0)
    assert [f.result(0).scores[0, 0] for f in futures] == list(range(5))


def test_a_stopping_engine_takes_nothing_new():
    model = _Model()
    engine = LocalEngine(model, capacity=8, max_batch=4)
    engine.stop(5.0)
    with pytest.raises(FireError) as caught:
        engine.submit(_tensor(), _later())
    assert caught.value.code is ErrorCode.HTTP_UNAVAILABLE


def test_what_is_left_when_stopping_takes_too_long_fails_instead_of_hanging():
    model = _Model()
    model.go_on.clear()
    with _engine(model, max_batch=1) as engine:
        running = engine.submit(_tensor(), _later())
        assert model.is_running.wait(40)
        waiting = engine.submit(_tensor(), _later())
        engine.stop(0.05)
        told = [_error(left) for left in (running, waiting)]
        assert told == [ErrorCode.CLOUD_TIMEOUT, ErrorCode.HTTP_UNAVAILABLE]  # one may be paid for


def test_a_late_thread_that_takes_the_last_picture_itself_does_not_break_the_stop(monkeypatch):
    engine = LocalEngine(_Model(), capacity=8, max_batch=1)
    monkeypatch.setattr(engine._queue, "empty", lambda: False)  # as it was a moment ago
    engine.stop(5.0)
    assert engine.queued() == 0


def test_every_turn_is_reported():
    reports: list[BatchReport] = []
    model = _Model()
    with _engine(model, report=reports.append) as engine:
        engine.submit(_tensor(), _later()).result(5)
    assert [(r.size, r.dropped) for r in reports] == [(1, 0)]
