"""The tour that a newcomer takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_everything_that_the_tour_shows_holds():
    taken = subprocess.run(
        [sys.executable, "deploy/demo.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "NOT HELD" not in taken.stdout
