"""From a verdict to the record and the alert, through the real line: real sockets, real models, a real thread."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.event.evidence import Grade
from edge.event.fire_event import EventStep, FireEvent, KeptFrame, Severity
from edge.wiring.events import EventPlane, EventPorts
from edge.wiring.evidence import build_records
from edge.zones.zones import Masks
from shared.clock import SystemClock
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.picture.imaging import decode, encode_jpeg, read_picture
from shared.types import ImageLimits
from shared.watch.supervise import Supervisor
from tests.helpers.alerts import outbox_in
from tests.helpers.clock import FakeClock
from tests.helpers.pictures import calm_jpeg, colour_bgr, fire_jpeg
from tests.helpers.services import Running, edge_settings, running_cloud, running_edge
from tests.helpers.tiny_models import write_classifier, write_detector
from tests.helpers.verdicts import LEFT, Line, seen, verdict
from tests.helpers.waiting import wait_until


class Book:
    """Stands in for the record and the alert desk: remembers calls in order, and fails or hangs when told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.is_broken = False
        self.gate = threading.Event()
        self.gate.set()

    def _note(self, name: str, what: Any) -> None:
        if name != "announce":
            self.gate.wait(40)
            if self.is_broken:
                raise StoreError(ErrorCode.STORE_UNAVAILABLE, "the disk is full")
        self.calls.append((name, what))

    def open_event(self, event, before):
        self._note("open", (event, tuple(before)))

    def update_event(self, event):
        self._note("update", event)

    def close_event(self, event):
        self._note("close", event)

    def add_frame(self, event_id, kept):
        self._note("frame", (event_id, kept))

    def set_origin(self, event_id, origin):
        self._note("origin", (event_id, origin))

    def announce(self, change, snapshot):
        self._note("announce", (change, snapshot))

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def of(self, name: str) -> list[Any]:
        return [what for said, what in self.calls if said == name]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def plane(line: Line, book: Book, tmp_path) -> Iterator[EventPlane]:
    """The parts behind the verdict, without a detector: the edge's own boxes lead to the origin."""
    settings = edge_settings(
        tmp_path / "state", tmp_path / "models", cameras={"gate": {"source": "sim:"}}
    )
    with outbox_in(tmp_path / "state", line.clock) as outbox:
        built = EventPlane(
            settings,
            EventPorts(keeps=book, announces=book, outbox=outbox),
            masks=Masks({}),
            ask=None,
            watchman=Supervisor(SystemClock()),
            clock=line.clock,
        )
        built.start()
        yield built
        book.gate.set()
        built.stop(5)


def show(plane: EventPlane, line: Line, *boxes, fire=None, frames=1, camera="gate") -> None:
    """Show frames to the plane as the line does: evidence, then the events."""
    for _ in range(frames):
        line.clock.advance(0.5)
        of = line.frame(camera)
        told = verdict(of, *boxes, fire=(0.95 if boxes else 0.01) if fire is None else fire)
        plane.incidents.take(of, told, line._evidence.note(told))


def test_an_event_is_durable_before_it_is_told_and_its_pre_roll_follows(plane, line, book):
    show(plane, line, frames=20)
    show(plane, line, seen(LEFT), frames=6)
    wait_until(lambda: "origin" in book.names())
    wait_until(lambda: len(book.of("frame")) >= 22)
    assert book.names()[0] == "open"
    (event, kept), (change, snapshot) = book.of("open")[0], book.of("announce")[0]
    assert [k.frame.frame_id for k in kept] == [event.frame_id]
    assert change.step is EventStep.OPENED
    assert snapshot is kept[0].frame.picture
    earlier = [k for _, k in book.of("frame") if k.frame.captured_at < event.opened_at]
    assert len(earlier) >= 22


def test_the_origin_is_recorded_then_told(plane, line, book):
    show(plane, line, frames=20)
    show(plane, line, seen(LEFT), frames=6)
    wait_until(lambda: len(book.of("announce")) == 2)
    (_, origin) = book.of("origin")[0]
    told, _ = book.of("announce")[1]
    assert (told.why, told.origin) == ("origin", origin)
    first = line.clock.now_at().timestamp() - 5 * 0.5
    assert abs(origin.captured_at.timestamp() - first) <= 0.5
    assert origin.box == LEFT


def test_a_disk_that_fails_stops_no_alert_and_the_event_is_kept_once_it_works_again(
    plane, line, book
):
    book.is_broken = True
    show(plane, line, seen(LEFT), frames=6)
    wait_until(lambda: "announce" in book.names())
    assert "open" not in book.names()
    book.is_broken = False
    show(plane, line, seen(LEFT), frames=20)
    wait_until(lambda: "open" in book.names())
    assert len(book.of("open")) == 1


def test_a_disk_that_hangs_makes_no_frame_wait_and_loses_no_event(plane, line, book):
    book.gate.clear()
    started_s = time.monotonic()
    show(plane, line, seen(LEFT), frames=6)
    show(plane, line, seen(LEFT), frames=1500)
    took_s = time.monotonic() - started_s
    assert took_s < 30.0  # the disk hangs for forty
    book.gate.set()
    wait_until(lambda: "open" in book.names())


def test_a_disk_that_hangs_holds_up_no_alarm_nor_that_of_another_camera(plane, line, book):
    book.gate.clear()
    started_s = time.monotonic()
    show(plane, line, seen(LEFT), frames=6)
    show(plane, line, seen(LEFT), frames=6, camera="yard")
    wait_until(lambda: {c.event.camera for c, _ in book.of("announce")} == {"gate", "yard"})
    assert time.monotonic() - started_s < 10.0  # the disk hangs for forty
    assert "open" not in book.names()
    book.gate.set()
    wait_until(lambda: len(book.of("open")) == 2)


def test_a_long_event_keeps_fewer_frames_the_longer_it_lasts(plane, line, book):
    show(plane, line, seen(LEFT), frames=2 * 3600)
    wait_until(lambda: not plane.incidents._frames)
    first_minute = 120
    rest = 540 / 5 + 3000 / 30
    assert len(book.of("frame")) <= first_minute + rest + 20


def test_stopping_closes_what_is_open(plane, line, book):
    show(plane, line, seen(LEFT), frames=6)
    plane.stop(5)
    (closed,) = book.of("close")
    assert closed.closed_at is not None
    assert [change.step for change, _ in book.of("announce")][-1] is EventStep.CLOSED


@pytest.fixture
def models(tmp_path):
    write_classifier(tmp_path / "models")
    write_detector(tmp_path / "models")
    return tmp_path / "models"


def post(edge: Running, jpeg: bytes, camera: str = "gate") -> dict[str, Any]:
    answer = edge.show(f"/joint_predict?camera={camera}", jpeg)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(edge: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = edge.get("/events").json()["result"]["events"]
    return found


def test_the_first_frame_of_a_fire_is_blacked_out_before_anybody_sees_it(models, tmp_path):
    half = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
    zones = {"desk": {"kind": "privacy", "points": half}}
    with running_edge(
        tmp_path / "state", models, cameras={"gate": {"source": "sim:", "zones": zones}}
    ) as edge:
        frame = edge.service._line.frame(read_picture(fire_jpeg(), ImageLimits()), "gate")
        elsewhere = edge.service._line.frame(read_picture(fire_jpeg(), ImageLimits()), "yard")
        bgr = decode(frame.picture).bgr_hwc_u8
        assert bgr[:, :150].max() < 12
        assert bgr[:, 175:, 2].min() > 200
        assert elsewhere.picture.encoded == fire_jpeg()


def test_a_damaged_picture_of_a_camera_with_private_places_is_refused(models, tmp_path):
    zones = {"desk": {"kind": "privacy", "points": [[0, 0], [1, 0], [1, 1]]}}
    cameras = {"gate": {"source": "sim:", "zones": zones}}
    with running_edge(tmp_path / "state", models, cameras=cameras) as edge:
        jpeg = encode_jpeg(np.asarray(cv2.randu(colour_bgr(red=0, blue=0), 0, 255), np.uint8))
        answer = edge.show("/joint_predict?camera=gate", jpeg[: len(jpeg) // 2])
        assert answer.json()["err_no"] != 0


def test_cameras_tell_their_zones_and_what_was_suppressed(models, tmp_path):
    zones = {"stove": {"kind": "ignore", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}}
    cameras = {"gate": {"source": "sim:", "zones": zones}, "yard": {"source": "sim:"}}
    with running_edge(tmp_path / "state", models, cameras=cameras) as edge:
        told = {c["name"]: c for c in edge.get("/cameras").json()["result"]["cameras"]}
        assert len(told["gate"]["zones"]) == 12
        assert told["yard"]["zones"] is None
        assert told["gate"]["suppressed"] == 0
        assert 'fire_edge_suppressed_total{camera="gate"} 0.0' in edge.get("/metrics").text


def test_posted_frames_with_a_camera_open_one_event_that_is_recorded_and_told(models, tmp_path):
    clock, policy = FakeClock(), {"name": "edge_only"}
    with running_edge(tmp_path / "state", models, clock=clock, policy=policy) as edge:
        for jpeg in [calm_jpeg()] * 3 + [fire_jpeg()] * 6:
            post(edge, jpeg)
            clock.advance(0.5)
        wait_until(lambda: events(edge) and events(edge)[0]["origin"])
        (event,) = events(edge)
        assert (event["camera"], event["severity"]) == ("gate", "fire")
        counted = 'fire_edge_events_total{camera="http",class="fire"} 1.0'
        assert counted in edge.get("/metrics").text
        assert event["origin"]["captured_at"] < event["opened_at"]
        frames = f"/events/{event['event_id']}/frames"
        wait_until(lambda: len(edge.get(frames).json()["result"]["frames"]) >= 8)


def test_an_event_that_a_dead_box_left_open_is_closed_at_the_next_start(models, tmp_path):
    settings = edge_settings(tmp_path / "state", models)
    of = Line().frame()
    event = FireEvent(
        event_id="01LEFT",
        camera="gate",
        zone=None,
        severity=Severity.FIRE,
        grade=Grade.EDGE_ONLY,
        opened_at=of.captured_at,
        last_seen_at=of.captured_at,
        closed_at=None,
        frame_id=of.frame_id,
        box=LEFT,
        peak=0.9,
        frames=1,
    )
    shown = replace(of, picture=read_picture(fire_jpeg(), ImageLimits()))
    supervisor = Supervisor(SystemClock(), tmp_path / "supervised")
    records = build_records(settings, SystemClock(), supervisor)
    records.open_event(event, [KeptFrame(frame=shown, verdict=verdict(shown))])
    records.close()
    with running_edge(tmp_path / "state", models) as edge:
        wait_until(lambda: events(edge)[0]["closed_at"] is not None)
        assert [told["event_id"] for told in events(edge)] == ["01LEFT"]


def test_an_origin_that_a_power_cut_left_untraced_is_traced_at_the_next_start(models, tmp_path):
    line = Line()
    shown = []
    for jpeg in (calm_jpeg(), calm_jpeg(), fire_jpeg(), fire_jpeg()):
        line.clock.advance(1)
        picture = read_picture(jpeg, ImageLimits())
        frame = replace(line.frame(), picture=picture)
        shown.append(KeptFrame(frame=frame, verdict=None))
    opening = shown[-1].frame
    event = FireEvent(
        event_id="01CUT",
        camera="gate",
        zone=None,
        severity=Severity.FIRE,
        grade=Grade.EDGE_ONLY,
        opened_at=opening.captured_at,
        last_seen_at=opening.captured_at,
        closed_at=None,
        frame_id=opening.frame_id,
        box=None,
        peak=0.9,
        frames=1,
    )
    settings = edge_settings(tmp_path / "state", models)
    supervisor = Supervisor(SystemClock(), tmp_path / "supervised")
    records = build_records(settings, SystemClock(), supervisor)
    records.open_event(event, shown)
    records.close()
    with running_edge(tmp_path / "state", models) as edge:
        wait_until(lambda: events(edge)[0]["closed_at"] is not None)
        wait_until(lambda: events(edge)[0]["origin"] is not None)
        origin = events(edge)[0]["origin"]
    assert origin["frame"] == shown[2].frame.frame_id
    assert origin["method"] == "detector"


def test_the_newest_frame_of_a_camera_can_be_fetched(models, tmp_path):
    with running_edge(tmp_path / "state", models) as edge:
        assert edge.get("/cameras/gate/frame").status_code == 404
        post(edge, calm_jpeg())
        answer = edge.get("/cameras/gate/frame")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
        assert answer.content == calm_jpeg()
        again = edge.get("/cameras/gate/frame", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304


def test_the_cloud_is_asked_once_about_the_frame_found(models, tmp_path):
    clock, policy = FakeClock(), {"name": "fixed"}
    with (
        running_cloud(tmp_path / "cloud", models) as cloud,
        running_edge(tmp_path / "state", models, cloud.url, clock=clock, policy=policy) as edge,
    ):
        for _ in range(6):
            post(edge, fire_jpeg())
            clock.advance(0.5)
        wait_until(
            lambda: events(edge) and (events(edge)[0]["origin"] or {}).get("method") == "cloud"
        )
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "ledger.sqlite3")) as books:
        paid = books.execute("SELECT count(*) FROM charge WHERE tier='origin'").fetchone()
    assert paid == (1,)
