"""What Emberlink says on MQTT: topics, and the announcements that Home Assistant understands. Ring: domain.

After home-assistant.io/integrations/mqtt, "MQTT Discovery": for each camera a `binary_sensor` (fire or smoke is seen)
and an `image` (of the last alert), for the box an `event` entity, and an availability topic with a last will.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge.alert.message import Alert, AlertStep, Language, as_dict

_NO_ID = re.compile(r"[^A-Za-z0-9_-]")
EVENT_TYPES = (*(step.value for step in AlertStep), "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One publication; `is_kept` is MQTT's retain: whoever subscribes later gets it, too."""

    topic: str
    payload: bytes
    is_kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Names of one box's topics; `root` and `discovery` come from the settings, without a slash at the end."""

    root: str
    discovery: str
    box_name: str
    version: str
    cameras: Sequence[str]

    @property
    def node(self) -> str:
        """Give the box's name as topics and Home Assistant allow it."""
        return _NO_ID.sub("_", self.box_name)

    @property
    def base(self) -> str:
        """Give what all topics of the box begin with."""
        return f"{self.root}/{self.node}"

    @property
    def birth(self) -> str:
        """Give where Home Assistant says that it has started."""
        return f"{self.discovery}/status"

    @property
    def announced(self) -> str:
        """Give where the box's announcements lie, also those of cameras that it no longer has."""
        return f"{self.discovery}/+/{self.node}/+/config"

    def withdrawn(self, topic: str) -> Iterator[Message]:
        """Take back an announcement of a camera that is gone or renamed: it would look as if it saw no fire."""
        if topic in {message.topic for message in self.announcements()}:
            return
        yield Message(topic=topic, payload=b"")
        camera = topic.split("/")[-2].rpartition("_")[0]
        for what in ("state", "attributes", "snapshot"):
            yield Message(topic=self._of_camera(camera, what), payload=b"")

    def available(self, *, is_online: bool) -> Message:
        """Say whether the box is there; also the last will."""
        return Message(
            topic=f"{self.base}/availability", payload=b"online" if is_online else b"offline"
        )

    def state(self, camera: str, *, is_burning: bool) -> Message:
        """Say whether a camera sees a fire or smoke."""
        return Message(
            topic=self._of_camera(camera, "state"), payload=b"ON" if is_burning else b"OFF"
        )

    def of_alert(self, alert: Alert, picture: bytes | None, language: Language) -> list[Message]:
        """Say what an alert says; a test's picture carries its mark, the camera's state stays as it is."""
        fields = as_dict(alert, language)
        event_type = "test" if alert.is_test else alert.step.value
        messages = [
            Message(
                topic=f"{self.base}/event",
                payload=_json({"event_type": event_type, **fields}),
                is_kept=False,
            )
        ]
        if not alert.is_test:
            attributes = self._of_camera(alert.camera, "attributes")
            messages.append(Message(topic=attributes, payload=_json(fields)))
        if picture is not None:
            snapshot = self._of_camera(alert.camera, "snapshot")
            messages.append(Message(topic=snapshot, payload=picture))
        return messages

    def announcements(self) -> Iterator[Message]:
        """Introduce every entity to Home Assistant."""
        yield self._entity(
            "event",
            "alerts",
            name="Alerts",
            state_topic=f"{self.base}/event",
            event_types=list(EVENT_TYPES),
        )
        for camera in self.cameras:
            yield self._entity(
                "binary_sensor",
                f"{camera}_fire",
                name=f"{camera} fire or smoke",
                device_class="smoke",
                state_topic=self._of_camera(camera, "state"),
                json_attributes_topic=self._of_camera(camera, "attributes"),
            )
            yield self._entity(
                "image",
                f"{camera}_snapshot",
                name=f"{camera} last alert",
                image_topic=self._of_camera(camera, "snapshot"),
                content_type="image/jpeg",
            )

    def _entity(self, component: str, name_in_box: str, **fields: Any) -> Message:
        object_id = _NO_ID.sub("_", name_in_box)
        config = {
            **fields,
            "unique_id": f"emberlink_{self.node}_{object_id}",
            "availability_topic": f"{self.base}/availability",
            "device": {
                "identifiers": [f"emberlink_{self.node}"],
                "name": f"Emberlink {self.box_name}",
                "manufacturer": "Emberlink",
                "sw_version": self.version,
            },
        }
        topic = f"{self.discovery}/{component}/{self.node}/{object_id}/config"
        return Message(topic=topic, payload=_json(config))

    def _of_camera(self, camera: str, what: str) -> str:
        return f"{self.base}/{_NO_ID.sub('_', camera)}/{what}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
