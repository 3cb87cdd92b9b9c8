from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pictures import fire_jpeg

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", [["edge", "classify"], ["cloud", "detect"]])
def test_the_runtime_gives_the_machine_no_id_to_report_under(tmp_path, models, command):
    picture, home = tmp_path / "fire.jpg", tmp_path / "home"
    picture.write_bytes(fire_jpeg())
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    del environment["ORT_DISABLE_TELEMETRY"]  # these tests run with it as well
    asked = [sys.executable, "-m", *command, str(picture), "--models", str(models), "--json"]
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert '"label"' in done.stdout or '"detections"' in done.stdout, done.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []
