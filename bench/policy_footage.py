"""The forwarding policies on real pictures: `python -m bench.policy_footage --data FOLDER`.

Clips and validation pictures, by their corrected labels, are ordered into hours of cameras: stills held for a minute
with the small changes of a camera, and now and then a fire. Every policy sees the same hours, with the shipped
classifier's scores and the shipped detector as the cloud. The classifier was calibrated on these validation pictures,
so only relations between policies say something, not the percentages.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.labels import DATA, list_labelled, list_sure_negatives
from bench.numbers import Number, print_table, write_results
from edge.classify.classifier import Classifier, LoadedClassifier
from edge.decide.decider import Decider
from edge.decide.memory import Memories
from edge.decide.policies import Policy, PolicyName, build_simple_policy
from edge.decide.price import Circumstances, PriceSettings, Pricing
from edge.decide.priced import PricePolicy
from edge.event.evidence import Evidence
from edge.forward.cloud_client import CloudAnswer
from edge.forward.local_client import LocalClient
from edge.forward.outcome import Outcome
from edge.fuse import fuse
from edge.replay.replay import OpenLink, ReplayBudget, ReplayClock
from edge.wiring.decisions import value_model
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.model.inference import best_cpu_variant
from shared.model.manifest import Artifact, load_artifact, shipped_models
from shared.picture.gather import gather
from shared.picture.imaging import jpeg_picture
from shared.types import Classification, Frame, ImageLimits, ModelIdentity, Picture

_FPS = 2.0
_HELD_S, _FIRE_S = 60, 120
# Looks of one still: the frames of a quiet camera differ a little, and so do its scores.
_VARIANTS = 6
_STILLS, _FIRES = 56, 4  # per camera and hour
_BEGINS_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SAME_ALARM_S = 60.0
_POLICIES = (PolicyName.PRICE, PolicyName.FIXED, PolicyName.SLIDING_WINDOW, PolicyName.EDGE_ONLY)
_BUDGETS = (("1pct", 0.01), ("0.1pct", 0.001))


@dataclass(slots=True)
class Look:
    """One picture as both models see it; the detector is asked only when a policy asks."""

    frame: Frame
    seen: Classification
    answer: CloudAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What one camera showed: looks in order, and the seconds in which something burnt."""

    looks: Sequence[Look]
    fires: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How one policy did in one hour."""

    fires: int
    within_10s: int
    within_30s: int
    missed: int
    false_alarms: int
    calls: int
    allowed: int


class _Eyes:
    """Both models."""

    def __init__(self) -> None:
        folder = shipped_models()
        self.artifact: Artifact = load_artifact(
            folder, "edge-classifier", kind="classifier", variant=best_cpu_variant()
        )
        self._classifier = Classifier(LoadedClassifier(self.artifact), at_once=1)
        self._detector = LocalClient(folder)
        self._count = 0

    def look(self, picture: Picture) -> Look:
        self._count += 1
        frame = Frame(
            frame_id=f"f{self._count}", camera="cam", picture=picture, captured_at=_BEGINS_AT
        )
        return Look(frame=frame, seen=self._classifier.classify(frame))

    def answer(self, look: Look) -> CloudAnswer:
        if look.answer is None:
            until = Deadline.after(60.0, SystemClock())
            look.answer = self._detector.infer(
                look.frame.picture, call_id=look.frame.frame_id, deadline=until, trace=None
            )
        return look.answer

    @property
    def identity(self) -> ModelIdentity:
        return self._classifier.identity

    def close(self) -> None:
        self._classifier.stop()


def held(eyes: _Eyes, path: Path, rng: random.Random, seconds: int) -> list[Look]:
    """Show a still as a camera does: shifted by a pixel or two, a little brighter or darker, encoded again."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SystemExit(f"{path}: not a readable picture")
    looks = [eyes.look(_varied(np.asarray(bgr, np.uint8), rng)) for _ in range(_VARIANTS)]
    return [looks[rng.randrange(_VARIANTS)] for _ in range(int(seconds * _FPS))]


def _varied(bgr: NDArray[np.uint8], rng: random.Random) -> Picture:
    dx, dy = rng.uniform(-2, 2), rng.uniform(-2, 2)
    moved = cv2.warpAffine(
        bgr,
        np.array([[1, 0, dx], [0, 1, dy]], np.float32),
        bgr.shape[1::-1],
        borderMode=cv2.BORDER_REPLICATE,
    )
    lit = cv2.convertScaleAbs(moved, alpha=rng.uniform(0.96, 1.04), beta=rng.uniform(-4, 4))
    return jpeg_picture(np.asarray(lit, np.uint8), rng.randrange(75, 92))


def hours(eyes: _Eyes, data: Path, cameras: int, seed: int) -> Iterator[Hour]:
    """Make an hour a camera: quiet stills, look-alikes among them, and four fires from clips and pictures."""
    rng = random.Random(seed)
    quiet = list_sure_negatives(data)
    burning = [path for path, fire, _ in list_labelled(data) if fire == "1"]
    with (data / "clips" / "clips.csv").open(newline="", encoding="utf-8") as file:
        clips = [row for row in csv.DictReader(file) if row["has_fire"] == "1"]
    rng.shuffle(quiet)
    rng.shuffle(burning)
    for camera in range(cameras):
        parts = [(path, False) for path in quiet[camera * _STILLS : (camera + 1) * _STILLS]]
        fires = [(path, True) for path in burning[camera * _FIRES : (camera + 1) * _FIRES]]
        for place, fire in enumerate(fires):
            parts.insert((place + 1) * len(parts) // (len(fires) + 1), fire)
        looks: list[Look] = []
        burnt: list[tuple[float, float]] = []
        if camera < len(clips):
            clip = clips[camera]
            found = gather(data / "clips" / clip["file"], ImageLimits(), _FPS)
            looks += [eyes.look(f.picture) for f in found if isinstance(f.picture, Picture)]
            # Smoke rises before the flames, and an alarm for it is none that is false.
            begin_s = 0.0 if clip["has_smoke"] == "1" else float(clip["first_fire_second"])
            burnt.append((begin_s, len(looks) / _FPS))
        for path, is_fire in parts:
            begin_s = len(looks) / _FPS
            looks += held(eyes, path, rng, _FIRE_S if is_fire else _HELD_S)
            if is_fire:
                burnt.append((begin_s, len(looks) / _FPS))
        yield Hour(looks=looks, fires=burnt)


def play(eyes: _Eyes, hour: Hour, name: PolicyName, budget: float) -> Outcomes:
    """Run one policy through one hour with a fresh budget of `budget` calls a frame."""
    clock = ReplayClock(_BEGINS_AT)
    allowed = max(1, round(budget * len(hour.looks)))
    money = ReplayBudget(limit_micros=allowed, clock=clock, length_s=len(hour.looks) / _FPS)
    memories = Memories(is_backing_off=name is PolicyName.PRICE)
    model = value_model(eyes.artifact.manifest.value)
    policy = _policy(name, eyes, memories, money, clock)
    decider = Decider(policy, budget=money, link=OpenLink(), cost_micros=1)
    evidence = Evidence(memories, score=model.score, clock=clock)
    alarms: list[float] = []
    for number, look in enumerate(hour.looks):
        clock.move_to(number / _FPS)
        decision = decider.decide(look.frame, look.seen, Deadline.after(2.5, clock))
        outcome = None
        if decision.forward:
            outcome = Outcome(answer=eyes.answer(look), reason=decision.reason, charged_micros=1)
        verdict = fuse(look.frame, look.seen, decision, outcome, eyes.identity)
        if evidence.note(verdict) is not None:
            alarms.append(clock.mono_s())
    return judge(hour, alarms, calls=allowed - money.remaining_micros(), allowed=allowed)


def _policy(
    name: PolicyName, eyes: _Eyes, memories: Memories, money: ReplayBudget, clock: ReplayClock
) -> Policy:
    if name is not PolicyName.PRICE:
        return build_simple_policy(name, threshold=0.7)
    pricing = Pricing(
        value_model(eyes.artifact.manifest.value),
        PriceSettings(),
        random=random.Random(0).random,
        store=_NoYesterday(),
        spent_on=lambda day: 0,
    )
    return PricePolicy(
        pricing,
        memories,
        cost_micros=1,
        today=money.today,
        circumstances=lambda camera, deadline: Circumstances(),
        clock=clock,
    )


class _NoYesterday:
    """An hour has no day before it."""

    def load(self) -> tuple[str, float] | None:
        return None

    def save(self, day: str, first_price: float) -> None:
        """Nothing outlives the hour."""


def judge(hour: Hour, alarms: Iterable[float], *, calls: int, allowed: int) -> Outcomes:
    """Hold alarms against what burnt; an alarm shortly after a fire, or going on since then, still belongs to it."""
    first: dict[int, float] = {}
    false_alarms, last_s = 0, float("-inf")
    for at_s in alarms:
        mine = [i for i, (b, e) in enumerate(hour.fires) if b <= at_s < e]
        if mine:
            first.setdefault(mine[0], at_s - hour.fires[mine[0]][0])
        elif not any(e <= at_s < e + _SAME_ALARM_S for _, e in hour.fires):
            false_alarms += at_s - last_s > _SAME_ALARM_S
        last_s = at_s
    delays = list(first.values())
    return Outcomes(
        fires=len(hour.fires),
        within_10s=sum(d <= 10 for d in delays),
        within_30s=sum(d <= 30 for d in delays),
        missed=len(hour.fires) - len(delays),
        false_alarms=false_alarms,
        calls=calls,
        allowed=allowed,
    )


def measure(data: Path, cameras: int, seed: int) -> list[Number]:
    """Play every policy with both budgets; relations are aimed at, the counts explain them."""
    eyes = _Eyes()
    try:
        played = list(hours(eyes, data, cameras, seed))
        numbers: list[Number] = []
        for text, share in _BUDGETS:
            sums = {name: [play(eyes, hour, name, share) for hour in played] for name in _POLICIES}
            numbers += _numbers(text, sums)
    finally:
        eyes.close()
    return numbers


def _numbers(budget: str, found: dict[PolicyName, list[Outcomes]]) -> list[Number]:
    def total(name: PolicyName, what: str) -> int:
        return sum(int(getattr(outcome, what)) for outcome in found[name])

    prefix = f"policy.footage.{budget}"
    numbers = [
        Number(name=f"{prefix}.{name.value}.{what}", value=total(name, what), unit="count")
        for name in found
        for what in ("fires", "within_10s", "within_30s", "missed", "false_alarms", "calls")
    ]
    price, fixed = PolicyName.PRICE, PolicyName.FIXED
    above = sum(max(0, o.calls - o.allowed) for outcomes in found.values() for o in outcomes)
    more_missed = total(price, "missed") - total(PolicyName.EDGE_ONLY, "missed")
    more_early = total(price, "within_10s") - total(fixed, "within_10s")
    excess = total(price, "false_alarms") - 0.5 * total(fixed, "false_alarms")
    return [
        *numbers,
        Number(name=f"{prefix}.missed_over_edge_only", value=more_missed, unit="fires", goal=0),
        Number(
            name=f"{prefix}.early_over_fixed",
            value=more_early,
            unit="fires",
            goal=0,
            is_more_better=True,
        ),
        Number(name=f"{prefix}.false_over_half_of_fixed", value=excess, unit="alarms", goal=0),
        Number(name=f"{prefix}.calls_above_limit", value=above, unit="calls", accept=0),
    ]


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not (options.data / "clips" / "clips.csv").is_file():
        print(f"no footage at {options.data}: nothing was measured")
        return
    numbers = measure(options.data, options.cameras, options.seed)
    print_table(numbers)
    write_results(numbers)


if __name__ == "__main__":
    main()
