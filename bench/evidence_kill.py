"""Sudden death while evidence is recorded: what was acknowledged is there, every row has its file, the chain holds.

`python -m bench.evidence_kill [TIMES]` kills a recorder that often at random moments (40) and prints what it found.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edge.record.records import Records
from edge.record.types import EventQuery
from shared.clock import SystemClock
from shared.watch.supervise import Supervisor

# Says each thing aloud once it is on disk; every tenth event is deleted again, as retention does.
_RECORDER = """
import sys
from pathlib import Path
from edge.record.records import Records
from shared.clock import SystemClock
from shared.watch.supervise import Supervisor
from tests.helpers.evidence import fire_event, kept_frame, origin

folder, run = Path(sys.argv[1]), sys.argv[2]
clock = SystemClock()
records = Records(folder, clock=clock, troubles=Supervisor(clock))
print("ready", flush=True)
number = 0
while True:
    number += 1
    name = f"{run}-{number}"
    frames = [kept_frame(f"{name}-{n}", encoded=f"{name}-{n}".encode() * 2000) for n in range(8)]
    records.open_event(fire_event(name), frames[:4])
    print("event", name, 4, flush=True)
    for n in range(4, 8):
        records.add_frame(name, frames[n])
        print("event", name, n + 1, flush=True)
    records.set_origin(name, origin(f"{name}-0"))
    print("origin", name, 0, flush=True)
    if number % 10 == 0:
        print("removing", f"{run}-{number - 5}", 0, flush=True)
        with records.writing() as (journal, _):
            journal.remove_event(f"{run}-{number - 5}", "a test")
        records.bury()
"""


@dataclass(slots=True)
class Tally:
    """What a series of deaths left: counts, and the longest start in seconds."""

    deaths: int = 0
    events: int = 0
    frames: int = 0
    lost: int = 0
    findings: int = 0
    longest_start_s: float = 0.0


def kill_often(folder: Path, times: int, *, seed: int) -> Tally:
    """Kill a recorder again and again on one folder, and check the store after each time."""
    chance, tally = random.Random(seed), Tally()
    frames: dict[str, int] = {}
    origins: set[str] = set()
    for run in range(times):
        said = _record_until_killed(folder, str(run), chance.uniform(0.02, 0.6))
        for kind, name, count in (line.split() for line in said):
            if kind == "event":
                frames[name] = int(count)
            elif kind == "origin":
                origins.add(name)
            else:  # whether the deletion happened is open
                frames.pop(name, None)
                origins.discard(name)
        _check(folder, frames, origins, tally)
        tally.deaths += 1
    tally.events, tally.frames = len(frames), sum(frames.values())
    return tally


def _record_until_killed(folder: Path, run: str, after_s: float) -> list[str]:
    command = [sys.executable, "-c", _RECORDER, str(folder), run]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as recorder:
        if recorder.stdout is None:
            raise RuntimeError("a pipe was asked for")
        recorder.stdout.readline()
        time.sleep(after_s)
        recorder.kill()
        return [line for line in recorder.stdout if line.endswith("\n")]


def _check(folder: Path, frames: dict[str, int], origins: set[str], tally: Tally) -> None:
    started_s = time.monotonic()
    clock = SystemClock()
    records = Records(folder, clock=clock, troubles=Supervisor(clock))
    records.events(EventQuery(limit=1))
    tally.longest_start_s = max(tally.longest_start_s, time.monotonic() - started_s)
    try:
        tally.findings += len(records.verify().findings)
        with records.archive.snapshot() as db:
            kept = dict(
                db.execute("SELECT event_id, count(*) FROM frame GROUP BY event_id").fetchall()
            )
            traced = {
                row[0] for row in db.execute("SELECT event_id FROM event WHERE origin_seq > 0")
            }
        tally.lost += sum(max(0, count - kept.get(name, 0)) for name, count in frames.items())
        tally.lost += len(origins - traced)
    finally:
        records.close()


def main() -> None:
    """Kill and tell."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as folder:
        tally = kill_often(Path(folder), times, seed=random.randrange(1 << 30))
    print(tally)
    sys.exit(1 if tally.lost or tally.findings else 0)


if __name__ == "__main__":
    main()
