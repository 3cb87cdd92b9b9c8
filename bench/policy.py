"""The forwarding policies in simulated days: `python -m bench.policy --sim FOLDER`.

Drives the project's own rules (`edge.decide.price`, `edge.decide.memory`, `edge.decide.threshold`,
`edge.decide.budget`) through the worlds of a policy simulator: one frame per camera and second, fires that rise from
quiet, confusers, outages, slow spells. All luck is drawn before a policy runs, so every policy sees the same day.
`--full` runs every gate over 20 worlds.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import itertools
import math
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from bench.numbers import Number, print_table, write_results
from edge.decide.budget import BudgetManager
from edge.decide.memory import CameraMemory, Told
from edge.decide.price import Circumstances, PriceSettings, Pricing, Spending, ValueModel
from edge.decide.threshold import SlidingWindowThreshold
from tests.helpers.charges import MemoryCharges

_DAY_S = 86_400
_START = datetime(2026, 1, 1, tzinfo=UTC)
_PROBE_S = 15  # how long the breaker stays open in the simulated worlds
_LATE_S = 10.0  # an answer later than this is lost
_SAME_EVENT_S = 300
_RESULTS = Path(__file__).parent / "policy_results.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one policy did in one world."""

    world: str
    policy: str
    budget: float
    seed: int
    fires: int
    within_10s: int
    within_30s: int
    missed: int
    false_alarms_per_camera_day: float
    forwarded: int
    above_limit: int
    us_per_frame: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run: which world, which policy, which budget (calls as a share of frames)."""

    sim: str
    world: str
    cameras: int
    seed: int
    policy: str
    budget: float


class PriceInMemory:
    """The first price of a simulated day; a world is never restarted."""

    def load(self) -> tuple[str, float] | None:
        """Start without one."""
        return None

    def save(self, day: str, first_price: float) -> None:
        """Nothing outlives the run."""


class _Rule:
    """One policy over all cameras of a world, with the day's sums kept in memory."""

    def __init__(self, job: Job, world: Any, model: ValueModel) -> None:
        self._policy = job.policy
        self._limit = int(job.budget * _DAY_S * job.cameras)
        self._weights = [float(w) for w in world["prio"]]
        self._total = sum(self._weights)
        self._second = 0
        self._budget = BudgetManager(
            limit_micros=self._limit,
            zone=ZoneInfo("UTC"),
            store=MemoryCharges(),
            now_at=lambda: _START + timedelta(seconds=self._second),
        )
        self._camera_spent = [0] * job.cameras
        self._spent_on: dict[str, int] = {}
        self._day = ""
        self._pricing = Pricing(
            model,
            PriceSettings(),
            random=random.Random(job.seed).random,
            store=PriceInMemory(),
            spent_on=lambda day: self._spent_on.get(day, 0),
        )
        self._threshold = SlidingWindowThreshold()
        self.memories = [
            CameraMemory(is_backing_off=job.policy == "price") for _ in range(job.cameras)
        ]
        self.model = model

    def begin_second(self, second: int) -> None:
        self._second = second
        day = str(second // _DAY_S)
        if day != self._day:
            self._day, self._camera_spent = day, [0] * len(self._camera_spent)
        self._spent = self._limit - self._budget.remaining_micros()
        self._spent_on[day] = self._spent

    def ask(self, camera: int, x: float) -> bool:
        """Decide for one frame and pay for it."""
        keep = 0
        if self._policy == "price":
            spending = Spending(
                day=self._day,
                limit=self._limit,
                spent=self._spent,
                camera_spent=self._camera_spent[camera],
                cost=1,
                elapsed=self._second % _DAY_S / _DAY_S,
            )
            around = Circumstances(
                weight=self._weights[camera], weights=self._total, cameras=len(self._weights)
            )
            appraisal = self._pricing.appraise(
                x, float(self._second), self.memories[camera], spending, around
            )
            wants, keep = appraisal.tier is not None, appraisal.keep
        else:
            wants = self._simple(x)
        if not wants or self._spent + 1 > self._limit - keep:
            return False
        if not self._budget.check_and_deduct(1, call_id=f"{self._second}/{camera}"):
            return False
        self._spent += 1
        self._camera_spent[camera] += 1
        self._spent_on[self._day] = self._spent
        memory = self.memories[camera]
        memory.note_sent(self.model.score(x, memory.slow_x), float(self._second))
        return True

    def give_back(self, camera: int) -> None:
        self._budget.refund(f"{self._second}/{camera}")
        self._spent -= 1
        self._camera_spent[camera] -= 1
        self._spent_on[self._day] = self._spent

    def spent_above_limit(self) -> int:
        return max(0, max(self._spent_on.values()) - self._limit)

    def _simple(self, x: float) -> bool:
        chance = 1.0 / (1.0 + math.exp(-x))
        confidence = max(chance, 1.0 - chance)
        match self._policy:
            case "fixed":
                return confidence < 0.7
            case "sliding_window":
                wants = confidence < self._threshold.value
                self._threshold.update(confidence)
                return wants
            case "always":
                return True
            case _:
                return False


def run(job: Job) -> Score:
    """Drive one policy through one world; day 0 warms it up, day 1 is scored."""
    sys.path.insert(0, job.sim)
    world = _make_world(job)
    rule = _Rule(job, world, value_model(Path(job.sim)))
    watch = _Watch(world)
    due: dict[int, tuple[int, bool]] = {}
    open_until, sent, asked_s = -1, 0, 0.0
    scores, truth = world["x"], world["cloud"]
    up, latency = world["up"].tolist(), world["lat"].tolist()
    for second in range(world["T"]):
        rule.begin_second(second)
        row, answers = scores[second].tolist(), truth[second]
        for turn in range(job.cameras):
            camera = (turn + second) % job.cameras  # no camera is always first in the queue
            x = max(-30.0, min(30.0, row[camera]))
            answer = None
            if camera in due and due[camera][0] <= second:
                answer = due.pop(camera)[1]
            started_s = time.perf_counter()
            is_asked = camera not in due and second >= open_until and rule.ask(camera, x)
            asked_s += time.perf_counter() - started_s
            if is_asked and not up[second]:
                rule.give_back(camera)
                open_until = second + _PROBE_S
            elif is_asked:
                sent += second >= world["T"] - _DAY_S
                if latency[second] < 1.0:
                    answer = bool(answers[camera])
                elif latency[second] < _LATE_S:
                    due[camera] = (second + int(latency[second]), bool(answers[camera]))
            memory = rule.memories[camera]
            z = rule.model.score(x, memory.slow_x)
            told = None if answer is None else Told.YES if answer else Told.NO
            is_alarm = memory.note_frame(
                x, z, float(second), answer=told, is_in_flight=camera in due
            )
            if is_alarm:
                watch.alarm(camera, second)
    frames = world["T"] * job.cameras
    return watch.score(job, sent, rule.spent_above_limit(), 1e6 * asked_s / frames)


class _Watch:
    """Holds alarms against the fires of a world."""

    def __init__(self, world: Any) -> None:
        self._fires = list(zip(*(world[k].tolist() for k in ("fc", "fs", "fe")), strict=True))
        self._cameras = world["n"]
        self._scored_from = world["T"] - _DAY_S
        self._delays: dict[int, int] = {}
        self._last_alarm: dict[int, int] = {}
        self._false_alarms = 0

    def alarm(self, camera: int, second: int) -> None:
        near = [
            (index, start, end)
            for index, (where, start, end) in enumerate(self._fires)
            if where == camera and start <= second < end + _SAME_EVENT_S
        ]
        burning = [(index, start) for index, start, end in near if second < end]
        if burning:
            index, start = burning[-1]
            self._delays.setdefault(index, second - start)
        elif not near and second >= self._scored_from:
            is_new = second - self._last_alarm.get(camera, -_DAY_S) > _SAME_EVENT_S
            self._false_alarms += is_new
        self._last_alarm[camera] = second

    def score(self, job: Job, sent: int, above_limit: int, us_per_frame: float) -> Score:
        delays = list(self._delays.values())
        return Score(
            world=job.world,
            policy=job.policy,
            budget=job.budget,
            seed=job.seed,
            fires=len(self._fires),
            within_10s=sum(d <= 10 for d in delays),
            within_30s=sum(d <= 30 for d in delays),
            missed=len(self._fires) - len(delays),
            false_alarms_per_camera_day=self._false_alarms / self._cameras,
            forwarded=sent,
            above_limit=above_limit,
            us_per_frame=us_per_frame,
        )


_WORLDS: dict[str, dict[str, Any]] = {
    "8cam": {},
    "evening": {"fire_hours": (19, 24)},
    "rogue": {"rogue": True},
}


def _make_world(job: Job) -> Any:
    return importlib.import_module("world").make_world(job.seed, job.cameras, **_WORLDS[job.world])


def value_model(sim: Path) -> ValueModel:
    """Take the simulator's own calibration: its scores are not those of our classifier."""
    lines = (sim / "results" / "calibration.txt").read_text(encoding="ascii").splitlines()
    a, b, d = (float(v) for v in lines[0].split())
    level_a, level_b, _ = (float(v) for v in lines[1].split())
    return ValueModel(a=a, b=b, d=d, level_a=level_a, level_b=level_b)


_GATES: tuple[tuple[str, str, str, float, str, float, bool], ...] = (
    # name, world, policy, budget, what, gate, whether more is better
    ("policy.8cam.1pct.within_10s", "8cam", "price", 0.01, "within_10s", 0.47, True),
    ("policy.8cam.1pct.within_30s", "8cam", "price", 0.01, "within_30s", 0.85, True),
    ("policy.8cam.1pct.false_alarms_per_camera_day", "8cam", "price", 0.01, "false", 0.9, False),
    ("policy.8cam.0.1pct.within_10s", "8cam", "price", 0.001, "within_10s", 0.34, True),
    ("policy.8cam.0.1pct.within_30s", "8cam", "price", 0.001, "within_30s", 0.78, True),
    ("policy.8cam.0.1pct.false_alarms_per_camera_day", "8cam", "price", 0.001, "false", 2.1, False),
    ("policy.evening.1pct.within_10s", "evening", "price", 0.01, "within_10s", 0.41, True),
    ("policy.rogue.0.1pct.within_10s", "rogue", "price", 0.001, "within_10s", 0.25, True),
)


def jobs(sim: Path, seeds: Iterable[int]) -> list[Job]:
    """List every run that the gates and their comparison need."""
    plan = [
        ("8cam", policy, budget)
        for policy, budget in itertools.product(("price", "fixed", "sliding_window"), (0.01, 0.001))
    ]
    plan += [("8cam", "edge_only", 0.01)]
    for policy in ("price", "fixed", "sliding_window"):
        plan += [("evening", policy, 0.01), ("rogue", policy, 0.001)]
    return [
        Job(sim=str(sim), world=world, cameras=8, seed=seed, policy=policy, budget=budget)
        for seed in seeds
        for world, policy, budget in plan
    ]


def summarise(scores: list[Score]) -> list[Number]:
    """Turn runs into the numbers of the bench: shares pool all fires, false alarms are the median."""
    numbers = [
        Number(
            name=name,
            value=_pooled(scores, world, policy, budget, what),
            unit=_UNITS[what],
            accept=gate,
            is_more_better=is_more_better,
        )
        for name, world, policy, budget, what, gate, is_more_better in _GATES
    ]
    for policy in ("fixed", "sliding_window"):
        for name, world, _, budget, what, _, _ in _GATES:
            value = _pooled(scores, world, policy, budget, what)
            numbers.append(Number(name=f"{name}.{policy}", value=value, unit=_UNITS[what]))
    above = sum(s.above_limit for s in scores)
    missed = _pooled(scores, "8cam", "price", 0.01, "missed")
    spent_us = statistics.median(s.us_per_frame for s in scores if s.policy == "price")
    return [
        *numbers,
        Number(name="policy.8cam.1pct.missed", value=missed, unit="ratio", accept=0.01),
        Number(name="policy.calls_above_limit", value=above, unit="calls", accept=0),
        Number(name="policy.us_per_frame", value=spent_us, unit="µs", accept=50),
    ]


_UNITS = {"within_10s": "ratio", "within_30s": "ratio", "false": "1/cam-d"}


def _pooled(scores: list[Score], world: str, policy: str, budget: float, what: str) -> float:
    chosen = [s for s in scores if (s.world, s.policy, s.budget) == (world, policy, budget)]
    if what == "false":
        return statistics.median(s.false_alarms_per_camera_day for s in chosen)
    fires = sum(s.fires for s in chosen)
    return sum(getattr(s, what) for s in chosen) / fires if fires else float("nan")


def main() -> None:
    """Run the gates and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sim", type=Path, default=Path("../shared/policy_sim"))
    parser.add_argument("--worlds", type=int, default=2, help="simulated worlds; --full is 20")
    parser.add_argument("--full", action="store_true", help="20 worlds, and the runs kept as CSV")
    parser.add_argument("--first-seed", type=int, default=0, help="tune on 500 and above only")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if not (options.sim / "world.py").is_file():
        print(f"no simulator at {options.sim}: nothing was measured")
        return
    count = 20 if options.full else options.worlds
    todo = jobs(options.sim.resolve(), range(options.first_seed, options.first_seed + count))
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        scores = []
        for score in pool.imap_unordered(run, todo):
            scores.append(score)
            print(f"{len(scores)}/{len(todo)} {score}", file=sys.stderr, flush=True)
    numbers = summarise(scores)
    print_table(numbers)
    if options.full:
        with _RESULTS.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(asdict(scores[0])), lineterminator="\n")
            writer.writeheader()
            ordered = sorted(scores, key=lambda s: (s.world, s.policy, s.budget, s.seed))
            writer.writerows(asdict(s) for s in ordered)
        write_results(numbers)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
