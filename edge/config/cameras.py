"""Settings of the cameras. Ring: rim."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from edge.config.events import ZoneSections
from shared.config import Section


class PriorityHours(Section):
    """A span of the day in which a camera counts more or less; it may cross midnight."""

    begin: time = Field(description="Local time, for instance 22:00.")
    end: time = Field(description="Local time, for instance 06:00.")
    priority: float = Field(gt=0, le=100, description="Priority in this span.")


class CameraSection(Section):
    """One camera."""

    title: str = Field(
        "",
        max_length=200,
        description="What people call it, shown on the pages; its name in the configuration when empty.",
    )

    source: str = Field(
        min_length=1,
        max_length=2000,
        description="rtsp://…, http(s)://… of a snapshot, /dev/videoN, a video file, a folder of pictures, "
        "push: for frames that are posted, or sim:.",
    )
    password: SecretStr | None = Field(
        None, description="Password of the camera; from the environment or a secret file."
    )
    password_file: Path | None = Field(None, description="File that holds the password.")
    priority: float = Field(
        1.0, gt=0, le=100, description="price: how much this camera counts against the others."
    )
    priority_hours: tuple[PriorityHours, ...] = Field(
        (), description="price: other priorities by time of day, the first that fits holds."
    )
    fps: float = Field(
        2.0,
        gt=0,
        le=30,
        description="Frames a second given to the classifier; the rest is skipped.",
    )
    max_age_s: float = Field(
        5.0,
        ge=0.5,
        le=3600,
        description="A live frame older than this when its turn comes is dropped and counted.",
    )
    zones: ZoneSections = Field(
        {}, description="Polygons in its picture by name, each a table of its own."
    )

    @model_validator(mode="after")
    def _one_password(self) -> CameraSection:
        if self.password and self.password_file:
            raise ValueError("password and password_file exclude each other")
        return self


CameraName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
