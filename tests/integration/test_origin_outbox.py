from __future__ import annotations

from pathlib import Path

from edge.event.fire_event import GrowthPoint, Origin, OriginMethod
from edge.origin.outbox import KIND, OriginOutbox
from edge.origin.tracing import Unasked
from edge.outbox.item import ItemClass
from shared.types import Box, ClockQuality, Frame, MediaType, Picture
from tests.helpers.alerts import drain, fire_event, outbox_in
from tests.helpers.clock import FakeClock


def unasked(clock: FakeClock, number: int) -> Unasked:
    event = fire_event(clock, f"event-{number}")
    box = Box(x1=1.5, y1=2, x2=30, y2=40)
    growth = GrowthPoint(captured_at=event.opened_at, frame_id="f", box=box, score=0.5)
    origin = Origin(
        captured_at=event.opened_at,
        frame_id="f",
        box=box,
        method=OriginMethod.DETECTOR,
        confidence=0.7,
        is_earliest_kept=True,
        growth=(growth,),
    )
    picture = Picture(
        encoded=bytes([number]) * 1000, media_type=MediaType.JPEG, width_px=64, height_px=48
    )
    frame = Frame(
        frame_id="f",
        camera="gate",
        picture=picture,
        captured_at=event.opened_at,
        clock_quality=ClockQuality.SOURCE,
    )
    return Unasked(event=event, origin=origin, frame=frame)


def test_questions_about_origins_outlive_six_hours_without_a_cloud_and_two_restarts(
    tmp_path: Path,
) -> None:
    clock, asked = FakeClock(), []
    put: list[Unasked] = []
    is_away = True

    def ask(question: Unasked) -> bool:
        if not is_away:
            asked.append(question)
        return not is_away

    for run in range(3):
        with outbox_in(tmp_path, clock) as outbox:
            waiting = OriginOutbox(outbox, ask)
            for number in range(5):
                put.append(unasked(clock, 5 * run + number))
                waiting.put(put[-1])
            drain(outbox, KIND, clock, seconds=7200.0)
            assert outbox.status().items[ItemClass.EVIDENCE] == len(put)
    is_away = False
    with outbox_in(tmp_path, clock) as outbox:
        OriginOutbox(outbox, ask)
        drain(outbox, KIND, clock, seconds=600.0)
        assert outbox.status().items[ItemClass.EVIDENCE] == 0
    assert asked == put
