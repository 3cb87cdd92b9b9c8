"""A real MQTT broker of a test's own, on a free port of this machine."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import free_port, wait_until_listening

_PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


class Mosquitto:
    """A process that can be killed and started again; `lines` are added to its configuration."""

    def __init__(self, folder: Path, lines: tuple[str, ...] = ("allow_anonymous true",)) -> None:
        """Choose a port and write the configuration."""
        self._folder = folder
        self.port = free_port()
        config = ["per_listener_settings false", f"listener {self.port} 127.0.0.1", *lines]
        (folder / "mosquitto.conf").write_text("\n".join(config) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        command = [_PROGRAM, "-c", str(self._folder / "mosquitto.conf")]
        log = self._folder / "mosquitto.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_until_listening(self._process, self.port, log)

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def mosquitto(
    folder: Path, lines: tuple[str, ...] = ("allow_anonymous true",)
) -> Iterator[Mosquitto]:
    """Run a broker for the length of a block; skip the test where none is installed."""
    if not Path(_PROGRAM).exists():
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    broker = Mosquitto(folder, lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class Listener:
    """A subscriber: keeps every message by topic, with whether it was retained."""

    def __init__(self, port: int, topics: str = "#", **login: Any) -> None:
        """Connect and subscribe; returns once the broker has agreed."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, bytes, bool]] = []
        self._is_ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_message = lambda _c, _d, m: self.messages.append(
            (m.topic, bytes(m.payload), m.retain)
        )
        self._client.on_subscribe = lambda *_: self._is_ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(topics, qos=1)
        assert self._is_ready.wait(40)

    def last(self, topic: str) -> bytes | None:
        """Give the newest payload of a topic."""
        return next((p for t, p, _ in reversed(self.messages) if t == topic), None)

    def is_said_now(self, topic: str) -> bool:
        """Tell whether somebody spoke on a topic since we listen; what the broker had kept does not count."""
        return any(said == topic and not is_kept for said, _, is_kept in self.messages)

    def publish(self, topic: str, payload: bytes) -> None:
        """Say something as another program would."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(40)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listener(port: int, topics: str = "#", **login: Any) -> Iterator[Listener]:
    """Subscribe for the length of a block."""
    listening = Listener(port, topics, **login)
    try:
        yield listening
    finally:
        listening.close()
