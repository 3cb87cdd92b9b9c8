from __future__ import annotations

import threading

import pytest

from cloud.jobs.answer import Answer
from cloud.jobs.idempotency import Claim, MemoryAnswers, answer_once, fingerprint, read_key
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from tests.helpers.clock import FakeClock

_TTL_S = 60.0


def _book(clock: FakeClock | None = None, max_kept: int = 100) -> MemoryAnswers:
    return MemoryAnswers(clock or FakeClock(), ttl_s=_TTL_S, max_kept=max_kept)


def _ask(book: MemoryAnswers, key: str = "k", asked: str = "body", owner: str = "me", work=None):
    return answer_once(book, owner, key, asked, work or (lambda claim: Answer.of(1)))


def _raiser(code: ErrorCode):
    def work(_claim: Claim) -> Answer:
        raise FireError(code, "no")

    return work


def _must_not_run(_claim: Claim) -> Answer:
    raise AssertionError("the work was done twice")


def test_the_second_time_the_kept_answer_is_given_and_nothing_runs():
    book = _book()
    first, second = _ask(book), _ask(book, work=_must_not_run)
    assert (first.is_replayed, second.is_replayed) == (False, True)
    assert first.answer == second.answer


def test_a_key_with_another_body_is_refused():
    book = _book()
    _ask(book)
    with pytest.raises(RequestError) as caught:
        _ask(book, asked="other")
    assert caught.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED


def test_a_request_that_is_still_running_sends_the_second_away_for_a_moment():
    book = _book()
    book.begin("me", "k", "body", within_s=60)
    with pytest.raises(FireError) as caught:
        _ask(book)
    assert caught.value.code is ErrorCode.IDEMPOTENCY_RUNNING
    assert caught.value.retry_after_s >= 1


def test_two_callers_may_use_the_same_key():
    book = _book()
    _ask(book, owner="me")
    assert not _ask(book, owner="you").is_replayed


@pytest.mark.parametrize(
    "code", [ErrorCode.CLOUD_OVERLOADED, ErrorCode.DEADLINE_MISSED, ErrorCode.MODEL_FAILED]
)
def test_a_refusal_that_may_be_retried_frees_the_key(code):
    book = _book()
    with pytest.raises(FireError):
        _ask(book, work=_raiser(code))
    assert not _ask(book).is_replayed


def test_an_error_that_would_repeat_is_kept():
    book = _book()
    with pytest.raises(FireError):
        _ask(book, work=_raiser(ErrorCode.IMAGE_DAMAGED))
    again = _ask(book, work=_must_not_run)
    assert again.answer.error is ErrorCode.IMAGE_DAMAGED


class _BookThatWentAway(MemoryAnswers):
    def keep(self, owner: str, key: str, answer: Answer | None = None) -> None:
        raise FireError(ErrorCode.ENGINE_UNAVAILABLE, "Redis does not answer")

    release = keep


@pytest.mark.parametrize("code", [ErrorCode.IMAGE_DAMAGED, ErrorCode.DEADLINE_MISSED])
def test_what_came_of_a_request_is_said_also_when_it_cannot_be_kept(code):
    book = _BookThatWentAway(FakeClock(), ttl_s=_TTL_S, max_kept=100)
    assert _ask(book, key="done").answer == Answer.of(1)
    with pytest.raises(FireError) as caught:
        _ask(book, key="refused", work=_raiser(code))
    assert caught.value.code is code


def test_a_key_is_freed_when_the_work_breaks_in_a_way_nobody_expected():
    book = _book()
    with pytest.raises(ZeroDivisionError):
        _ask(book, work=lambda claim: 1 / 0)
    assert not _ask(book).is_replayed


def test_an_answer_that_comes_after_its_caller_left_is_kept_for_the_next_try():
    book, claims = _book(), []

    def too_late(claim: Claim) -> Answer:
        claims.append(claim)
        raise FireError(ErrorCode.CLOUD_TIMEOUT, "the model is still at work")

    with pytest.raises(FireError):
        _ask(book, work=too_late)
    with pytest.raises(FireError) as caught:
        _ask(book, work=_must_not_run)
    assert caught.value.code is ErrorCode.IDEMPOTENCY_RUNNING
    claims[0].settle(Answer.of("late"))
    assert _ask(book, work=_must_not_run).answer == Answer.of("late")


def test_a_request_that_runs_for_longer_than_answers_are_kept_runs_once():
    clock = FakeClock()
    book = _book(clock, max_kept=1)

    def slow(_claim: Claim) -> Answer:
        clock.advance(2 * _TTL_S)
        for other in ("k1", "k2", "k3"):
            _ask(book, key=other)
        with pytest.raises(FireError) as caught:
            _ask(book, work=_must_not_run)
        assert caught.value.code is ErrorCode.IDEMPOTENCY_RUNNING
        return Answer.of("slow")

    answer_once(book, "me", "k", "body", slow, until_s=3 * _TTL_S)
    assert _ask(book, work=_must_not_run).answer == Answer.of("slow")


def test_a_claim_that_nobody_settles_ends_with_the_time_that_its_request_could_take():
    clock = FakeClock()
    book = _book(clock)
    book.begin("me", "k", "body", within_s=90.0)
    clock.advance(90.0)
    assert (book.look("me", "k"), len(book)) == (None, 0)
    book.keep("me", "k", Answer.of("too late"))
    assert not _ask(book).is_replayed


def test_a_key_may_be_used_again_after_its_time():
    clock = FakeClock()
    book = _book(clock)
    _ask(book)
    clock.advance(_TTL_S)
    assert not _ask(book).is_replayed
    assert book.look("me", "k").answer == Answer.of(1)
    assert len(book) == 1


def test_a_key_is_known_as_expired_for_its_time_again_and_then_forgotten():
    clock = FakeClock()
    book = _book(clock)
    _ask(book)
    clock.advance(_TTL_S)
    with pytest.raises(RequestError) as caught:
        book.look("me", "k")
    assert caught.value.code is ErrorCode.RESULT_EXPIRED
    assert book.look("somebody else", "k") is None
    clock.advance(_TTL_S)
    assert (book.look("me", "k"), len(book)) == (None, 0)


def test_no_more_keys_are_known_than_the_cap_and_as_many_expired_ones():
    book = _book(max_kept=50)
    for number in range(1000):
        _ask(book, key=str(number))
    assert len(book) == 100


def test_of_many_threads_with_one_key_exactly_one_does_the_work():
    book, barrier, outcomes = _book(), threading.Barrier(16), []
    ran = []

    def work(_claim: Claim) -> Answer:
        ran.append(1)
        return Answer.of(1)

    def ask() -> None:
        barrier.wait()
        try:
            outcomes.append(_ask(book, work=work).is_replayed)
        except FireError as err:
            outcomes.append(err.code)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 1
    assert outcomes.count(False) == 1


def test_a_fingerprint_tells_route_pictures_and_fields_but_not_the_req_id():
    base = fingerprint("/infer", [b"a"], {"camera": "gate", "req_id": "1"})
    assert fingerprint("/infer", [b"a"], {"camera": "gate", "req_id": "2"}) == base
    others = [
        fingerprint("/infer/async", [b"a"], {"camera": "gate"}),
        fingerprint("/infer", [b"b"], {"camera": "gate"}),
        fingerprint("/infer", [b"a"], {"camera": "yard"}),
        fingerprint("/infer", [b"a", b""], {"camera": "gate"}),
    ]
    assert len({base, *others}) == 5


@pytest.mark.parametrize(
    ("header", "key"), [(None, None), ("abc-1", "abc-1"), ('"abc"', "abc"), ("a" * 128, "a" * 128)]
)
def test_a_key_is_read_with_or_without_quotes(header, key):
    assert read_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "a b", "a" * 129, "ä", "a\n", '"a'])
def test_what_is_no_key_is_refused(header):
    with pytest.raises(RequestError) as caught:
        read_key(header)
    assert caught.value.code is ErrorCode.REQUEST_FIELD_INVALID
