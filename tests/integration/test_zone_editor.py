"""Zones saved from the page: what holds, from when on, until when, and who may."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import TypeAdapter

from edge.config.events import ZoneSections
from shared.access.users import add_token
from shared.picture.imaging import decode, read_picture
from shared.roles import Role
from shared.types import ImageLimits
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, running_edge

_LEFT = "0,0 0.5,0 0.5,1 0,1"
_FILE = {"door": {"kind": "ignore", "points": [[0, 0], [0.1, 0], [0.1, 0.1]]}}
_CAMERAS = {"gate": {"source": "push:", "zones": _FILE}, "yard": {"source": "push:"}}


def form(after: int, *zones: dict[str, str], camera: str = "gate", **more: str) -> dict[str, Any]:
    """Write the fields as the page posts them."""
    usual = {"kind": "privacy", "points": _LEFT, "threshold": "0.5", "min_duration_s": "0"}
    filled = [{"name": "desk", **usual, **zone} for zone in zones]
    columns = {key: [zone[key] for zone in filled] for key in ("name", *usual)}
    return {"camera": camera, "after": str(after), **columns, **more}


def save(edge: Running, fields: dict[str, Any]) -> requests.Response:
    return edge.post("/ui/zones", data=fields, allow_redirects=False)


def seen_left(edge: Running) -> int:
    """Tell the brightest value in the left half of a fire that the camera `gate` would give."""
    frame = edge.service._line.frame(read_picture(fire_jpeg(), ImageLimits()), "gate")
    return int(decode(frame.picture).bgr_hwc_u8[:, :150].max())


def version(edge: Running) -> str | None:
    rows = edge.get("/cameras").json()["result"]["cameras"]
    return next(row["zones"] for row in rows if row["name"] == "gate")


def test_saved_zones_hold_at_once_and_after_a_restart(tmp_path, models):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        before = version(edge)
        assert seen_left(edge) > 200
        answer = save(edge, form(0, {}))
        assert (answer.status_code, answer.headers["Location"]) == (
            303,
            "/ui/settings?camera=gate#zones",
        )
        assert seen_left(edge) < 12
        held = version(edge)
        assert held != before
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        assert seen_left(edge) < 12
        assert version(edge) == held


def test_the_settings_show_what_holds_and_where_it_came_from(tmp_path, models):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        watched = {"name": "stove", "kind": "watch", "threshold": "0.8", "min_duration_s": "3"}
        save(edge, form(0, watched))
        page = edge.get("/ui/settings?camera=gate").text
        row = re.search(
            r"<tr[^>]*>(?:(?!</tr>).)*cameras\.gate\.zones\.stove\.threshold.*?</tr>", page
        )
        assert row
        assert ">0.8<" in row[0]
        assert "Saved on this page as version 1" in row[0]
        assert "cameras.gate.zones.door" not in page
        lines = re.search(r'aria-label="TOML">(.*?)</pre>', page, re.S)
    assert lines
    written = tomllib.loads(lines[1].replace("&#34;", '"'))["cameras"]["gate"]["zones"]
    zone = TypeAdapter(ZoneSections).validate_python(written)["stove"]
    assert (zone.threshold, zone.min_duration_s, len(zone.points)) == (0.8, 3.0, 4)


def test_a_camera_given_back_has_the_zones_of_the_file_again(tmp_path, models):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        before = version(edge)
        save(edge, form(0, {}))
        assert save(edge, form(1, give_back="1")).status_code == 303
        assert version(edge) == before
        assert "Given back to the configuration file" in edge.get("/ui/settings?camera=gate").text
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        assert version(edge) == before


def test_as_many_zones_as_a_camera_may_have_are_saved(tmp_path, models):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        sixteen = [{"name": f"z{n}", "kind": "watch", "threshold": "0.9"} for n in range(16)]
        assert save(edge, form(0, *sixteen)).status_code == 303
        assert len(edge.service._kept.zones.zones("gate")) == 16


def test_a_zone_is_removed_without_a_script(tmp_path, models):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        save(edge, form(0, {"name": "a"}, {"name": "b"}))
        save(edge, form(1, {"name": "a"}, {"name": "b"}, remove="a"))
        assert list(edge.service._kept.zones.zones("gate")) == ["b"]


def test_who_looked_at_an_older_version_does_not_overwrite_a_newer_one(tmp_path, models):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        assert save(edge, form(0, {"name": "mine"})).status_code == 303
        refused = save(edge, form(0, {"name": "yours"}))
        assert refused.status_code == 400
        assert "meanwhile" in refused.text
        assert list(edge.service._kept.zones.zones("gate")) == ["mine"]


@pytest.mark.parametrize(
    "fields",
    [
        form(0, {"points": "0,0 1,1"}),
        form(0, {"points": "0,0 1,1 0,1 1,0"}),
        form(0, {"points": "0,0 nan,1 1,0"}),
        form(0, {"points": "0,0 2,0 2,2"}),
        form(0, {"points": "0,0 " * 40_000}),
        form(0, {"name": "<b>Tür 🔥\n"}),
        form(0, {"name": "x" * 10_000}),
        form(0, {"kind": "secret"}),
        form(0, {"kind": "watch", "threshold": "0.1"}),
        form(0, {"kind": "watch", "min_duration_s": "inf"}),
        form(0, {"name": "a"}, {"name": "a"}),
        form(0, *({"name": f"z{n}"} for n in range(17))),
        {**form(0, {}), "points": []},
        {**form(0, {}), "after": "-1"},
        {**form(0, {}), "after": "²"},
    ],
)
def test_zones_that_the_configuration_would_refuse_are_refused(tmp_path, models, fields):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        refused = save(edge, fields)
        assert refused.status_code == 400
        assert "<b>Tür" not in refused.text
        assert list(edge.service._kept.zones.zones("gate")) == ["door"]


def test_a_camera_that_does_not_exist_is_not_found(tmp_path, models):
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        assert save(edge, form(0, {}, camera="../gate")).status_code == 404


def test_only_an_admin_saves_and_each_save_is_written_down(tmp_path: Path, models: Path):
    users = tmp_path / "users.json"
    viewer, admin = add_token(users, "v", Role.VIEWER), add_token(users, "a", Role.ADMIN)
    with running_edge(tmp_path, models, cameras=_CAMERAS) as edge:
        headers = {"Authorization": f"Bearer {viewer}"}
        refused = edge.post("/ui/zones", data=form(0, {}), headers=headers, allow_redirects=False)
        assert refused.status_code == 403
        headers = {"Authorization": f"Bearer {admin}"}
        taken = edge.post("/ui/zones", data=form(0, {}), headers=headers, allow_redirects=False)
        assert taken.status_code == 303
        lines = edge.get("/audit", headers=headers).json()["result"]["lines"]
    told = [(line["name"], line["outcome"]) for line in lines if line["subject"] == "/ui/zones"]
    assert ("a", "begun") in told
    assert ("v", "refused") in told
