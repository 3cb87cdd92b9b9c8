"""What an edge tells its cloud about itself, every half minute; part of the wire. Ring: domain."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.watch.trouble import TroubleKind

EVERY_S = 30.0
PATH = "/edges/heartbeat"
MAX_BYTES = 32_768
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_Text = Annotated[str, Field(max_length=200)]
_Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


class _Told(BaseModel):
    """Base: a newer edge may tell more than this cloud understands."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ToldModel(_Told):
    """Which classifier runs."""

    name: _Text
    version: _Text
    sha256_12: Annotated[str, Field(max_length=12)]


class ToldTrouble(_Told):
    """One trouble; its cause and remedy stay on the edge, in its own language."""

    kind: TroubleKind
    subject: _Text
    code: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
    since: AwareDatetime


class EdgeReport(_Told):
    """How an edge is. Money in the edge's own unit; `day` is its local day, to which `forwarded` belongs."""

    name: _Name = Field(description="What it calls itself; a signature's name counts for more.")
    version: _Text
    model: ToldModel
    policy: _Text
    cameras: _Count
    watching: _Count = Field(description="Cameras whose pictures can be trusted now.")
    open_events: _Count
    day: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    forwarded: _Count = Field(description="Frames that were sent to a cloud today.")
    budget_left: float = Field(ge=-1e9, le=1e9)
    budget_limit: float = Field(ge=0, le=1e9)
    troubles: list[ToldTrouble] = Field(max_length=50)
