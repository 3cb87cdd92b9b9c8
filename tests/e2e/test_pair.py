"""Both services as processes, with the shipped models, as a newcomer starts them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests.helpers.processes import free_port, is_ready
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(started.stdout.readline, "")))
    reader.start()
    started.lines = lines
    try:
        yield started
    finally:
        # Not the group: `make run` gives its services groups of their own, and may end before them.
        for left in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(left.pid) == started.pid:
                    left.kill()
        started.wait()
        reader.join()
        started.stdout.close()


def cloud(port: int):
    return process(BIN / "emberlink-cloud", "run", "--port", str(port))


def edge(port: int, cloud_port: int, state: Path, *more: str):
    command = [BIN / "emberlink-edge", "run", "--port", str(port), "--state", str(state)]
    return process(*command, "--cloud", f"http://127.0.0.1:{cloud_port}", *more)


def sample(path: Path, at_s: float) -> bytes:
    subprocess.run(
        [BIN / "emberlink-edge", "sample", path, "--at", str(at_s)], check=True, capture_output=True
    )
    return path.read_bytes()


def post(port: int, jpeg: bytes) -> dict:
    response = requests.post(
        f"http://127.0.0.1:{port}/joint_predict",
        data=jpeg,
        headers={"Content-Type": "image/jpeg"},
        timeout=40,
    )
    assert response.status_code == 200, response.text
    return response.json()


def test_the_sample_picture_is_a_fire_with_boxes_and_the_yard_before_it_is_calm(tmp_path: Path):
    cloud_port, edge_port = free_port(), free_port()
    burning, calm = sample(tmp_path / "fire.jpg", 40), sample(tmp_path / "calm.jpg", 2)
    with cloud(cloud_port), edge(edge_port, cloud_port, tmp_path / "state"):
        wait_until(lambda: is_ready(cloud_port) and is_ready(edge_port))
        assert post(edge_port, burning)["label"] == "fire"
        wait_until(lambda: post(edge_port, burning)["detections"])
        assert post(edge_port, calm)["label"] == "none"
        found = requests.post(
            f"http://127.0.0.1:{cloud_port}/infer",
            data=burning,
            headers={"Content-Type": "image/jpeg"},
            timeout=40,
        ).json()["result"]
        assert found["label"] == "fire"
        assert [d for d in found["detections"] if d["label"] == "fire"]


def test_no_answer_is_lost_while_the_cloud_stops_and_it_is_used_again_when_it_is_back(
    tmp_path: Path,
):
    cloud_port, edge_port = free_port(), free_port()
    jpeg = sample(tmp_path / "fire.jpg", 40)
    with edge(edge_port, cloud_port, tmp_path / "state", "--policy", "always"):
        with cloud(cloud_port) as first:
            wait_until(lambda: is_ready(cloud_port) and is_ready(edge_port))
            wait_until(lambda: post(edge_port, jpeg)["source"] == "cloud")
            answers: list[dict] = []
            stop = threading.Event()

            def keep_posting() -> None:
                while not stop.is_set():
                    answers.append(post(edge_port, jpeg))

            callers = [threading.Thread(target=keep_posting) for _ in range(3)]
            for caller in callers:
                caller.start()
            first.send_signal(signal.SIGTERM)
            first.wait(40)
            wait_until(lambda: answers and answers[-1]["source"] == "edge_fallback")
            stop.set()
            for caller in callers:
                caller.join()
        assert {a["source"] for a in answers} <= {"cloud", "edge_fallback"}
        assert all(a["label"] == "fire" for a in answers)
        with cloud(cloud_port):
            wait_until(lambda: is_ready(cloud_port))
            wait_until(lambda: post(edge_port, jpeg)["source"] == "cloud")


@pytest.fixture
def running_pair(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """`make run`'s script, on ports of its own, in a checkout-like folder whose .venv is this one."""
    cloud_port, edge_port = free_port(), free_port()
    with process(
        "bash",
        ROOT / "deploy" / "run.sh",
        CLOUD_PORT=str(cloud_port),
        EDGE_PORT=str(edge_port),
        EMBERLINK_EDGE__STATE=str(tmp_path / "edge"),
        EMBERLINK_CLOUD__STATE=str(tmp_path / "cloud"),
        BIN=str(BIN),
    ) as script:
        wait_until(lambda: is_ready(cloud_port) and is_ready(edge_port))
        yield edge_port, cloud_port
        script.send_signal(signal.SIGINT)
        assert script.wait(40) == 0
        assert any("Both services have stopped" in line for line in script.lines)
        for port in (edge_port, cloud_port):
            with pytest.raises(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2)
        verdicts = [line for line in script.lines if '"event":"verdict"' in line]
        assert verdicts, "no decision was printed"


def test_make_run_decides_and_every_command_of_the_readme_answers(
    running_pair: tuple[int, int], tmp_path: Path
):
    edge_port, cloud_port = running_pair
    wait_until(lambda: cameras(edge_port)[0]["frame_age_s"] is not None)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    asking = readme[readme.index("## Ask it") : readme.index("## The API")]
    policy = readme[readme.index("## What is forwarded") : readme.index("## Configuration")]
    blocks = re.findall(r"```sh\n(.*?)```", asking + policy, flags=re.DOTALL)
    commands = [c for c in commands_of("".join(blocks)) if "curl" in c or "sample" in c]
    assert len(commands) == 10
    for command in commands:
        here = (
            command.replace("127.0.0.1:5000", f"127.0.0.1:{edge_port}")
            .replace("127.0.0.1:5001", f"127.0.0.1:{cloud_port}")
            .replace(".venv/bin", str(BIN))
        )
        done = subprocess.run(
            ["bash", "-c", here], cwd=tmp_path, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        if "curl" in command:
            answer = json.loads(done.stdout)
            assert answer.get("err_no", 0) == 0, answer
            assert "readyz" in command or answer["req_id"]


def commands_of(block: str) -> list[str]:
    joined = block.replace("|\n", "| ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def cameras(port: int) -> list[dict]:
    return requests.get(f"http://127.0.0.1:{port}/cameras", timeout=20).json()["result"]["cameras"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_wheel_works_outside_the_checkout_and_holds_no_tests(tmp_path: Path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-q",
            "-w",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("emberlink-*.whl")
    target = tmp_path / "site"
    shutil.unpack_archive(wheel, target, "zip")
    tops = {path.name for path in target.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"edge", "cloud", "shared", "models"}
    assert not list((target / "models").rglob("runs"))
    sample(tmp_path / "fire.jpg", 40)
    code = "from edge.cli import main; main(['classify', 'fire.jpg', '--json'])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {site_paths(target)!r}; {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["label"] == "fire"


def site_paths(target: Path) -> list[str]:
    packages = [p for p in sys.path if p.endswith("site-packages")]
    return [str(target), *packages]
