from __future__ import annotations

import pytest

from cloud.jobs.answer import Answer
from cloud.jobs.jobs import JobState, MemoryJobs
from shared.error_code import ErrorCode
from shared.errors import FireError
from tests.helpers.clock import FakeClock

_TTL_S = 60.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def _book(clock: FakeClock, max_kept: int = 100) -> MemoryJobs:
    return MemoryJobs(clock, ttl_s=_TTL_S, max_kept=max_kept)


def _finished(book: MemoryJobs, job_id: str, owner: str = "me") -> None:
    book.add(owner, job_id)
    assert book.start(job_id)
    assert book.finish(job_id, Answer.of({"n": job_id}))


def test_a_job_moves_from_queued_over_running_to_done(clock):
    book, states = _book(clock), []
    book.add("me", "a")
    states.append(book.look("me", "a").state)
    book.start("a")
    states.append(book.look("me", "a").state)
    book.finish("a", Answer.of({"label": "fire"}))
    job = book.look("me", "a")
    assert [*states, job.state] == [JobState.QUEUED, JobState.RUNNING, JobState.DONE]
    assert job.answer.result() == {"label": "fire"}


def test_a_job_that_ends_in_an_error_has_failed_and_raises_it_again(clock):
    book = _book(clock)
    book.add("me", "a")
    book.start("a")
    book.finish("a", Answer.of_error(FireError(ErrorCode.IMAGE_DAMAGED, "cut")))
    job = book.look("me", "a")
    assert job.state is JobState.FAILED
    with pytest.raises(FireError, match="cut"):
        job.answer.result()


def test_a_waiting_job_knows_how_many_are_before_it(clock):
    book = _book(clock)
    for job_id in "abc":
        book.add("me", job_id)
    assert [book.look("me", j).position for j in "abc"] == [0, 1, 2]
    book.start("a")
    assert [book.look("me", j).position for j in "bc"] == [0, 1]


def test_nobody_sees_the_job_of_another(clock):
    book = _book(clock)
    _finished(book, "a", owner="me")
    assert book.look("you", "a") is None
    assert book.remove("you", "a") is None
    assert book.look("me", "a") is not None


def test_a_result_expires_is_known_for_as_long_again_and_is_forgotten(clock):
    book = _book(clock)
    _finished(book, "a")
    clock.advance(_TTL_S - 1)
    assert book.look("me", "a").state is JobState.DONE
    clock.advance(1)
    expired = book.look("me", "a")
    assert (expired.state, expired.answer) == (JobState.EXPIRED, None)
    clock.advance(_TTL_S - 1)
    assert book.look("me", "a").state is JobState.EXPIRED
    clock.advance(1)
    assert book.look("me", "a") is None


def test_the_time_an_expired_job_is_known_does_not_depend_on_when_somebody_looks(clock):
    book = _book(clock)
    _finished(book, "a")
    clock.advance(2 * _TTL_S)
    assert book.look("me", "a") is None


def test_a_job_that_waits_or_runs_does_not_expire(clock):
    book = _book(clock)
    book.add("me", "waits")
    book.add("me", "runs")
    book.start("runs")
    clock.advance(10 * _TTL_S)
    assert book.look("me", "waits").state is JobState.QUEUED
    assert book.look("me", "runs").state is JobState.RUNNING


def test_ten_thousand_jobs_leave_no_more_behind_than_the_cap(clock):
    book = _book(clock, max_kept=50)
    for number in range(10_000):
        _finished(book, str(number))
    assert len(book) == 100  # 50 with a result, 50 known to have expired
    assert book.look("me", "9999").state is JobState.DONE
    assert book.look("me", "9949").state is JobState.EXPIRED
    assert book.look("me", "0") is None
    clock.advance(2 * _TTL_S)
    assert len(book) == 0


def test_a_cancelled_job_never_starts(clock):
    book = _book(clock)
    book.add("me", "a")
    assert book.remove("me", "a").state is JobState.QUEUED
    assert not book.start("a")
    assert book.look("me", "a") is None


def test_the_result_of_a_job_cancelled_while_it_ran_is_thrown_away(clock):
    book = _book(clock)
    book.add("me", "a")
    book.start("a")
    assert book.remove("me", "a").state is JobState.RUNNING
    assert not book.finish("a", Answer.of(1))
    assert book.look("me", "a") is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer.of({"label": "fire", "detections": []}),
        Answer.of_error(FireError(ErrorCode.IMAGE_DAMAGED, "cut")),
    ],
)
def test_an_answer_is_the_same_after_it_was_written_and_read(answer):
    assert Answer.from_json(answer.to_json()) == answer
