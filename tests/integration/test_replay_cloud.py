"""`emberlink-edge replay --cloud URL` with a cloud in a process of its own: it is asked about an origin, once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from edge.cli import main
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.processes import port_in_log
from tests.helpers.tiny_models import write_detector


@pytest.fixture(scope="module")
def cloud_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a cloud whose detector is less sure than the one on this machine."""
    folder = tmp_path_factory.mktemp("cloud")
    write_detector(folder / "models", fire_bias=-4.0)
    command = [sys.executable, "-m", "cloud", "run", "--port", "0", "--models", folder / "models"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--state", folder / "state"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port_in_log(process, folder / 'log', 'cloud_ready')}"
    finally:
        process.terminate()
        assert process.wait(40) == 0


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A folder that plays as eight seconds: calm, then a fire that the edge is sure of."""
    folder = tmp_path / "yard"
    folder.mkdir()
    for number, jpeg in enumerate([calm_jpeg()] * 8 + [fire_jpeg()] * 8):
        (folder / f"{number:03d}.jpg").write_bytes(jpeg)
    return folder


def replay(models: Path, recording: Path, *arguments: object) -> dict[str, Any]:
    command = ["replay", recording, "--json", "--models", models, *arguments]
    done = CliRunner().invoke(main, [*map(str, command)])
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def answered(cloud_url: str) -> float:
    text = requests.get(f"{cloud_url}/metrics", timeout=10).text
    return sum(float(n) for n in re.findall(r'fire_cloud_requests_total\{.*/infer".*\} (.*)', text))


def test_the_cloud_sees_the_frame_that_an_origin_was_found_in_and_no_other(
    recording, models, cloud_url
):
    before = answered(cloud_url)
    told = replay(models, recording, "--policy", "fixed", "--cloud", cloud_url)
    (event,) = told["events"]
    assert event["origin"]["at_s"] == 4.0
    assert event["origin"]["method"] == "cloud"
    assert event["origin"]["confidence"] == pytest.approx(0.764, abs=0.02)
    assert answered(cloud_url) - before == 1
    assert (told["forwarded"], told["cost"], told["reasons"]["cloud_origin"]) == (1, 0.02, 1)


@pytest.mark.parametrize("refusing", [["--policy", "edge_only"], ["--daily-limit", 0]])
def test_nobody_is_asked_where_the_policy_or_the_money_forbids_it(
    recording, models, cloud_url, refusing
):
    before = answered(cloud_url)
    (event,) = replay(models, recording, *refusing, "--cloud", cloud_url)["events"]
    assert event["origin"]["at_s"] == 4.0
    assert event["origin"]["method"] == "detector"
    assert answered(cloud_url) == before


def test_a_frame_that_the_cloud_has_answered_is_not_asked_about_again(recording, models, cloud_url):
    before = answered(cloud_url)
    told = replay(
        models, recording, "--policy", "always", "--daily-limit", 1_000_000, "--cloud", cloud_url
    )
    assert told["events"][0]["origin"]["method"] == "cloud"
    assert told["forwarded"] == told["frames"] == answered(cloud_url) - before
