"""Messages under sudden death."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.outbox.store import OutboxStore

pytestmark = pytest.mark.fault

# Puts and delivers as fast as it can; says aloud what it has put, and what it is about to deliver before it does.
_SENDER = """
import sys
from pathlib import Path
from edge.outbox.item import Delivered
from shared.clock import SystemClock
from tests.helpers.alerts import RULES, item
from edge.outbox.outbox import Outbox

path, run = Path(sys.argv[1]), sys.argv[2]
outbox = Outbox(path, RULES, clock=SystemClock())

def deliver(one):
    print(f"delivering {one.item_id}", flush=True)
    return Delivered()

outbox.handle("cloud", deliver)
print("ready", flush=True)
number = 0
while True:
    number += 1
    outbox.put([item(f"{run}-{number}", key=str(number % 5), picture=b"x" * 20_000)])
    print(f"put {run}-{number}", flush=True)
    if number % 2 == 0:
        outbox.step("cloud")
"""


def test_what_was_put_is_there_or_was_delivered_after_ten_kills(tmp_path: Path) -> None:
    path, chance = tmp_path / "outbox.sqlite3", random.Random(9)
    put: set[str] = set()
    delivered: list[str] = []
    for run in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", _SENDER, str(path), f"{run}"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
            for line in process.stdout.read().splitlines():
                word, _, name = line.partition(" ")
                if word == "put":
                    put.add(name)
                elif word == "delivering":
                    delivered.append(name)
    store = OutboxStore(path)
    rows = store.rows()
    waiting = [row.item_id for row in rows]
    assert put <= {*waiting, *delivered}
    assert len(put) > 50
    # At least once: only what was on its way at a kill may go out twice.
    assert len(delivered) - len(set(delivered)) <= 10
    for row in rows:
        read = store.read(row.seq)
        assert read is not None
        assert read.picture == b"x" * 20_000
    store.close()
