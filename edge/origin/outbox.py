"""Origins whose frame the cloud has not seen yet: they wait in the outbox, over restarts. Ring: adapter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from edge.event.fire_event import FireEvent, Origin
from edge.origin.tracing import Unasked
from edge.outbox.item import Delivered, ItemClass, OutboxItem, Outcome, Poison, Retry
from edge.outbox.outbox import Outbox
from shared.errors import StoreError
from shared.logs import get_logger
from shared.types import ClockQuality, Frame, MediaType, Picture

KIND = "origin_check"


class _Kept(BaseModel):
    """What is written; the picture's bytes stand beside it."""

    model_config = ConfigDict(frozen=True)

    event: FireEvent
    origin: Origin
    frame_id: str
    captured_at: datetime
    clock_quality: ClockQuality
    media_type: MediaType
    width_px: int
    height_px: int


_KEPT = TypeAdapter(_Kept)


class OriginOutbox:
    """Carries questions about origins; `ask` gives False while the cloud cannot be asked."""

    def __init__(self, outbox: Outbox, ask: Callable[[Unasked], bool]) -> None:
        """Tell the outbox who delivers them; call it before the outbox starts."""
        self._outbox = outbox
        self._ask = ask
        outbox.handle(KIND, self._deliver)

    def put(self, unasked: Unasked) -> None:
        """Keep a question; when the disk takes nothing the origin stays as the box found it."""
        frame, picture = unasked.frame, unasked.frame.picture
        kept = _Kept(
            event=unasked.event,
            origin=unasked.origin,
            frame_id=frame.frame_id,
            captured_at=frame.captured_at,
            clock_quality=frame.clock_quality,
            media_type=picture.media_type,
            width_px=picture.width_px,
            height_px=picture.height_px,
        )
        item = OutboxItem(
            item_id=f"{unasked.event.event_id}.origin",
            kind=KIND,
            key=unasked.event.event_id,
            item_class=ItemClass.EVIDENCE,
            payload=_KEPT.dump_python(kept, mode="json"),
            picture=picture.encoded,
        )
        try:
            self._outbox.put([item])
        except StoreError as err:
            get_logger().error("origin_not_kept", event_id=item.key, detail=err.detail)

    def _deliver(self, item: OutboxItem) -> Outcome:
        try:
            kept = _KEPT.validate_python(item.payload)
        except ValidationError as err:  # written by another version
            return Poison(reason=f"cannot be read any more: {str(err)[:100]}")
        picture = Picture(
            encoded=item.picture or b"",
            media_type=kept.media_type,
            width_px=kept.width_px,
            height_px=kept.height_px,
        )
        frame = Frame(
            frame_id=kept.frame_id,
            camera=kept.event.camera,
            picture=picture,
            captured_at=kept.captured_at,
            clock_quality=kept.clock_quality,
        )
        is_asked = self._ask(Unasked(event=kept.event, origin=kept.origin, frame=frame))
        return Delivered() if is_asked else Retry(reason="the cloud cannot be asked now")
