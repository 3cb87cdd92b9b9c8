"""Hold the project's policy against a reference form of it, frame by frame: `python -m bench.policy_parity`.

Both see the same simulated cameras and the same answers; every decision, reason, value and price must agree, and so
must the evidence and the alarms. Audits are off: they are drawn from different dice.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from bench.policy import PriceInMemory, value_model
from edge.decide.memory import CameraMemory, Told
from edge.decide.price import Circumstances, PriceSettings, Pricing, Spending, ValueModel

_START_S = 1_767_225_600  # a UTC midnight
_DAY_S = 86_400
_CLOSE = 1e-9


class _Pair:
    """The reference and ours over the cameras of one world."""

    def __init__(self, sim: Path, world: Any, limit: int) -> None:
        reference = importlib.import_module("policy_ref")
        self.world, self.limit, self.cameras = world, limit, world["n"]
        self.model: ValueModel = value_model(sim)
        config = reference.Config(a=self.model.a, b=self.model.b, d=self.model.d, audit=0.0)
        names = {
            str(c): reference.Camera(weight=float(world["prio"][c])) for c in range(self.cameras)
        }
        self.reference = reference.Policy(config, reference.Ledger(":memory:", limit), names)
        self.reference.ledger.db.execute("PRAGMA synchronous=OFF")
        self.spent_on: dict[str, int] = {}
        self.pricing = Pricing(
            self.model,
            PriceSettings(audit=0.0),
            random=lambda: 1.0,
            store=PriceInMemory(),
            spent_on=lambda day: self.spent_on.get(day, 0),
        )
        self.memories = [CameraMemory() for _ in range(self.cameras)]
        self.weights = float(sum(world["prio"]))
        self.day, self.spent, self.by_camera = "", 0, [0] * self.cameras

    def differs(self, second: int, camera: int) -> bool:
        """Show both the same frame; tell whether they disagree about anything."""
        now_s, x = _START_S + second, float(self.world["x"][second, camera])
        day, elapsed = self.reference.ledger.day(now_s)
        if day != self.day:
            self.day, self.spent, self.by_camera = day, 0, [0] * self.cameras
        theirs = self.reference.decide(str(camera), x, now_s, f"{second}/{camera}")
        ours, is_sent = self._decide(x, float(now_s), camera, elapsed)
        kept = ours.kept and f"edge_{ours.kept.value}"
        is_same = is_sent == theirs.forward and (
            f"cloud_{ours.tier.value}" == theirs.reason
            if is_sent and ours.tier
            else kept in (None, theirs.reason)
        )
        is_same &= abs(ours.price - theirs.price) + abs(ours.value - theirs.value) < _CLOSE
        answer = bool(self.world["cloud"][second, camera]) if is_sent else None
        their_alarm = self.reference.fuse(str(camera), x, now_s, answer)
        memory = self.memories[camera]
        z = self.pricing.calibrate(x, memory)
        told = None if answer is None else Told.YES if answer else Told.NO
        alarm = memory.note_frame(x, z, float(now_s), answer=told, is_in_flight=False)
        gap = abs(memory.evidence - self.reference.cams[str(camera)].evidence)
        return not (is_same and alarm == their_alarm and gap < _CLOSE)

    def _decide(self, x: float, now_s: float, camera: int, elapsed: float) -> tuple[Any, bool]:
        memory = self.memories[camera]
        spending = Spending(
            day=self.day,
            limit=self.limit,
            spent=self.spent,
            camera_spent=self.by_camera[camera],
            cost=1,
            elapsed=elapsed,
        )
        around = Circumstances(
            weight=float(self.world["prio"][camera]), weights=self.weights, cameras=self.cameras
        )
        look = self.pricing.appraise(x, now_s, memory, spending, around)
        is_sent = look.tier is not None and self.spent + 1 <= self.limit - look.keep
        if is_sent:
            self.spent += 1
            self.by_camera[camera] += 1
            self.spent_on[self.day] = self.spent
            memory.note_sent(self.pricing.calibrate(x, memory), now_s)
        return look, is_sent


def main() -> None:
    """Compare over some worlds; exit 1 on any difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sim", type=Path, default=Path("../shared/policy_sim"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=2 * _DAY_S)
    options = parser.parse_args()
    if not (options.sim / "policy_ref.py").is_file():
        print(f"no reference at {options.sim}: nothing was compared")
        return
    sys.path.insert(0, str(options.sim.resolve()))
    make_world = importlib.import_module("world").make_world
    total = 0
    for seed in range(options.seeds):
        world = make_world(seed, 2)
        pair = _Pair(options.sim, world, int(0.002 * _DAY_S * 2))
        wrong = sum(pair.differs(t, c) for t in range(options.seconds) for c in range(2))
        total += wrong
        frames = options.seconds * 2
        print(f"world {seed}: {frames} frames, {pair.spent} calls on the last day, {wrong} differ")
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
