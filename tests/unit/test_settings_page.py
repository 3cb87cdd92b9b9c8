from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from edge.config.settings import ENV_PREFIX, EdgeSettings
from edge.ui.settings_model import show_settings
from edge.ui.speech import Speech
from shared.config import load_traced

_SPEECH = Speech(language="en", zone=ZoneInfo("UTC"), now=datetime(2026, 11, 20, 12, 0, tzinfo=UTC))


def test_every_value_tells_where_it_came_from_and_no_secret_is_shown(tmp_path: Path) -> None:
    toml = tmp_path / "edge.toml"
    toml.write_text(
        '[policy]\ndaily_limit = "5.00"\n[cameras.gate]\nsource = "rtsp://viewer:hunter22@10.0.0.5/s"\n'
    )
    settings, origins = load_traced(
        EdgeSettings,
        prefix=ENV_PREFIX,
        toml_path=toml,
        environ={
            "EMBERLINK_EDGE__CAMERAS__GATE__PASSWORD": "hunter22",
            "EMBERLINK_EDGE__CONSOLE__SITE": "Depot",
        },
        flags={"server": {"port": 5005}},
    )
    groups = show_settings(settings, origins, _SPEECH, camera="gate")
    rows = {row.name: row for group in groups for row in group.rows}
    assert (rows["policy.daily_limit"].value, rows["policy.daily_limit"].origin) == (
        "5.00",
        str(toml),
    )
    assert rows["console.site"].origin == "environment"
    assert (rows["server.port"].value, rows["server.port"].origin) == ("5005", "command line")
    assert (rows["policy.threshold"].origin, rows["policy.threshold"].is_set) == ("default", False)
    assert rows["cameras.gate.password"].value == "set, not shown"
    assert "hunter22" not in repr(groups)


def test_one_camera_is_listed_in_full_and_of_the_others_what_was_set() -> None:
    cameras = {name: {"source": "sim:", "fps": 1} for name in ("gate", "yard")}
    settings = EdgeSettings.model_validate({"cameras": cameras})
    origins = {("cameras", name, key): "edge.toml" for name in cameras for key in cameras[name]}
    groups = {g.name: g for g in show_settings(settings, origins, _SPEECH, camera="gate")}
    names = [row.name for row in groups["cameras"].rows]
    assert "cameras.gate.title" in names
    assert [n for n in names if n.startswith("cameras.yard.")] == [
        "cameras.yard.source",
        "cameras.yard.fps",
    ]
    meanings = {row.name: row.meaning for row in groups["cameras"].rows}
    assert (bool(meanings["cameras.gate.fps"]), meanings["cameras.yard.fps"]) == (True, "")
    assert groups["cameras"].set_count == 4
    assert groups["cameras"].count == 2 * (len(names) - 2)
    assert groups["policy"].count == len(groups["policy"].rows)
