"""`python -m bench.alerts [--events N]`: from the frame that opens an event to the first try of its alert.

The real service with the shipped models: rendered fires are posted as frames of as many cameras as events are wanted,
one a second, so that one event after the other opens. Each alert goes to a webhook of this process, which notes when it
came. The clock starts where the opening frame was received, before it was decoded and judged: the decision's own time
is in the number. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.numbers import Number, median, print_table, quantile, write_results
from bench.picture import posted_jpeg
from bench.processes import Setting, edge_service
from shared.clock import SystemClock
from shared.model.manifest import shipped_models
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings

_FRAMES_S = 1.0  # of a camera
# Second of the rendered scene from which on the frames are taken: the fire is well there.
_BURNS_FROM_S = 20.0
_GIVE_UP_S = 60.0  # for one camera's event


@dataclass(slots=True)
class Receiver:
    """A webhook: how long after its event's opening frame each camera's first alert came, in seconds."""

    port: int = 0
    took_s: dict[str, float] = field(default_factory=dict)

    def take(self, body: bytes) -> None:
        """Note an alert that says that an event opened."""
        came_at = SystemClock().now_at()
        alert = json.loads(body)["data"]
        if alert["step"] == "opened":
            opened_at = datetime.fromisoformat(alert["opened_at"])
            self.took_s.setdefault(alert["camera"], (came_at - opened_at).total_seconds())


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run the webhook's receiver."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, name="receiver")
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def measure(events: int) -> list[Number]:
    """Open so many events one after the other, and tell how long their alerts took."""
    with tempfile.TemporaryDirectory() as folder, receiving() as receiver:
        config = Path(folder, "edge.toml")
        config.write_text(_settings(events, receiver.port), encoding="utf-8")
        picture = Path(folder, "picture.jpg")
        picture.write_bytes(posted_jpeg())
        setting = Setting(models=shipped_models(), picture=picture, is_quick=False)
        with edge_service(setting, "--config", str(config)) as edge:
            for number in range(events):
                _burn(edge.port, f"camera{number}", receiver, seed=number)
    took_s = list(receiver.took_s.values())
    return [
        Number(
            name="alerts.events", value=len(took_s), unit="events", accept=20.0, is_more_better=True
        ),
        Number(name="alerts.first_try_median_s", value=median(took_s), unit="s"),
        Number(name="alerts.first_try_p95_s", value=quantile(took_s, 0.95), unit="s"),
        Number(name="alerts.first_try_longest_s", value=max(took_s), unit="s", accept=2.0),
    ]


def _settings(cameras: int, port: int) -> str:
    sections = [f'[cameras.camera{number}]\nsource = "push:"\n' for number in range(cameras)]
    sink = f'[alerts.sinks.bench]\nkind = "webhook"\nurl = "http://127.0.0.1:{port}/"\n'
    return "\n".join(['[policy]\nname = "edge_only"\n', sink, *sections])


def _burn(port: int, camera: str, receiver: Receiver, seed: int) -> None:
    """Post a burning yard as a camera's frames until its alert came."""
    scene = Scene(SceneSettings(seed=seed, ignite_at_s=0.0))
    begun_s = time.monotonic()
    url = f"http://127.0.0.1:{port}/joint_predict?camera={camera}"
    while camera not in receiver.took_s and time.monotonic() - begun_s < _GIVE_UP_S:
        jpeg = jpeg_picture(scene.render(_BURNS_FROM_S + time.monotonic() - begun_s).bgr_hwc_u8)
        request = urllib.request.Request(  # our own service
            url, data=jpeg.encoded, headers={"Content-Type": "image/jpeg"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 # the same
            answer.read()
        time.sleep(_FRAMES_S)


def main() -> None:
    """Run the measurement; exit 1 when a number is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m bench.alerts", description=__doc__)
    parser.add_argument("--events", type=int, default=24, help="how many events to open")
    numbers = measure(parser.parse_args().events)
    print_table(numbers)
    write_results(numbers)
    sys.exit(not all(number.is_ok for number in numbers))


if __name__ == "__main__":
    main()
