from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt")

from edge.alert.message import sample
from edge.alert.mqtt_topics import Message
from edge.alert.sinks import Sink
from edge.config.alerts import AlertsSection
from edge.outbox.item import Delivered, Outcome, Retry
from edge.wiring.sinks import build_sink
from shared.clock import SystemClock
from shared.errors import ConfigError
from tests.helpers.alerts import closed, fire_event, opened
from tests.helpers.mosquitto import Listener, listener, mosquitto
from tests.helpers.services import running_edge
from tests.helpers.waiting import wait_until

_CLOCK = SystemClock()


def settings(port: int, **more: Any) -> AlertsSection:
    section = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "timeout_s": 10.0, **more}
    return AlertsSection.model_validate({"box_name": "Gate 1", "sinks": {"home": section}})


@contextmanager
def connected(
    port: int, cameras: tuple[str, ...] = ("yard", "hall.2"), **more: Any
) -> Iterator[Sink]:
    sink = build_sink("home", settings(port, **more), cameras, _CLOCK)
    sink.start()
    try:
        yield sink
    finally:
        sink.close()


def delivered(sink: Sink, **changes: Any) -> Outcome:
    """Deliver one alert, waiting for the connection first."""
    alert = replace(sample("yard"), is_test=False, **changes)
    outcomes: list[Outcome] = []

    def try_once() -> bool:
        outcomes.append(sink.deliver(alert, b"\xff\xd8jpeg"))
        return outcomes[-1] == Delivered()

    wait_until(try_once)
    return outcomes[-1]


def test_home_assistant_learns_of_every_camera_and_of_the_box(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, connected(broker.port) as sink:
        delivered(sink)
        with listener(broker.port) as heard:
            wait_until(lambda: heard.last("emberlink/Gate_1/availability") == b"online")
            wait_until(lambda: len(_configs(heard)) == 5)
            configs = _configs(heard)
    assert set(configs) == {
        "homeassistant/event/Gate_1/alerts/config",
        "homeassistant/binary_sensor/Gate_1/yard_fire/config",
        "homeassistant/binary_sensor/Gate_1/hall_2_fire/config",
        "homeassistant/image/Gate_1/yard_snapshot/config",
        "homeassistant/image/Gate_1/hall_2_snapshot/config",
    }
    sensor = configs["homeassistant/binary_sensor/Gate_1/yard_fire/config"]
    assert sensor["device_class"] == "smoke"
    assert sensor["state_topic"] == "emberlink/Gate_1/yard/state"
    assert sensor["availability_topic"] == "emberlink/Gate_1/availability"
    assert "acknowledged" in configs["homeassistant/event/Gate_1/alerts/config"]["event_types"]
    assert len({config["unique_id"] for config in configs.values()}) == 5
    assert {config["device"]["identifiers"][0] for config in configs.values()} == {
        "emberlink_Gate_1"
    }


def _configs(heard: Listener) -> dict[str, Any]:
    return {
        topic: json.loads(payload)
        for topic, payload, is_kept in list(heard.messages)
        if topic.startswith("homeassistant/") and is_kept
    }


def test_an_alert_is_an_event_a_snapshot_and_attributes(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, connected(broker.port) as sink:
        with listener(broker.port) as heard:
            delivered(sink)
            wait_until(lambda: heard.last("emberlink/Gate_1/yard/snapshot"))
            event = json.loads(heard.last("emberlink/Gate_1/event") or b"{}")
            attributes = json.loads(heard.last("emberlink/Gate_1/yard/attributes") or b"{}")
            assert heard.last("emberlink/Gate_1/yard/snapshot") == b"\xff\xd8jpeg"
        with listener(broker.port) as later:
            wait_until(lambda: later.last("emberlink/Gate_1/yard/snapshot"))
            assert later.last("emberlink/Gate_1/event") is None  # events are not repeated
    assert event["event_type"] == "opened"
    assert event["camera"] == "yard"
    assert event["place"] == "upper left"
    assert "Supplements listed fire alarms" in event["text"]
    assert attributes["severity"] == "fire"


def test_a_test_is_an_event_of_its_own_type_and_touches_no_attributes(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        connected(broker.port) as sink,
        listener(broker.port) as heard,
    ):
        wait_until(lambda: sink.deliver(sample("yard"), None) == Delivered())
        wait_until(lambda: heard.last("emberlink/Gate_1/event"))
        event = json.loads(heard.last("emberlink/Gate_1/event") or b"{}")
        assert heard.last("emberlink/Gate_1/yard/attributes") is None
    assert event["event_type"] == "test"
    assert event["is_test"] is True


def test_the_state_of_a_camera_follows_its_events(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, connected(broker.port) as sink:
        delivered(sink)
        with listener(broker.port) as heard:
            state = "emberlink/Gate_1/yard/state"
            wait_until(lambda: heard.last(state) == b"OFF")
            sink.show(frozenset({"yard"}))
            wait_until(lambda: heard.last(state) == b"ON")
            sink.show(frozenset({"yard", "hall.2"}))
            wait_until(lambda: heard.last("emberlink/Gate_1/hall_2/state") == b"ON")
            sink.show(frozenset())
            wait_until(lambda: heard.last(state) == b"OFF")


def test_a_camera_that_was_removed_or_renamed_no_longer_looks_as_if_it_watched(
    tmp_path: Path,
) -> None:
    def kept() -> set[str]:
        with listener(broker.port) as heard:
            wait_until(lambda: heard.last("emberlink/Gate_1/availability") == b"online")
            return {topic for topic, payload, is_kept in heard.messages if is_kept and payload}

    of_hall = {
        "homeassistant/binary_sensor/Gate_1/hall_2_fire/config",
        "homeassistant/image/Gate_1/hall_2_snapshot/config",
        "emberlink/Gate_1/hall_2/state",
        "emberlink/Gate_1/hall_2/attributes",
        "emberlink/Gate_1/hall_2/snapshot",
    }
    of_yard = {topic.replace("hall_2", "yard") for topic in of_hall}
    with mosquitto(tmp_path) as broker:
        with connected(broker.port) as sink:
            delivered(sink)
            delivered(sink, camera="hall.2")
            wait_until(lambda: kept() >= of_hall | of_yard)
        with connected(broker.port, ("yard",)):
            wait_until(lambda: (found := kept()) >= of_yard and not found & of_hall)


def test_a_box_that_dies_is_told_offline_and_one_that_stops_says_so_itself(tmp_path: Path) -> None:
    availability = "emberlink/Gate_1/availability"
    with mosquitto(tmp_path) as broker, listener(broker.port) as heard:
        with connected(broker.port) as sink:
            delivered(sink)
            wait_until(lambda: heard.last(availability) == b"online")
            sock = sink._client.socket()  # type: ignore[attr-defined]
            sock.shutdown(socket.SHUT_RDWR)  # the line is cut: the broker speaks the last will
            wait_until(lambda: heard.last(availability) == b"offline")
            wait_until(lambda: heard.last(availability) == b"online")  # and it comes back
        wait_until(lambda: heard.last(availability) == b"offline")


def test_a_broker_that_restarts_is_told_everything_again(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, connected(broker.port) as sink:
        delivered(sink)
        sink.show(frozenset({"yard"}))
        broker.kill()  # it keeps nothing on disk
        wait_until(lambda: isinstance(sink.deliver(sample("yard"), None), Retry))
        broker.start()
        delivered(sink)
        with listener(broker.port) as heard:
            wait_until(lambda: heard.last("emberlink/Gate_1/yard/state") == b"ON")
            wait_until(lambda: heard.last("homeassistant/event/Gate_1/alerts/config"))


def test_home_assistant_that_restarts_is_introduced_again(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, connected(broker.port) as sink:
        delivered(sink)
        with listener(broker.port) as heard:
            wait_until(lambda: heard.last("emberlink/Gate_1/availability"))
            heard.publish("homeassistant/status", b"online")
            for topic in (
                "homeassistant/event/Gate_1/alerts/config",
                "emberlink/Gate_1/yard/state",
            ):
                wait_until(lambda topic=topic: heard.is_said_now(topic))


def test_a_fire_that_begins_while_home_assistant_is_introduced_is_not_said_to_be_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = "emberlink/Gate_1/yard/state"
    tells: list[threading.Thread] = []
    has_begun = threading.Event()
    with mosquitto(tmp_path) as broker, connected(broker.port, ("yard",)) as sink:
        delivered(sink)
        publish = sink._publish  # type: ignore[attr-defined]

        def between(message: Message) -> Any:
            if message.topic == state and not tells:
                tells.append(threading.Thread(target=sink.show, args=(frozenset({"yard"}),)))
                tells[0].start()
                has_begun.set()
                tells[0].join(0.3)  # as long as another thread may take here
            return publish(message)

        with listener(broker.port) as heard:
            wait_until(lambda: heard.last(state) == b"OFF")
            monkeypatch.setattr(sink, "_publish", between)
            heard.publish("homeassistant/status", b"online")
            wait_until(has_begun.is_set)
            tells[0].join()
            wait_until(lambda: heard.last(state) == b"ON")
            delivered(sink)  # everything before it has arrived
            assert heard.last(state) == b"ON"


def test_a_broker_may_want_a_password(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.touch(mode=0o600)
    subprocess.run(
        ["mosquitto_passwd", "-b", str(users), "box", "right"], check=True, capture_output=True
    )
    lines = ("allow_anonymous false", f"password_file {users}", "user root")
    with mosquitto(tmp_path, lines) as broker:
        with connected(broker.port, user="box", password="right") as sink:
            assert delivered(sink) == Delivered()
        with connected(broker.port, user="box", password="wrong") as sink:
            wait_until(lambda: "Not authorized" in _reason(sink))
            assert "wrong" not in _reason(sink)


# paho lets go of a socket whose handshake failed without closing it; Python closes it and warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_with_tls_is_believed_only_with_its_authority(tmp_path: Path) -> None:
    _make_certificate(tmp_path)
    lines = (
        "allow_anonymous true",
        f"certfile {tmp_path / 'cert.pem'}",
        f"keyfile {tmp_path / 'key.pem'}",
        "user root",
    )
    with mosquitto(tmp_path, lines) as broker:
        with connected(broker.port, tls=True, ca_file=str(tmp_path / "cert.pem")) as sink:
            assert delivered(sink) == Delivered()
        with connected(broker.port, tls=True) as sink:
            wait_until(lambda: "cannot be reached" in _reason(sink))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50, None])
def test_what_is_no_broker_costs_nothing_but_a_trouble(answer: bytes | None) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        connected(server.getsockname()[1]) as sink,
    ):
        stopping = threading.Event()
        taken: list[socket.socket] = []

        def serve() -> None:
            server.settimeout(0.2)
            while not stopping.is_set():
                try:
                    sock, _ = server.accept()
                except OSError:
                    continue
                taken.append(sock)
                if answer is not None:  # None hangs
                    sock.sendall(answer)
                    sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        started_s = time.monotonic()
        assert isinstance(sink.deliver(sample(), None), Retry)
        wait_until(lambda: taken)
        assert isinstance(sink.deliver(sample(), None), Retry)
        assert time.monotonic() - started_s < 15.0
        stopping.set()
        thread.join()
        for sock in taken:
            sock.close()


def test_in_the_service_an_event_switches_the_sensor_and_its_end_switches_it_back(
    tmp_path: Path, models: Path
) -> None:
    with mosquitto(tmp_path) as broker, listener(broker.port) as heard:
        alerts = settings(broker.port).model_dump(mode="json", exclude_none=True)
        cameras = {"yard": {"source": "sim:?ignite_at_s=100000"}}
        with running_edge(tmp_path / "state", models, alerts=alerts, cameras=cameras) as edge:
            desk, state = edge.service.alerting.desk, "emberlink/Gate_1/yard/state"
            event = fire_event(_CLOCK, camera="yard")
            desk.announce(opened(event), None)
            wait_until(lambda: heard.last(state) == b"ON")
            wait_until(lambda: _event_types(heard) == ["opened"])
            desk.announce(closed(event, _CLOCK.now_at()), None)
            wait_until(lambda: heard.last(state) == b"OFF")
            wait_until(lambda: _event_types(heard) == ["opened", "closed"])


def _event_types(heard: Listener) -> list[str]:
    events = [p for t, p, _ in list(heard.messages) if t == "emberlink/Gate_1/event"]
    return [json.loads(payload)["event_type"] for payload in events]


def test_wrong_settings_are_refused() -> None:
    for more, problem in (
        ({"password": "x"}, "a password needs a user"),
        ({"ca_file": "/x"}, "ca_file does nothing without tls"),
        ({"topic": "a/#"}, "topic"),
        ({"host": "a b"}, "host"),
    ):
        with pytest.raises(ValueError, match=problem):
            settings(1883, **more)
    with pytest.raises(ConfigError, match="ca_file /nowhere"):
        build_sink("home", settings(1883, tls=True, ca_file="/nowhere"), (), _CLOCK)


def _reason(sink: Sink) -> str:
    outcome = sink.deliver(sample(), None)
    return outcome.reason if isinstance(outcome, Retry) else ""


def _make_certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
