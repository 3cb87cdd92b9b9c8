"""`python -m bench.cameras [--minutes 30]`: eight RTSP cameras on two cores that also run the RTSP server.

Each camera sends 720p H.264 at 10 frames a second, encoded beforehand; two frames a second of each are classified. A
frame's age is counted from its receipt to the edge's decision. The first 90 s, in which everything starts and the
frames before an event fill their ring, do not count.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from bench.numbers import RESULTS, Number, median, print_table, quantile, write_results
from bench.processes import EdgeProcess, Setting, edge_service
from bench.rtsp import Mount, RtspServer, encode_film, missing, rtsp_server
from shared.model.manifest import shipped_models
from shared.rendered.scene import Scene, SceneSettings

_CAMERAS = 8
_FPS = 10
_FILM_S = 6
_WARM_UP_S = 90.0  # the ring of frames before an event fills for a minute
_SAMPLE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen while the cameras ran: ages and cameras of the decisions, memory, CPU seconds."""

    seconds: float
    ages_ms: list[float]
    decisions: dict[str, int]
    rss_mb: list[float]
    edge_cpu_s: float
    server_cpu_s: float


def main() -> None:
    """Measure, print, write; exit 1 when a number is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m bench.cameras", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=2.0, help="how long (2); 30 is the full run"
    )
    wanted = parser.parse_args()
    if lacks := missing():
        sys.exit(lacks)
    # All our processes inherit it.
    psutil.Process().cpu_affinity(psutil.Process().cpu_affinity()[:2])
    with tempfile.TemporaryDirectory() as folder:
        film = _film(Path(folder, "camera.mp4"))
        mounts = {f"/{number}": Mount(file=film) for number in range(_CAMERAS)}
        with rtsp_server(mounts) as server:
            numbers = _numbers(_watch(server, 60.0 * wanted.minutes))
    print_table(numbers)
    write_results(numbers)
    print(f"written to {RESULTS}")
    sys.exit(not all(number.is_ok for number in numbers))


def _film(path: Path) -> Path:
    scene = Scene(SceneSettings(ignite_at_s=1e6))
    frames = [scene.render(number / _FPS).bgr_hwc_u8 for number in range(_FPS * _FILM_S)]
    return encode_film(path, frames, _FPS)


def _watch(server: RtspServer, seconds: float) -> Watched:
    setting = Setting(models=shipped_models(), picture=Path(), is_quick=False)
    sources = [f"cam{n}={server.url(f'/{n}')}" for n in range(_CAMERAS)]
    flags = [part for source in sources for part in ("--source", source)]
    environment = {"EMBERLINK_EDGE__LOG__DECISIONS": "true"}
    serving = psutil.Process(server.pid)
    with edge_service(setting, *flags, environment=environment) as edge:
        time.sleep(_WARM_UP_S)
        begun_mono_s, edge_s, server_s = time.monotonic(), edge.cpu_s(), _cpu_s(serving)
        rss_mb = []
        while time.monotonic() - begun_mono_s < seconds:
            rss_mb.append(edge.rss_mb())
            time.sleep(_SAMPLE_S)
        took_s = time.monotonic() - begun_mono_s
        ages_ms, decisions = _decisions(edge, took_s)
        return Watched(
            seconds=took_s,
            ages_ms=ages_ms,
            decisions=decisions,
            rss_mb=rss_mb,
            edge_cpu_s=edge.cpu_s() - edge_s,
            server_cpu_s=_cpu_s(serving) - server_s,
        )


def _decisions(edge: EdgeProcess, seconds: float) -> tuple[list[float], dict[str, int]]:
    """Read the decisions of the last seconds from the log."""
    verdicts = [line for line in edge.log_lines() if line["event"] == "verdict"]
    last_at = datetime.fromisoformat(verdicts[-1]["at"])
    kept = [
        line
        for line in verdicts
        if datetime.fromisoformat(line["at"]) > last_at - timedelta(seconds=seconds)
    ]
    counts = {f"cam{n}": 0 for n in range(_CAMERAS)}
    for line in kept:
        counts[line["camera"]] += 1
    return [float(line["age_ms"]) for line in kept], counts


def _numbers(seen: Watched) -> list[Number]:
    third = max(1, len(seen.rss_mb) // 3)
    growth_mb = median(seen.rss_mb[-third:]) - median(seen.rss_mb[:third])
    share = 100.0 / seen.seconds / _CAMERAS
    return [
        Number(name="cameras_minutes", value=seen.seconds / 60, unit="min"),
        Number(
            name="cameras_oldest_frame",
            value=max(seen.ages_ms),
            unit="ms",
            accept=500.0,
            goal=250.0,
        ),
        Number(name="cameras_frame_age_p99", value=quantile(seen.ages_ms, 0.99), unit="ms"),
        Number(name="cameras_frame_age_median", value=median(seen.ages_ms), unit="ms"),
        Number(
            name="cameras_slowest_rate",
            value=min(seen.decisions.values()) / seen.seconds,
            unit="1/s",
            accept=1.9,
            is_more_better=True,
        ),
        Number(name="cameras_rss", value=max(seen.rss_mb), unit="MB", accept=600.0),
        Number(name="cameras_rss_growth", value=growth_mb, unit="MB", accept=15.0),
        Number(name="cameras_cpu_per_camera", value=seen.edge_cpu_s * share, unit="%"),
        Number(name="cameras_server_cpu_per_camera", value=seen.server_cpu_s * share, unit="%"),
    ]


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    main()
