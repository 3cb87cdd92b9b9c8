"""The evidence store of a box, wired: its folder, what it notes of cameras. Ring: rim."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from edge.box.state_files import free_bytes
from edge.config.cameras import CameraSection
from edge.config.events import zones_of
from edge.config.settings import EdgeSettings
from edge.event.fire_event import FireEvent
from edge.record.chain import canonical
from edge.record.records import Records, Troubles
from edge.record.types import MOST_EVENTS_A_PAGE, EventQuery
from shared.clock import Clock
from shared.errors import FireError
from shared.logs import get_logger, redact
from shared.version import commit, version


def evidence_folder(settings: EdgeSettings) -> Path:
    """Tell where journal and pictures lie."""
    return settings.evidence.folder or settings.state / "evidence"


def build_records(
    settings: EdgeSettings,
    clock: Clock,
    troubles: Troubles,
    *,
    is_visitor: bool = False,
    section_of: Callable[[str], CameraSection | None] | None = None,
) -> Records:
    """Open the evidence store; a visitor is a command beside the service.

    `section_of` gives a camera's settings as they hold, those of the configuration unless given.

    Raises:
        StoreError: its journal is of a newer version, or the folder of a visitor is a symbolic link.
    """

    def facts(camera: str) -> Mapping[str, Any]:
        section = (section_of or settings.cameras.get)(camera)
        return {**(camera_facts(section) if section else {}), **_box_facts(settings)}

    folder = evidence_folder(settings)
    return Records(
        folder,
        clock=clock,
        troubles=troubles,
        camera_facts=facts,
        rules=settings.evidence.keep_rules(),
        free_bytes=functools.partial(free_bytes, folder),
        zone=settings.policy.zone,
        is_visitor=is_visitor,
    )


def left_open(records: Records) -> tuple[FireEvent, ...]:
    """Give the newest 200 of the events that a box which died left open; none when they cannot be read."""
    query = EventQuery(limit=MOST_EVENTS_A_PAGE, with_tests=True, is_closed=False)
    try:
        return tuple(record.event for record in records.events(query).events)
    except FireError as err:
        get_logger().error("left_open_not_read", detail=err.detail)
        return ()


def camera_facts(section: CameraSection) -> dict[str, Any]:
    """Tell what is noted of a camera with each of its events: its settings and their hash, no secret."""
    secrets = {name for name, value in section if isinstance(value, SecretStr)}
    facts = section.model_dump(mode="json", exclude={*secrets, "password_file"})
    facts["source"] = redact(section.source)
    facts["zones_version"] = zones_of(section.zones).version
    settings = hashlib.sha256(canonical(facts).encode()).hexdigest()[:12]
    return {**facts, "settings_sha256_12": settings}


def _box_facts(settings: EdgeSettings) -> dict[str, Any]:
    """Tell who records: evidence of two boxes may come together, and both may have a camera `gate`."""
    return {
        "box": settings.alerts.box_name,
        "host": platform.node(),
        "recorded_by": f"emberlink {version()}, commit {commit()}",
    }
