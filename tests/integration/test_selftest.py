from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.classify.classifier import LoadedClassifier
from edge.cli import main
from edge.selftest.drawn_flame import draw_test, free_spot
from edge.zones.zones import Zone, ZoneKind, Zones
from shared.model.inference import best_cpu_variant
from shared.model.manifest import load_version, newest_version, shipped_models
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene, SceneSettings
from shared.types import Label
from tests.helpers.services import Running, running_edge
from tests.helpers.stand_in_clouds import StandIn, answers, dead_url, good_answer, stand_in_cloud
from tests.helpers.waiting import wait_until

_MIDDLE = ((0.35, 0.0), (0.65, 0.0), (0.65, 1.0), (0.35, 1.0))
_CALM = "sim:?ignite_at_s=1000000&width_px=640&height_px=360"


def call(edge: Running, *arguments: str) -> Result:
    state = str(edge.service._settings.state)
    return CliRunner().invoke(
        main, ["selftest", "--port", str(edge.port), "--state", state, *arguments]
    )


def last_line(result: Result) -> dict[str, Any]:
    """Read the command's JSON; the service runs in this process and logs to the same output."""
    said: dict[str, Any] = json.loads(result.output.splitlines()[-1])
    return said


def status(edge: Running) -> dict[str, Any]:
    found: dict[str, Any] = edge.get("/selftest").json()["result"]
    return found


def troubles(edge: Running) -> list[tuple[str, str, str]]:
    found = edge.get("/troubles").json()["result"]["troubles"]
    return [(t["kind"], t["subject"], t["code"]) for t in found if t["kind"] == "selftest"]


@contextmanager
def watched(state: Path, phone: str, cloud_url: str = "", /, **sections: Any) -> Iterator[Running]:
    """Run an edge with the shipped classifier beside two calm cameras."""
    settings: dict[str, Any] = {
        "cameras": {"yard": {"source": _CALM}, "hall": {"source": _CALM + "&seed=3"}},
        "alerts": {"sinks": {"phone": {"kind": "webhook", "url": phone, "timeout_s": 2.0}}},
        "events": {"quiet_s": 5.0, "trace_origin": False},
        "model": {"variant": None},
        **sections,
    }
    with running_edge(state, shipped_models(), cloud_url, **settings) as edge:
        yield edge


def alerts(phone: StandIn) -> list[dict[str, Any]]:
    return [json.loads(one.body)["data"] for one in phone.calls]


def test_a_drawn_flame_comes_out_as_an_alert_that_says_it_is_a_test(tmp_path: Path) -> None:
    with stand_in_cloud(answers({})) as phone, watched(tmp_path, phone.url) as edge:
        result = call(edge, "--camera", "yard", "--json")
        assert result.exit_code == 0, result.output
        said = last_line(result)
        assert said["passed"]
        assert said["camera"] == "yard"
        assert said["sinks"] == {"phone": True}
        assert 0.0 <= said["event_s"] <= said["alert_s"] <= 60.0
        assert {a["camera"] for a in alerts(phone)} == {"yard"}  # the others see nothing of it
        assert all(a["is_test"] for a in alerts(phone))
        assert "TEST, no real fire" in alerts(phone)[0]["text"]
        event = edge.get(f"/events/{said['event_id']}").json()["result"]
        assert event["is_test"] is True
        assert event["camera"] == "yard"
        # Pictures without flame follow, so that the event ends as a real one does.
        wait_until(lambda: "closed" in [a["step"] for a in alerts(phone)])
        assert edge.get("/events").json()["result"]["events"] == []  # tests are listed on request
        assert status(edge)["running"] is None
        assert status(edge)["results"] == [said]
        assert troubles(edge) == []
    with stand_in_cloud(answers({})) as phone, watched(tmp_path, phone.url) as edge:
        assert status(edge)["results"] == [said]  # a restart keeps it


def test_the_kept_picture_shows_the_mark_and_the_live_one_does_not(tmp_path: Path) -> None:
    with stand_in_cloud(answers({})) as phone, watched(tmp_path, phone.url) as edge:
        said = last_line(call(edge, "--camera", "yard", "--json"))
        event = edge.get(f"/events/{said['event_id']}").json()["result"]
        kept = edge.get(f"/events/{said['event_id']}/frames/{event['frame']}").content
        live = edge.get("/cameras/yard/frame").content
    assert _is_marked(kept)
    assert not _is_marked(live)


def test_a_camera_that_posts_several_pictures_at_once_can_be_tested(tmp_path: Path) -> None:
    scene = Scene(SceneSettings(ignite_at_s=1e6, width_px=640, height_px=360))
    calm = jpeg_picture(scene.render(0.0).bgr_hwc_u8).encoded
    cameras = {"yard": {"source": "push:"}}
    with (
        stand_in_cloud(answers({})) as phone,
        watched(tmp_path, phone.url, cameras=cameras) as edge,
    ):

        def is_tested() -> bool:
            files = [("images", ("calm.jpg", calm, "image/jpeg"))] * 2
            edge.post("/batch_predict?joint=1", data={"camera": "yard"}, files=files)
            return bool(status(edge)["results"])

        edge.post("/selftest", json={"camera": "yard"})
        wait_until(is_tested)
        (result,) = status(edge)["results"]
    assert (result["passed"], result["why"]) == (True, "")


def test_a_sink_that_does_not_take_the_alert_fails_the_test_and_is_a_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.selftest.selftest._ALERT_WITHIN_S", 8.0)
    with dead_url() as url:
        port = int(url.rpartition(":")[2])
        with watched(tmp_path, url) as edge:
            result = call(edge, "--camera", "yard")
            assert result.exit_code == 1
            assert "no alert reached phone" in result.output
            assert troubles(edge) == [("selftest", "yard", "failed")]
            assert edge.get("/readyz").json()["checks"]["alerts"]["state"] == "degraded"
    with stand_in_cloud(answers({}), port=port), watched(tmp_path, url) as edge:
        wait_until(lambda: troubles(edge) == [("selftest", "yard", "failed")])
        assert call(edge, "--camera", "yard").exit_code == 0
        wait_until(lambda: troubles(edge) == [])


def test_a_camera_without_pictures_fails_its_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.selftest.selftest._FRAME_WITHIN_S", 2.0)
    cameras = {"dead": {"source": "rtsp://127.0.0.1:1/x"}}
    with (
        stand_in_cloud(answers({})) as phone,
        watched(tmp_path, phone.url, cameras=cameras) as edge,
    ):
        result = call(edge)
    assert result.exit_code == 1
    assert "the camera sends no picture" in result.output


def test_a_camera_that_is_masked_everywhere_fails_its_test(tmp_path: Path) -> None:
    zone = {"kind": "ignore", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    cameras = {"yard": {"source": _CALM, "zones": {"all": zone}}}
    with (
        stand_in_cloud(answers({})) as phone,
        watched(tmp_path, phone.url, cameras=cameras) as edge,
    ):
        result = call(edge)
    assert "every place for the flame lies in an ignored or private zone" in result.output


def test_the_flame_is_drawn_beside_an_ignored_zone(tmp_path: Path) -> None:
    zone = {"kind": "ignore", "points": _MIDDLE}
    cameras = {"yard": {"source": _CALM, "zones": {"stove": zone}}}
    with (
        stand_in_cloud(answers({})) as phone,
        watched(tmp_path, phone.url, cameras=cameras) as edge,
    ):
        result = call(edge)
        assert result.exit_code == 0, result.output


def test_however_the_flame_looks_it_is_seen_beside_an_ignored_zone() -> None:
    zones = Zones(zones=(Zone(name="stove", kind=ZoneKind.IGNORE, points=_MIDDLE),))
    scene = Scene(SceneSettings(ignite_at_s=1e6, width_px=640, height_px=360))
    calm = jpeg_picture(scene.render(0.0).bgr_hwc_u8)
    folder = newest_version([shipped_models()], "edge-classifier")
    artifact = load_version(
        folder, "edge-classifier", kind="classifier", variant=best_cpu_variant()
    )
    model = LoadedClassifier(artifact)
    place = free_spot(calm, zones.hidden_share)
    assert place is not None
    for seed in range(24):
        drawn = draw_test(calm, place, seed=seed, t_s=1.0)
        seen = zones.classification(model.look(drawn), drawn)
        assert seen.label is not Label.NONE, seed


def test_a_real_fire_during_a_test_of_the_same_camera_is_told_as_real(tmp_path: Path) -> None:
    cameras = {"yard": {"source": "sim:?ignite_at_s=6&growth_s=4&width_px=640&height_px=360"}}
    with (
        stand_in_cloud(answers({})) as phone,
        watched(tmp_path, phone.url, cameras=cameras) as edge,
    ):
        assert call(edge).exit_code == 0
        wait_until(lambda: any(not a["is_test"] for a in alerts(phone)))
        real = next(a for a in alerts(phone) if not a["is_test"])
    assert real["camera"] == "yard"
    assert "TEST" not in real["text"]


def test_no_money_is_spent_on_a_test_unless_asked(tmp_path: Path) -> None:
    box = (100.0, 50.0, 300.0, 300.0)
    with (
        stand_in_cloud(answers(good_answer("fire", 0.9, (box,)))) as cloud,
        stand_in_cloud(answers({})) as phone,
        watched(tmp_path, phone.url, cloud.url, policy={"name": "edge_only"}) as edge,
    ):
        assert call(edge, "--camera", "yard").exit_code == 0
        assert [c for c in cloud.calls if b"POST /infer" in c.head] == []
        assert call(edge, "--camera", "hall", "--cloud").exit_code == 0
        wait_until(lambda: [c for c in cloud.calls if b"POST /infer" in c.head])
        assert len([c for c in cloud.calls if b"POST /infer" in c.head]) == 1
        assert edge.get("/policy").json()["result"]["spent"] == 0.02


def test_one_test_at_a_time_and_only_of_cameras_that_are_there(tmp_path: Path) -> None:
    with stand_in_cloud(answers({})) as phone, watched(tmp_path, phone.url) as edge:
        assert edge.post("/selftest", json={"camera": "garden"}).json()["err_no"] == 404
        assert edge.post("/selftest", json={"camera": 5}).json()["err_no"] == 1004
        began = edge.post("/selftest", json={"camera": "yard"})
        assert began.status_code == 202
        assert began.json()["result"]["running"] == "yard"
        again = edge.post("/selftest")
        assert again.status_code == 409
        assert again.json()["err_no"] == 5003
        wait_until(lambda: status(edge)["running"] is None)
        assert edge.post("/selftest").json()["result"]["running"] == "hall"  # the other one's turn


def test_the_command_says_when_nobody_answers(tmp_path: Path) -> None:
    with dead_url() as url:
        port = url.rpartition(":")[2]
        result = CliRunner().invoke(main, ["selftest", "--port", port, "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert "no service runs at" in result.output


def test_live_frames_go_on_while_a_test_runs(tmp_path: Path) -> None:
    with stand_in_cloud(answers({})) as phone, watched(tmp_path, phone.url) as edge:
        wait_until(lambda: all(_received(edge).values()))
        before = _received(edge)
        assert call(edge, "--camera", "yard").exit_code == 0
        after = _received(edge)
    assert all(after[camera] - before[camera] >= 3 for camera in ("yard", "hall")), after


def _received(edge: Running) -> dict[str, int]:
    return {c["name"]: c["received"] for c in edge.get("/cameras").json()["result"]["cameras"]}


def _is_marked(jpeg: bytes) -> bool:
    """Tell whether a picture has the black band of the mark with white letters in it."""

    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    band = grey[: 36 * grey.shape[0] // 480 - 2]
    return bool(np.median(band) < 20 and (band > 200).mean() > 0.01)
