"""The cloud hangs, drips, dies and comes back; the edge answers all the while."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.helpers.pictures import fire_jpeg, unsure_jpeg
from tests.helpers.processes import free_port
from tests.helpers.services import Running, running_cloud, running_edge, taken_place
from tests.helpers.stand_in_clouds import (
    Exchange,
    answers,
    dead_url,
    drips,
    drips_headers,
    hangs,
    stand_in_cloud,
)
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.fault
_ALWAYS: dict[str, Any] = {"policy": {"name": "always", "daily_limit": 100}}
_SILENT = [hangs, drips, drips_headers]
# A try by itself may take long here: who keeps a deadline of less than a second does so on a busy machine, too.
_SLOW_TRIES = {"cloud": {"tries": 1, "timeout_s": 30.0}}
_PATIENT = {"X_Request_Deadline_Ms": "30000"}
_WELL_BEFORE_S = 15.0


def _ask(edge: Running, **headers: str) -> tuple[dict[str, Any], float]:
    started_s = time.monotonic()
    body = edge.show("/joint_predict", fire_jpeg(), **headers).json()
    return body, time.monotonic() - started_s


def _is_the_edge_s(body: dict[str, Any]) -> bool:
    return (body["err_no"], body["source"], body["label"]) == (0, "edge_fallback", "fire")


@pytest.mark.parametrize("answer", _SILENT)
def test_every_answer_comes_inside_its_deadline(tmp_path, models, answer):
    sections = {**_ALWAYS, **_SLOW_TRIES, "breaker": {"failures_to_open": 100}}
    with (
        stand_in_cloud(answer) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        for deadline_ms in (200, 600):
            body, took_s = _ask(edge, X_Request_Deadline_Ms=str(deadline_ms))
            assert _is_the_edge_s(body)
            assert took_s < _WELL_BEFORE_S


def test_the_configured_deadline_holds_without_one_of_the_caller(tmp_path, models):
    sections = {**_SLOW_TRIES, "policy": {**_ALWAYS["policy"], "deadline_ms": 500}}
    with (
        stand_in_cloud(hangs) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        results = [_ask(edge) for _ in range(2)]
    assert all(_is_the_edge_s(body) for body, _ in results)
    assert {body["decision"]["reason"] for body, _ in results} == {"fallback_timeout"}
    assert all(took_s < _WELL_BEFORE_S for _, took_s in results)


def test_of_many_callers_of_a_hanging_cloud_those_without_a_place_are_answered_first(
    tmp_path, models
):
    bodies: list[dict[str, Any]] = []
    go_on = threading.Event()
    with (
        stand_in_cloud(lambda exchange: go_on.wait(250)) as cloud,
        running_edge(tmp_path, models, cloud.url, **_ALWAYS, **_SLOW_TRIES) as edge,
    ):
        threads = [
            threading.Thread(target=lambda: bodies.append(_ask(edge, **_PATIENT)[0]))
            for _ in range(24)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(bodies) == 24 - len(cloud.calls))
        reasons = [body["decision"]["reason"] for body in bodies]
        go_on.set()
        for thread in threads:
            thread.join()
    assert len(bodies) == 24
    assert all(_is_the_edge_s(body) for body in bodies)
    assert len(reasons) >= 8
    assert set(reasons) == {"fallback_uplink_busy"}


def test_callers_beyond_the_places_do_not_wait(tmp_path, models):
    sections = {**_SLOW_TRIES, "policy": {**_ALWAYS["policy"], "max_in_flight": 1}}
    go_on = threading.Event()
    with (
        stand_in_cloud(lambda exchange: go_on.wait(250)) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        first = threading.Thread(target=_ask, args=(edge,), kwargs=_PATIENT)
        first.start()
        wait_until(lambda: cloud.calls)
        body, _ = _ask(edge, **_PATIENT)
        is_first_waiting = first.is_alive()
        go_on.set()
        first.join()
    assert body["decision"]["reason"] == "fallback_uplink_busy"
    assert is_first_waiting


def test_a_cloud_that_stays_away_is_no_longer_waited_for(tmp_path, models):
    sections = {**_ALWAYS, "cloud": {"tries": 1, "timeout_s": 0.1}}
    with (
        stand_in_cloud(hangs) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        for _ in range(3):
            _ask(edge)
        body, _ = _ask(edge)
        calls = len(cloud.calls)
    assert body["decision"]["reason"] == "fallback_cloud_down"
    assert calls == 3


def test_a_dead_cloud_costs_no_money_and_no_time(tmp_path, models):
    with dead_url() as url, running_edge(tmp_path, models, url, **_ALWAYS) as edge:
        results = [_ask(edge) for _ in range(8)]
    assert all(_is_the_edge_s(body) and body["cost"] == 0 for body, _ in results)
    assert results[-1][0]["decision"]["reason"] == "fallback_cloud_down"
    assert results[-1][0]["decision"]["budget_remaining"] == 100


def test_a_cloud_that_comes_back_is_used_again_without_a_restart(tmp_path, models):
    port = free_port()
    sections = {
        **_ALWAYS,
        "breaker": {"probe_after_s": 0.1, "probe_after_max_s": 0.2},
        "cloud": {"tries": 1},
    }
    cloud = {"server": {"port": port}}
    with running_edge(tmp_path / "e", models, f"http://127.0.0.1:{port}", **sections) as edge:
        with running_cloud(tmp_path / "c", models, **cloud):
            before = _ask(edge)[0]["source"]
        during = [_ask(edge)[0]["source"] for _ in range(5)]
        with running_cloud(tmp_path / "c", models, **cloud):
            wait_until(lambda: _ask(edge)[0]["source"] == "cloud")
    assert (before, set(during)) == ("cloud", {"edge_fallback"})


def test_while_the_cloud_is_away_only_one_call_at_a_time_tries_it(tmp_path, models):
    sections = {
        "policy": {**_ALWAYS["policy"], "max_in_flight": 8},
        "breaker": {"failures_to_open": 1, "probe_after_s": 0.05, "probe_after_max_s": 0.05},
        **_SLOW_TRIES,
    }
    go_on = threading.Event()
    answered: list[dict[str, Any]] = []

    def dies_then_hangs(exchange: Exchange) -> None:
        if exchange.number:
            go_on.wait(250)

    with (
        stand_in_cloud(dies_then_hangs) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        _ask(edge)
        time.sleep(0.06)
        threads = [
            threading.Thread(target=lambda: answered.append(_ask(edge, **_PATIENT)[0]))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answered) == 7)
        assert len(cloud.calls) == 2
        go_on.set()
        for thread in threads:
            thread.join()


def test_a_cloud_that_refuses_pictures_is_alive(tmp_path, models):
    sections = {**_ALWAYS, "breaker": {"failures_to_open": 1}}
    with (
        stand_in_cloud(answers({"err_no": 1007}, status=400)) as cloud,
        running_edge(tmp_path, models, cloud.url, **sections) as edge,
    ):
        reasons = [_ask(edge)[0]["decision"]["reason"] for _ in range(3)]
    assert reasons == ["fallback_refused"] * 3


def test_a_full_cloud_is_told_apart_from_a_dead_one(tmp_path, models):
    sections = {**_ALWAYS, "cloud": {"tries": 1}}
    with (
        running_cloud(tmp_path / "c", models, engine={"places": 1}) as cloud,
        taken_place(cloud),
        running_edge(tmp_path / "e", models, cloud.url, **sections) as edge,
    ):
        body, _ = _ask(edge)
    assert (body["decision"]["reason"], body["cost"]) == ("fallback_busy", 0)


def test_stopping_the_cloud_while_posting_loses_no_answer(tmp_path, models):
    port = free_port()
    sections = {**_ALWAYS, "cloud": {"tries": 1, "timeout_s": 10.0}}
    bodies: list[dict[str, Any]] = []
    stop = threading.Event()

    with running_edge(tmp_path / "e", models, f"http://127.0.0.1:{port}", **sections) as edge:

        def post() -> None:
            while not stop.is_set():
                bodies.append(edge.show("/joint_predict", unsure_jpeg()).json())

        threads = [threading.Thread(target=post) for _ in range(3)]
        with running_cloud(tmp_path / "c", models, server={"port": port}):
            for thread in threads:
                thread.start()
            wait_until(lambda: "cloud" in {body["source"] for body in list(bodies)})
        wait_until(lambda: bodies[-1]["source"] == "edge_fallback")
        stop.set()
        for thread in threads:
            thread.join()
    assert all(body["err_no"] == 0 for body in bodies)
    assert {body["source"] for body in bodies} == {"cloud", "edge_fallback"}


def test_stopping_the_edge_while_the_cloud_hangs_takes_no_longer_than_its_calls(tmp_path, models):
    with stand_in_cloud(hangs) as cloud:
        with running_edge(tmp_path, models, cloud.url, **_ALWAYS) as edge:
            caller = threading.Thread(
                target=_ask, args=(edge,), kwargs={"X_Request_Deadline_Ms": "1000"}
            )
            caller.start()
            wait_until(lambda: cloud.calls)
            started_s = time.monotonic()
        caller.join()
    assert time.monotonic() - started_s < _WELL_BEFORE_S
