"""Whether every caller gets the edge's verdict in time when the cloud is dead, silent or drips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from bench import bad_clouds
from bench.numbers import Number, quantile
from bench.processes import Answer, Setting, edge_service, post

_DEADLINE_MS = 2500.0  # the default of /joint_predict
_CALLERS = 8
_OPEN = "fallback_cloud_down"
_KINDS: Mapping[str, tuple[Callable[[], AbstractContextManager[str]], Mapping[str, str]]] = {
    "dead": (bad_clouds.dead, {}),
    "hanging": (bad_clouds.hanging, {}),
    "dripping_headers": (bad_clouds.dripping_headers, {}),
    "dripping_body": (bad_clouds.dripping_body, {}),
    # One try that may last longer than the deadline: here nothing but the deadline itself ends the wait.
    "patient": (
        bad_clouds.hanging,
        {"EMBERLINK_EDGE__CLOUD__TRIES": "1", "EMBERLINK_EDGE__CLOUD__TIMEOUT_S": "30"},
    ),
}


def measure(setting: Setting) -> list[Number]:
    """Post to an edge whose policy wants every frame forwarded, one cloud after the other."""
    # The breaker would open after 3 failures and only a few answers would have waited; so it is held back.
    count, failures_to_open = (100, 16) if setting.is_quick else (500, 64)
    numbers = []
    for kind, (cloud, special) in _KINDS.items():
        environment = {
            "EMBERLINK_EDGE__POLICY__DAILY_LIMIT": "1000",
            "EMBERLINK_EDGE__BREAKER__FAILURES_TO_OPEN": str(failures_to_open),
            **special,
        }
        with (
            cloud() as url,
            edge_service(
                setting, "--policy", "always", "--cloud", url, environment=environment
            ) as edge,
        ):
            post(setting, edge.port, count=20, callers=_CALLERS, path="/predict")  # warm up
            answers = post(setting, edge.port, count=count, callers=_CALLERS)
        numbers += _judge(f"edge.deadline_{kind}", answers)
    return numbers


def _judge(name: str, answers: list[Answer]) -> list[Number]:
    count = len(answers)
    good = [answer for answer in answers if _is_good(answer)]
    while_open_ms = [answer.ms for answer in answers if answer.reason == _OPEN]
    worst_ms, p99_ms = max(a.ms for a in answers), quantile((a.ms for a in answers), 0.99)
    return [
        Number(
            name=f"{name}.answers_ok",
            value=len(good),
            unit="of all",
            accept=count,
            goal=count,
            is_more_better=True,
        ),
        Number(
            name=f"{name}.max_over_ms",
            value=max(0.0, worst_ms - _DEADLINE_MS),
            unit="ms",
            accept=250.0,
            goal=50.0,
        ),
        Number(
            name=f"{name}.p99_over_ms",
            value=max(0.0, p99_ms - _DEADLINE_MS),
            unit="ms",
            accept=50.0,
            goal=0.0,
        ),
        Number(
            name=f"{name}.open_p99_ms",
            value=quantile(while_open_ms, 0.99) if while_open_ms else float("inf"),
            unit="ms",
            accept=150.0,
            goal=150.0,
        ),
        Number(name=f"{name}.max_ms", value=worst_ms, unit="ms"),
        Number(name=f"{name}.waited", value=count - len(while_open_ms), unit="of all"),
    ]


def _is_good(answer: Answer) -> bool:
    return (
        answer.status == 200
        and answer.source == "edge_fallback"
        and (answer.reason or "").startswith("fallback_")
        and answer.fire is not None
    )
