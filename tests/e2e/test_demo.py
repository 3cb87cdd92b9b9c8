"""The tour that a newcomer takes, to its end, and left in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "deploy/demo"]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]


def test_everything_that_the_tour_shows_holds():
    taken = subprocess.run(DEMO, cwd=ROOT, capture_output=True, text=True, check=False)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "NOT HELD" not in taken.stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_tour_that_is_interrupted_leaves_nothing_running(sent):
    with subprocess.Popen(DEMO, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as tour:
        started = wait_until(lambda: two_services_of(tour.pid))
        time.sleep(1)
        tour.send_signal(sent)
        told, _ = tour.communicate(timeout=120)
    assert (tour.returncode, b"Traceback" in told) == (130, False), told.decode()
    assert not [service for service in started if service.is_running()]


def two_services_of(tour: int) -> list[psutil.Process]:
    found = psutil.Process(tour).children()
    return found if len(found) == 2 else []
