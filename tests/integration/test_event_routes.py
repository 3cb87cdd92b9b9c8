"""Events and their evidence over HTTP."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared.version import commit, version
from tests.helpers.evidence import AT, fill, kept_frame
from tests.helpers.services import Running, running_edge


@pytest.fixture(scope="module")
def edge(tmp_path_factory, models) -> Iterator[Running]:
    with running_edge(tmp_path_factory.mktemp("edge"), models) as running:
        records = running.service._kept.records
        for number in range(3):
            fill(records, f"e{number}", opened_at=AT + timedelta(minutes=number))
        fill(records, "weekly-test", 1, is_test=True)
        yield running


def test_an_event_answers_its_origin_first(edge):
    answer = edge.get("/events/e1").json()
    assert next(iter(answer["result"])) == "origin"
    assert answer["result"]["origin"]["frame"] == "e1-0"
    assert answer["result"]["origin"]["box_xyxy"] == [10.0, 20.0, 60.0, 80.0]
    assert answer["result"]["origin"]["captured_at"] == AT.isoformat()
    assert {"method", "confidence"} <= answer["result"]["origin"].keys()
    assert "listed fire alarms" in answer["result"]["standing"]


@pytest.mark.parametrize(
    ("language", "opened", "untraced", "began"),
    [
        ("en", "Opened at", "Origin not traced", "It began at"),
        ("zh", "事件开启时间", "未追溯到起火点", "起火时间"),
    ],
)
def test_an_event_that_could_not_be_traced_tells_when_it_opened_and_no_beginning(
    tmp_path, models, language, opened, untraced, began
):
    with running_edge(tmp_path, models) as edge:
        fill(edge.service._kept.records, "lamp", is_traced=False)
        told = edge.get("/events/lamp").json()["result"]
        page = edge.get("/ui/events/lamp", headers={"Accept-Language": language}).text
    assert (next(iter(told)), told["origin"], told["opened_at"]) == ("origin", None, AT.isoformat())
    assert page.index(opened) < page.index(untraced)
    assert began not in page


def test_the_page_of_a_long_event_stays_short_until_all_is_asked_for(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        fill(edge.service._kept.records, "long", 500)
        page = edge.get("/ui/events/long").text
        whole = edge.get("/ui/events/long?decisions=all").text
    assert len(page) < 80_000
    assert (page.count("<code>cloud_routine"), whole.count("<code>cloud_routine")) == (100, 500)
    assert ("400 older ones" in page, "older ones" in whole) == (True, False)


def test_pages_go_on_where_the_last_one_ended(edge):
    first = edge.get("/events?limit=2").json()["result"]
    rest = edge.get("/events", params={"limit": 2, "cursor": first["cursor"]}).json()["result"]
    ids = [event["event_id"] for event in first["events"] + rest["events"]]
    assert (ids, rest["cursor"]) == (["e2", "e1", "e0"], None)


@pytest.mark.parametrize(
    "query",
    [
        "limit=201",
        "limit=0",
        "cursor=x",
        "severity=flood",
        "since=yesterday",
        "since=2026-03-10",
        "since=9999-12-31T23:59:59-12:00",
        "surprise=1",
        "is_reviewed=perhaps",
        "camera=",
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(edge, query):
    answer = edge.get(f"/events?{query}")
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1004)


def test_tests_are_listed_when_asked_for(edge):
    listed = edge.get("/events?with_tests=true").json()["result"]["events"]
    assert [event["event_id"] for event in listed if event["is_test"]] == ["weekly-test"]


def test_frames_tell_what_was_said_and_why(edge):
    result = edge.get("/events/e0/frames", headers={"Accept-Language": "zh"}).json()["result"]
    assert [frame["frame"] for frame in result["frames"]] == ["e0-0", "e0-1", "e0-2"]
    (said,) = result["frames"][0]["verdicts"]
    assert (said["source"], said["reason"]) == ("cloud", "cloud_routine")
    assert said["message"] == "值得由云侧查看"
    assert said["model"]["sha256_12"] == "0123456789ab"


def test_frames_are_paged(edge):
    first = edge.get("/events/e0/frames?limit=2").json()["result"]
    rest = edge.get(f"/events/e0/frames?cursor={first['cursor']}").json()["result"]
    assert [f["frame"] for f in first["frames"] + rest["frames"]] == ["e0-0", "e0-1", "e0-2"]
    assert rest["cursor"] is None


def test_a_picture_is_sent_once_and_then_known_by_its_tag(edge):
    path = edge.get("/events/e0").json()["result"]["origin"]["picture"]
    first = edge.get(path)
    assert first.content == kept_frame("e0-0").frame.picture.encoded
    assert first.headers["Content-Type"] == "image/jpeg"
    again = edge.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = edge.get(path, headers={"Range": "bytes=1-2", "If-Range": first.headers["ETag"]})
    assert (part.status_code, part.content) == (206, first.content[1:3])
    beyond = edge.get(path, headers={"Range": "bytes=999999-"})
    assert (beyond.status_code, beyond.json()["err_no"]) == (416, 400)


def test_a_page_of_frames_has_its_limit(edge):
    assert edge.get("/events/e0/frames?limit=201").json()["err_no"] == 1004


@pytest.mark.parametrize("path", ["/events/x", "/events/x/frames", "/events/x/frames/y"])
def test_an_unknown_event_is_404_with_its_own_code(edge, path):
    answer = edge.get(path)
    assert (answer.status_code, answer.json()["err_no"]) == (404, 4003)


def test_a_person_acknowledges_labels_and_holds(edge):
    seen = edge.post("/events/e2/acknowledge", json={"by": "mei"}).json()["result"]
    assert seen["acknowledged"]["by"] == "mei"
    marked = edge.post("/events/e2/label", json={"mark": "false", "note": "<焊接>", "by": "mei"})
    assert marked.json()["result"]["mark"] == "false"
    assert marked.json()["result"]["marked"]["text"] == "<焊接>"
    held = edge.post("/events/e2/hold", json={"is_held": True, "why": "insurer"}).json()["result"]
    assert held["held"]["text"] == "insurer"
    assert edge.get("/events?is_reviewed=true").json()["result"]["events"][0]["event_id"] == "e2"


def test_an_acknowledgement_needs_no_body(edge):
    assert edge.post("/events/e1/acknowledge").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("label", {"mark": "maybe"}),
        ("label", {"mark": "true", "note": "x" * 2001}),
        ("label", {"mark": "true", "note": "\ud800"}),
        ("hold", {"is_held": "what"}),
        ("acknowledge", {"by": ""}),
        ("acknowledge", {"by": "x", "more": 1}),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(edge, path, body):
    answer = edge.post(f"/events/e0/{path}", json=body)
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1004)


def test_a_body_without_what_is_needed_is_told_what_that_is(edge):
    answer = edge.post("/events/e0/label", json={})
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1003)
    assert answer.json()["detail"] == "mark is missing"


def test_a_form_cannot_speak_for_a_person(edge):
    answer = edge.post("/events/e0/hold", data={"is_held": "true"})
    assert (answer.status_code, answer.json()["err_no"]) == (415, 1002)


def test_events_survive_a_restart(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        fill(edge.service._kept.records)
    with running_edge(tmp_path, models) as edge:
        assert edge.get("/events/event").json()["result"]["frames_kept"] == 3


def test_the_camera_and_its_box_are_described_without_a_password(tmp_path, models):
    camera = {"source": "rtsp://viewer@10.0.0.5/s?token=hidden", "password": "hidden-too"}
    alerts = {"box_name": "north gate"}
    with running_edge(tmp_path, models, cameras={"yard": camera}, alerts=alerts) as edge:
        fill(edge.service._kept.records)
        facts = edge.get("/events/event").json()["result"]["camera_facts"]
    assert facts["source"] == "rtsp://***@10.0.0.5/s?token=***"
    assert "hidden" not in str(facts)
    assert len(facts["settings_sha256_12"]) == 12
    assert (facts["box"], facts["host"]) == ("north gate", platform.node())
    assert facts["recorded_by"] == f"emberlink {version()}, commit {commit()}"
