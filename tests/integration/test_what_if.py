"""What other rules and budgets would have asked, from the score log of a box."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.decide.policies import PolicyName
from edge.replay.score_log import ScoreLog
from edge.replay.what_if import Trial, WhatIfAnswer, WhatIfState
from shared.types import Classification
from tests.helpers.services import Running, running_edge
from tests.helpers.waiting import wait_until

_LIMIT = 500_000


def record(state: Path, hours: float, *, every_s: float = 20.0) -> None:
    """Write quiet frames of two cameras with a doubtful one now and then, up to this moment."""
    log, chance = ScoreLog(state / "scores", keep_days=7), random.Random(7)
    begins_at = datetime.now(UTC) - timedelta(hours=hours)
    for number in range(int(3600 * hours / every_s)):
        at = begins_at + timedelta(seconds=number * every_s)
        x = chance.gauss(-6.0, 1.0) + (6.0 if chance.random() < 0.05 else 0.0)
        log.note(
            ("gate", "yard")[number % 2],
            at,
            Classification(fire=1 / (1 + math.exp(-x)), smoke=0.0001),
        )
    log.flush()


def wait_for(edge: Running, is_there: Callable[[WhatIfAnswer], bool]) -> WhatIfAnswer:
    def look() -> WhatIfAnswer | None:
        answer: WhatIfAnswer = edge.service._what_if.answer()
        return answer if is_there(answer) else None

    found = wait_until(look)
    assert found is not None
    return found


def trials(answer: WhatIfAnswer, rule: PolicyName) -> list[Trial]:
    return [trial for trial in answer.trials if trial.rule is rule]


def test_a_recorded_day_tells_what_each_rule_would_have_cost_at_each_limit(tmp_path, models):
    record(tmp_path, 6.0)
    with running_edge(tmp_path, models, policy={"daily_limit": "0.50"}) as edge:
        answer = wait_for(edge, lambda answer: bool(answer.trials))
        page = edge.get("/ui/budget").text
    assert answer.history
    assert answer.history.cameras == 2
    for rule in (PolicyName.FIXED, PolicyName.SLIDING_WINDOW, PolicyName.PRICE):
        found = trials(answer, rule)
        assert [t.limit_micros for t in found] == [
            _LIMIT // 4,
            _LIMIT // 2,
            _LIMIT,
            2 * _LIMIT,
            4 * _LIMIT,
        ]
        for trial in found:
            assert trial.cost_micros <= trial.limit_micros
            assert trial.cost_micros == pytest.approx(20_000 * trial.calls)
        assert found[0].calls <= found[-1].calls
    fixed = trials(answer, PolicyName.FIXED)
    assert fixed[0].dry_after is not None
    assert "limit now" in page
    assert "spent after" in page
    assert "Of each hour" not in page


def test_the_answer_is_kept_and_not_asked_for_twice(tmp_path, models):
    record(tmp_path, 2.0)
    with running_edge(tmp_path, models) as edge:
        first = wait_for(edge, lambda answer: bool(answer.trials))
        assert edge.service._what_if.answer() is first
        assert edge.service._what_if._thread is None


def test_too_little_is_said_with_how_much_there_is(tmp_path, models):
    record(tmp_path, 0.5)
    with running_edge(tmp_path, models) as edge:
        answer = wait_for(edge, lambda answer: answer.state is WhatIfState.TOO_LITTLE)
        page = edge.get("/ui/budget").text
        chinese = edge.get("/ui/budget?lang=zh").text
    assert answer.trials == ()
    assert "Too little is recorded in the last day: 30 min" in page or ": 31 min" in page
    assert "最近一天记录不足" in chinese


def test_a_box_that_keeps_no_scores_says_which_setting_does(tmp_path, models):
    with running_edge(tmp_path, models, log={"scores_keep_days": 0}) as edge:
        assert "log.scores_keep_days" in edge.get("/ui/budget").text


def test_a_log_that_cannot_be_read_is_said_and_the_page_stands(tmp_path, models):
    record(tmp_path, 2.0)
    next((tmp_path / "scores").glob("gate/*.scores")).write_bytes(b"not a score log at all")
    with running_edge(tmp_path, models) as edge:
        wait_for(edge, lambda answer: answer.state is WhatIfState.FAILED)
        page = edge.get("/ui/budget")
    assert page.status_code == 200
    assert "cannot be read now" in page.text


def test_a_service_that_stops_does_not_wait_for_a_run(tmp_path, models):
    record(tmp_path, 20.0, every_s=1.0)
    with running_edge(tmp_path, models) as edge:
        wait_for(edge, lambda answer: answer.state is WhatIfState.RUNNING)
        thread = edge.service._what_if._thread
        edge.service._what_if.stop()
        assert thread is not None
        thread.join(40)
        assert not thread.is_alive()
        assert edge.service._what_if.answer().state is WhatIfState.RUNNING  # left where it was
