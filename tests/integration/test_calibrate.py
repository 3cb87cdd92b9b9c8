"""What people say of events makes the box's probabilities fit its site."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.record.types import Mark
from shared.picture.imaging import encode_jpeg
from tests.helpers.evidence import fire_event, kept_frame, open_records
from tests.helpers.pictures import colour_bgr, fire_jpeg
from tests.helpers.services import running_edge


def lamp_jpeg(shade: int = 0) -> bytes:
    """A picture that the tiny model takes for a fire, and that this site knows to be a lamp."""
    return encode_jpeg(colour_bgr(red=168 + shade, blue=78))


def people_say(state: Path, *, lamps: int, fires: int) -> None:
    with open_records(state / "evidence") as records:
        for number in range(lamps + fires):
            name = f"event{number}"
            picture = lamp_jpeg(number % 4) if number < lamps else fire_jpeg()
            records.open_event(fire_event(name), [kept_frame(f"{name}-0", encoded=picture)])
            mark = Mark.FALSE if number < lamps else Mark.TRUE
            records.label(name, mark, by="nora")


def calibrate(state: Path, models: Path, *more: str):
    environment = {"EMBERLINK_EDGE__MODELS": str(models), "EMBERLINK_EDGE__MODEL__VARIANT": "fp32"}
    return CliRunner().invoke(main, ["calibrate", "--state", str(state), *more], env=environment)


def fire_of(state: Path, models: Path, jpeg: bytes) -> float:
    with running_edge(state, models) as edge:
        return float(edge.show("/predict", jpeg).json()["result"]["fire"])


def test_a_lamp_that_people_named_is_less_of_a_fire_afterwards_and_a_fire_stays_one(
    tmp_path, models
):
    lamp, fire = (fire_of(tmp_path, models, jpeg) for jpeg in (lamp_jpeg(), fire_jpeg()))
    people_say(tmp_path, lamps=20, fires=10)
    result = calibrate(tmp_path, models)
    assert (result.exit_code, "better" in result.output) == (0, True), result.output
    assert fire_of(tmp_path, models, lamp_jpeg()) < lamp - 0.1
    assert fire_of(tmp_path, models, fire_jpeg()) > min(fire, 0.9) - 0.1


def test_a_dry_run_shows_it_and_changes_nothing(tmp_path, models):
    people_say(tmp_path, lamps=20, fires=10)
    result = calibrate(tmp_path, models, "--dry-run")
    assert "before" in result.output
    assert not (tmp_path / "calibration.json").exists()


def test_too_few_labels_change_nothing_and_say_how_many_are_missing(tmp_path, models):
    people_say(tmp_path, lamps=3, fires=1)
    result = calibrate(tmp_path, models)
    assert (result.exit_code, "at least 10" in result.output) == (1, True)
    assert not (tmp_path / "calibration.json").exists()


_OF_ANOTHER = (
    b'{"model_sha256_12": "000000000000", "made_at": "2026-01-01T00:00:00Z", "labels": {}, "ece_before": {},'
    b' "ece_after": {}, "classes": {"fire": {"scale": 1, "bias": -9}}}'
)


def fire_and_troubles(state: Path, models: Path) -> tuple[float, list[str]]:
    with running_edge(state, models) as edge:
        fire = float(edge.show("/predict", lamp_jpeg()).json()["result"]["fire"])
        told = edge.get("/troubles").json()["result"]["troubles"]
    return fire, [trouble["cause"] for trouble in told if trouble["code"] == "calibration_unread"]


@pytest.mark.parametrize("content", [b"", b"not json", b"{}", b"\xff\x00", _OF_ANOTHER[:-9]])
def test_a_calibration_that_cannot_be_read_is_left_aside_and_a_trouble(tmp_path, models, content):
    plain = fire_of(tmp_path / "plain", models, lamp_jpeg())
    path = tmp_path / "state" / "calibration.json"
    path.parent.mkdir()
    path.write_bytes(content)
    fire, (cause,) = fire_and_troubles(path.parent, models)
    assert fire == plain
    assert str(path) in cause
    path.unlink()
    assert fire_and_troubles(path.parent, models) == (plain, [])


def test_a_calibration_of_another_model_is_left_aside(tmp_path, models):
    plain = fire_of(tmp_path / "plain", models, lamp_jpeg())
    state = tmp_path / "state"
    state.mkdir()
    (state / "calibration.json").write_bytes(_OF_ANOTHER)
    assert fire_and_troubles(state, models) == (plain, [])
