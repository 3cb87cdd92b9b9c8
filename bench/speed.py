"""What the service costs over the bare loop, in paired rounds: bare, service, bare, service, and so on."""

from __future__ import annotations

from dataclasses import dataclass

from bench.numbers import Number, median, quantile
from bench.processes import EdgeProcess, Setting, edge_service, post, run_bare_loop

_CALLERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    bare_cpu_ms: float
    bare_p50_ms: float
    service_cpu_ms: float
    added_p10_ms: float
    added_p50_ms: float
    per_s: float
    """Answers a second to all callers together, by the median latency."""


def measure(setting: Setting) -> list[Number]:
    """Measure CPU time per request at 8 callers and the latency added at one."""
    rounds, count = (3, 150) if setting.is_quick else (5, 480)
    with edge_service(setting, "--policy", "edge_only") as edge:
        post(setting, edge.port, count=100, callers=_CALLERS)  # warm up
        found = [_round(setting, edge, count) for _ in range(rounds)]
    ratio = median(r.bare_cpu_ms / r.service_cpu_ms for r in found)
    p10_ms, p50_ms = (
        median(r.added_p10_ms for r in found),
        median(r.added_p50_ms for r in found),
    )
    return [
        Number(
            name="edge.cpu_ratio_8_callers",
            value=ratio,
            unit="ratio",
            accept=0.85,
            goal=0.90,
            is_more_better=True,
        ),
        Number(name="edge.added_latency_p10_ms", value=p10_ms, unit="ms", accept=1.0, goal=0.5),
        Number(name="edge.added_latency_p50_ms", value=p50_ms, unit="ms", accept=1.0, goal=0.5),
        Number(name="edge.bare_cpu_ms", value=median(r.bare_cpu_ms for r in found), unit="ms"),
        Number(
            name="edge.bare_latency_p50_ms", value=median(r.bare_p50_ms for r in found), unit="ms"
        ),
        Number(
            name="edge.cpu_ms_8_callers", value=median(r.service_cpu_ms for r in found), unit="ms"
        ),
        Number(
            name="edge.answers_per_s_8_callers", value=median(r.per_s for r in found), unit="1/s"
        ),
    ]


def _round(setting: Setting, edge: EdgeProcess, count: int) -> _Round:
    bare = run_bare_loop(setting, count)
    started_cpu_s = edge.cpu_s()
    crowd = post(setting, edge.port, count=count, callers=_CALLERS)
    service_cpu_ms = 1000 * (edge.cpu_s() - started_cpu_s) / count
    alone = post(setting, edge.port, count=count // 2, callers=1)
    for answer in (*crowd, *alone):
        if answer.status != 200 or answer.source != "edge":
            raise RuntimeError(f"not answered by the edge: {answer}")
    _check_same_work(bare["answer"], alone[0].fire, alone[0].smoke)
    bare_ms, alone_ms = bare["latencies_ms"], [answer.ms for answer in alone]
    return _Round(
        bare_cpu_ms=bare["cpu_ms"],
        bare_p50_ms=quantile(bare_ms, 0.5),
        service_cpu_ms=service_cpu_ms,
        added_p10_ms=quantile(alone_ms, 0.1) - quantile(bare_ms, 0.1),
        added_p50_ms=quantile(alone_ms, 0.5) - quantile(bare_ms, 0.5),
        per_s=1000 * _CALLERS / quantile([answer.ms for answer in crowd], 0.5),
    )


def _check_same_work(bare: dict[str, float], fire: float | None, smoke: float | None) -> None:
    """Both must have seen the same picture in the same way, or the ratio says nothing."""
    far = max(abs(bare["fire"] - (fire or 0.0)), abs(bare["smoke"] - (smoke or 0.0)))
    if far > 0.005:
        raise RuntimeError(f"the bare loop says {bare}, the service fire {fire} and smoke {smoke}")
