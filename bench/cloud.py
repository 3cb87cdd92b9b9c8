"""`python -m bench.cloud [--only PART] [--quick] [--device cuda]`: how the cloud holds under load.

cpu: CPU time of the bare loop over that of the service, paired rounds. overload: 64 callers on 16 places, those that
wait as they are told and those that come straight back. slow: health while 90 clients send half a request. redis: what
the queue between machines costs a picture. gpu (with --device cuda): pictures a second and latency at 1, 8 and 32
callers against the bare loop.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.gpu_ready import refuse_without_card
from bench.numbers import RESULTS, Number, median, print_table, quantile, write_results
from bench.picture import posted_jpeg
from bench.processes import ServiceProcess
from shared.model.manifest import shipped_models

_START_S = 60.0  # a model on a GPU compiles its kernels first
_STOP_S = 20.0
_RUN_S = 900.0
_PLACES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all parts share."""

    models: Path
    picture: Path
    device: str
    is_quick: bool


@contextmanager
def cloud_process(
    setting: Setting, command: str = "run", **settings: str
) -> Iterator[ServiceProcess]:
    """Run `emberlink-cloud` for the length of a block; `settings` by their environment names."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        port = _free_port()
        environment = {
            f"EMBERLINK_CLOUD__{name.upper()}": value
            for name, value in {
                "server__port": str(port),
                "server__threads": "80",
                "engine__places": "64",
                "models": str(setting.models),
                "model__device": setting.device,
                "state": str(Path(folder, "state")),
                **settings,
            }.items()
        }
        start = [sys.executable, "-c", "from cloud.cli import main; main()", command]
        process = psutil.Popen(start, stderr=log, env={**os.environ, **environment})
        try:
            if command == "run":
                _wait_until_ready(process, port, Path(folder, "log"))
            yield ServiceProcess(port, process)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()


def measure_cpu(setting: Setting) -> list[Number]:
    """Measure CPU time a picture at 8 and 32 callers against the bare loop."""
    rounds, count = (1, 24) if setting.is_quick else (5, 96)
    ratios: dict[int, list[float]] = {8: [], 32: []}
    bare_ms: list[float] = []
    with cloud_process(setting) as cloud:
        _post(setting, cloud.port, count=16, callers=8)  # warm up
        for _ in range(rounds):
            bare = _bare(setting, count)["cpu_ms"]
            bare_ms.append(bare)
            for callers, found in ratios.items():
                started_s = cloud.cpu_s()
                _post(setting, cloud.port, count=count, callers=callers)
                found.append(bare / (1000 * (cloud.cpu_s() - started_s) / count))
        rss_mb = cloud.rss_mb()
    numbers = [
        Number(
            name=f"cloud.cpu_ratio_{callers}_callers",
            value=median(found),
            unit="ratio",
            accept=0.85,
            goal=0.90,
            is_more_better=True,
        )
        for callers, found in ratios.items()
    ]
    return [
        *numbers,
        Number(name="cloud.bare_cpu_ms", value=median(bare_ms), unit="ms"),
        Number(name="cloud.rss_mb", value=rss_mb, unit="MB"),
    ]


def measure_overload(setting: Setting) -> list[Number]:
    """Measure what gets through at four times the places, and how fast the rest is refused."""
    seconds = 8.0 if setting.is_quick else 30.0
    with cloud_process(setting, engine__places=str(_PLACES)) as cloud:
        _crowd(setting, cloud.port, callers=4, seconds=2.0, is_impatient=False)
        capacity = _goodput(
            _crowd(setting, cloud.port, _PLACES, seconds, is_impatient=False), seconds
        )
        patient = _crowd(setting, cloud.port, 64, seconds, is_impatient=False)
        impatient = _crowd(setting, cloud.port, 64, seconds, is_impatient=True)
    refused = [a["ms"] for a in patient if a["status"] == 503]
    kept = _goodput(patient, seconds) / capacity
    kept_impatient = _goodput(impatient, seconds) / capacity
    return [
        Number(
            name="cloud.overload_goodput",
            value=kept,
            unit="ratio",
            accept=0.70,
            goal=0.90,
            is_more_better=True,
        ),
        Number(
            name="cloud.overload_goodput_impatient",
            value=kept_impatient,
            unit="ratio",
            accept=0.25,
            goal=0.50,
            is_more_better=True,
        ),
        Number(
            name="cloud.refusal_p99_ms",
            value=quantile(refused, 0.99) if refused else 0.0,
            unit="ms",
            accept=100.0,
            goal=50.0,
        ),
        Number(name="cloud.capacity_per_s", value=capacity, unit="1/s"),
    ]


def measure_slow(setting: Setting) -> list[Number]:
    """Measure health while 45 clients send half a head and 45 half a body."""
    with cloud_process(setting) as cloud, contextlib.ExitStack() as held:
        for number in range(90):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", cloud.port), 5))
            sock.sendall(b"POST /infer HTTP/1.1\r\nHost: x\r\n")
            if number % 2:
                sock.sendall(b"Content-Type: image/jpeg\r\nContent-Length: 150000\r\n\r\nhalf")
        took_ms = []
        for _ in range(20):
            started_s = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{cloud.port}/healthz", timeout=10):
                took_ms.append(1000 * (time.perf_counter() - started_s))
    worst_ms = max(took_ms)
    return [
        Number(name="cloud.healthz_90_slow_ms", value=worst_ms, unit="ms", accept=50.0, goal=25.0)
    ]


def measure_redis(setting: Setting) -> list[Number]:
    """Measure the CPU time a picture of front end, worker and Redis together, over that of one process."""
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: part redis left out", file=sys.stderr)
        return []
    count = 24 if setting.is_quick else 96
    rounds = 1 if setting.is_quick else 5
    with _redis() as (redis, url), cloud_process(setting) as local:
        shared = {"engine__kind": "redis", "redis__url": url}
        with (
            cloud_process(setting, "worker", **shared) as worker,
            cloud_process(setting, **shared) as front,
        ):
            over_ms = []
            for cloud in (local, front):
                _post(setting, cloud.port, count=16, callers=8)
            for _ in range(rounds):
                alone_s = _cpu_of([local], lambda: _post(setting, local.port, count, callers=8))
                queued_s = _cpu_of(
                    [front, worker, redis], lambda: _post(setting, front.port, count, callers=8)
                )
                over_ms.append(1000 * (queued_s - alone_s) / count)
    return [
        Number(name="cloud.redis_cpu_over_local_ms", value=median(over_ms), unit="ms", accept=2.0)
    ]


def measure_workers(setting: Setting) -> list[Number]:
    """Measure pictures a second with 1, 2 and 4 workers on this machine's cores, one front end before them."""
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: part workers left out", file=sys.stderr)
        return []
    count = 24 if setting.is_quick else 160
    numbers = []
    for workers in (1, 2, 4):
        with contextlib.ExitStack() as stack:
            _, url = stack.enter_context(_redis())
            shared = {"engine__kind": "redis", "redis__url": url}
            for _ in range(workers):
                stack.enter_context(cloud_process(setting, "worker", **shared))
            front = stack.enter_context(cloud_process(setting, **shared))
            _post(setting, front.port, count=8 * workers, callers=8)  # warm up
            started_s = time.perf_counter()
            _post(setting, front.port, count=count, callers=8)
            per_s = count / (time.perf_counter() - started_s)
        numbers.append(Number(name=f"cloud.workers_{workers}_per_s", value=per_s, unit="1/s"))
    return numbers


def measure_gpu(setting: Setting) -> list[Number]:
    """Measure pictures a second and latency at 1, 8 and 32 callers, and the bare loop at batches of 1 and 8."""
    count = 200 if setting.is_quick else 2000
    numbers = [
        Number(
            name=f"cloud.gpu_bare_per_s_batch_{batch}",
            value=1000 / _bare(setting, count, batch=batch)["wall_ms"],
            unit="1/s",
        )
        for batch in (1, 8)
    ]
    decoders = str(os.cpu_count() or 1)
    with cloud_process(setting, engine__decoders=decoders) as cloud:
        _post(setting, cloud.port, count=100, callers=32)
        for callers in (1, 8, 32):
            started_s = time.perf_counter()
            took_ms = _post(setting, cloud.port, count=count, callers=callers)
            per_s = count / (time.perf_counter() - started_s)
            name = f"cloud.gpu_{callers}_callers"
            numbers += [
                Number(name=f"{name}_per_s", value=per_s, unit="1/s"),
                Number(name=f"{name}_p50_ms", value=quantile(took_ms, 0.5), unit="ms"),
                Number(name=f"{name}_p99_ms", value=quantile(took_ms, 0.99), unit="ms"),
            ]
    return numbers


_PARTS: Mapping[str, Callable[[Setting], list[Number]]] = {
    "cpu": measure_cpu,
    "overload": measure_overload,
    "slow": measure_slow,
    "redis": measure_redis,
    "workers": measure_workers,
}


def main() -> None:
    """Run the parts; exit 1 when a number is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m bench.cloud", description=__doc__)
    parser.add_argument("--only", choices=_PARTS, action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="rough and brief; nothing is written")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--models", type=Path, help="other artifacts; nothing is written")
    wanted = parser.parse_args()
    if wanted.device == "cuda":
        refuse_without_card()
    with tempfile.NamedTemporaryFile(suffix=".jpg") as picture:
        picture.write(posted_jpeg())
        picture.flush()
        setting = Setting(
            models=wanted.models or shipped_models(),
            picture=Path(picture.name),
            device=wanted.device,
            is_quick=wanted.quick,
        )
        numbers: list[Number] = []
        if wanted.device == "cuda":
            numbers += measure_gpu(setting)
        else:
            for name in wanted.only or _PARTS:
                numbers += _PARTS[name](setting)
    print_table(numbers)
    if not wanted.quick and not wanted.models:
        write_results(numbers)
        print(f"written to {RESULTS}")
    sys.exit(not all(number.is_ok for number in numbers))


def _bare(setting: Setting, count: int, batch: int = 1) -> dict[str, float]:
    flags = ["--models", str(setting.models), "--count", str(count)]
    flags += ["--batch", str(batch), "--device", setting.device]
    (line,) = _run("bench.cloud_bare", setting, flags)
    found: dict[str, float] = json.loads(line)
    return found


def _post(setting: Setting, port: int, count: int, callers: int) -> list[float]:
    """Post from callers that wait for each answer; gives the milliseconds of each, all of them 200."""
    flags = ["--port", str(port), "--count", str(count), "--callers", str(callers)]
    answers = [
        json.loads(line) for line in _run("bench.callers", setting, [*flags, "--path", "/infer"])
    ]
    wrong = {a["status"] for a in answers} - {200}
    if wrong:
        raise RuntimeError(f"answers with status {wrong}")
    return [a["ms"] for a in answers]


def _crowd(
    setting: Setting, port: int, callers: int, seconds: float, *, is_impatient: bool
) -> list[dict[str, Any]]:
    flags = ["--port", str(port), "--callers", str(callers), "--seconds", str(seconds)]
    flags += ["--impatient"] if is_impatient else []
    return [json.loads(line) for line in _run("bench.cloud_callers", setting, flags)]


def _goodput(answers: list[dict[str, Any]], seconds: float) -> float:
    good = len([a for a in answers if a["status"] == 200])
    return good / seconds


def _run(module: str, setting: Setting, flags: list[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, "--picture", str(setting.picture), *flags],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=_RUN_S,
    )
    return done.stdout.splitlines()


def _cpu_of(processes: list[ServiceProcess], work: Callable[[], object]) -> float:
    before_s = sum(p.cpu_s() for p in processes)
    work()
    return sum(p.cpu_s() for p in processes) - before_s


@contextmanager
def _redis() -> Iterator[tuple[ServiceProcess, str]]:
    port = _free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(1.0)
        yield ServiceProcess(port, process), f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(_STOP_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: psutil.Popen, port: int, log: Path) -> None:
    ends_s = time.monotonic() + _START_S
    while time.monotonic() < ends_s and process.poll() is None:
        url = f"http://127.0.0.1:{port}/readyz"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return  # until then refused, or 503 while it loads
        time.sleep(0.1)
    raise RuntimeError(f"the cloud did not start:\n{log.read_text(encoding='utf-8')}")


if __name__ == "__main__":
    main()
