"""Alerts over MQTT, for Home Assistant and whoever else listens. Ring: adapter (paho).

paho's thread holds the connection and comes back by itself; a message counts as delivered when the broker has
acknowledged it (QoS 1).
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edge.alert.message import Alert, Language
from edge.alert.mqtt_topics import Message, Topics
from edge.outbox.item import Delivered, Outcome, Retry
from shared.clock import Clock
from shared.deadline import Deadline
from shared.logs import get_logger

_KEEP_ALIVE_S = 30
_LONGEST_PAUSE_S = 30  # between two tries to connect
_TROUBLE_AFTER_S = 10.0  # a broker that restarts is back sooner
_MOST_QUEUED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and who we are to it; `repr` never shows the password."""

    host: str
    port: int
    client_id: str
    user: str | None
    password: str | None
    is_tls: bool
    ca_file: Path | None
    timeout_s: float

    def __repr__(self) -> str:
        return f"Broker({self.host}:{self.port})"


class MqttSink:
    """One connection to one broker."""

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        language: Language,
        clock: Clock,
        *,
        is_sample: bool = False,
    ) -> None:
        """Prepare; `start` connects.

        Args:
            broker: where.
            topics: what is said, and in which words.
            language: of the texts.
            clock: tells how long the connection has been lost.
            is_sample: only one message is sent: nothing is announced, and no last will is left.

        Raises:
            ValueError: the authority's file cannot be used.
        """
        self._broker = broker
        self._topics = topics
        self._language = language
        self._clock = clock
        self._is_sample = is_sample
        self._burning: frozenset[str] = frozenset()
        # What a camera was is never said after what it is; to publish is to queue, paho's thread sends.
        self._telling_states = threading.Lock()
        self._lost_mono_s: float | None = clock.mono_s()
        self._why = "no connection yet"
        self._client = self._build_client()

    @property
    def trouble(self) -> str | None:
        """Tell since when and why there is no connection."""
        lost_mono_s = self._lost_mono_s
        if lost_mono_s is None or self._clock.mono_s() - lost_mono_s < _TROUBLE_AFTER_S:
            return None
        return f"no connection to {self._broker.host}:{self._broker.port}: {self._why}"

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker has taken us in."""
        return bool(self._client.is_connected())

    def start(self) -> None:
        """Connect, and come back after every loss, in paho's thread."""
        self._lost_mono_s = self._clock.mono_s()
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=_KEEP_ALIVE_S)
        self._client.loop_start()

    def deliver(self, alert: Alert, picture: bytes | None) -> Outcome:
        """Publish one alert and wait until the broker has all of it."""
        deadline = Deadline.after(self._broker.timeout_s, self._clock)
        messages = self._topics.of_alert(alert, picture, self._language)
        if not self._client.is_connected():
            return Retry(reason=self._why)
        sent = [self._publish(message) for message in messages]
        for info in sent:
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return Retry(reason=f"not sent: {info.rc.name}")
            info.wait_for_publish(max(0.0, deadline.remaining_s()))
            if not info.is_published():
                return Retry(reason="no acknowledgement in time")
        return Delivered()

    def show(self, burning: frozenset[str]) -> None:
        """Publish the state of the cameras where it has changed."""
        with self._telling_states:
            changed, self._burning = burning ^ self._burning, burning
            if self._client.is_connected():
                self._tell_states(changed)

    def close(self) -> None:
        """Say goodbye, so that the last will is not needed."""
        if self._client.is_connected() and not self._is_sample:
            info = self._publish(self._topics.available(is_online=False))
            info.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _build_client(self) -> Client:
        broker = self._broker
        client = Client(CallbackAPIVersion.VERSION2, client_id=broker.client_id)
        client.connect_timeout = broker.timeout_s
        client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        client.max_queued_messages_set(_MOST_QUEUED)
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.is_tls:
            client.tls_set_context(_tls_context(broker.ca_file))
        if not self._is_sample:
            will = self._topics.available(is_online=False)
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _publish(self, message: Message) -> MQTTMessageInfo:
        return self._client.publish(message.topic, message.payload, qos=1, retain=message.is_kept)

    def _introduce(self) -> None:
        """Tell everything that lasts; the broker may have forgotten it, or Home Assistant may be new."""
        for message in self._topics.announcements():
            self._publish(message)
        with self._telling_states:
            self._tell_states(self._topics.cameras)
        self._publish(self._topics.available(is_online=True))

    def _tell_states(self, cameras: Iterable[str]) -> None:
        for camera in cameras:
            self._publish(self._topics.state(camera, is_burning=camera in self._burning))

    def _on_connect(
        self, _client: Client, _data: Any, _flags: Any, reason: Any, _more: Any
    ) -> None:
        if reason.is_failure:
            self._why = f"the broker says {reason}"
            return
        self._lost_mono_s = None
        get_logger().info("mqtt_connected", host=self._broker.host)
        if not self._is_sample:
            self._client.subscribe(self._topics.birth)
            self._client.subscribe(self._topics.announced)
            self._introduce()

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._why = "it cannot be reached"

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: Any, reason: Any, _more: Any
    ) -> None:
        if self._lost_mono_s is None:
            self._lost_mono_s, self._why = self._clock.mono_s(), f"the connection ended ({reason})"
            get_logger().info("mqtt_disconnected", host=self._broker.host, reason=str(reason))

    def _on_message(self, _client: Client, _data: Any, message: Any) -> None:
        if message.topic != self._topics.birth:
            if message.payload:  # none is what takes an announcement back
                for withdrawn in self._topics.withdrawn(message.topic):
                    self._publish(withdrawn)
        elif message.payload == b"online":
            self._introduce()


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as err:
        raise ValueError(f"ca_file {ca_file}: {err}") from err
