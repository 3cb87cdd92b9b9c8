"""`emberlink-edge evidence`, beside a running service and without one."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from shared.clock import SystemClock
from tests.helpers.evidence import fill, open_records
from tests.helpers.services import running_edge


def _run(state: Path, *arguments: str) -> Result:
    environment = {"CREDENTIALS_DIRECTORY": "/nonexistent"}
    return CliRunner().invoke(
        main, ["evidence", *arguments, "--state", str(state)], env=environment
    )


@pytest.fixture
def state(tmp_path) -> Path:
    with open_records(tmp_path / "evidence", SystemClock()) as records:
        fill(records, "one")
        fill(records, "two", camera="gate")
        fill(records, "weekly", is_test=True)
    return tmp_path


def test_events_are_listed_newest_first(state):
    lines = _run(state, "ls").output.splitlines()
    assert [line.split()[0] for line in lines] == ["two", "one"]
    assert [
        line.split()[0] for line in _run(state, "ls", "--camera", "gate").output.splitlines()
    ] == ["two"]
    assert len(_run(state, "ls", "--tests").output.splitlines()) == 3
    listed = json.loads(_run(state, "ls", "--json", "--limit", "1").output)
    assert (listed["events"][0]["event_id"], listed["cursor"] is None) == ("two", False)


def test_an_event_is_shown_with_its_origin_first(state):
    result = _run(state, "show", "one")
    assert result.output.startswith("began ")
    assert "cloud_routine" in result.output
    shown = json.loads(_run(state, "show", "one", "--json").output)
    assert next(iter(shown)) == "origin"
    assert [frame["frame"] for frame in shown["frame_list"]] == ["one-0", "one-1", "one-2"]


def test_an_event_that_could_not_be_traced_is_shown_as_opened_and_not_as_begun(tmp_path):
    with open_records(tmp_path / "evidence", SystemClock()) as records:
        fill(records, "one", is_traced=False)
    shown = _run(tmp_path, "show", "one").output
    assert shown.startswith("opened ")
    assert "origin not traced" in shown.splitlines()[0]
    assert "began" not in shown


@pytest.mark.parametrize("command", ["show", "export", "hold"])
def test_an_unknown_event_ends_with_two(state, command):
    result = _run(state, command, "nobody")
    assert (result.exit_code, "error 4003" in result.output) == (2, True)


def test_a_state_without_evidence_ends_with_two(tmp_path):
    for command in (["ls"], ["verify"], ["prune"]):
        result = _run(tmp_path / "nowhere", *command)
        assert result.exit_code == 2, result.output
    assert not (tmp_path / "nowhere").exists()


def test_verify_ends_with_zero_or_one_and_names_the_changed_file(state):
    sound = _run(state, "verify")
    assert (sound.exit_code, sound.output.split(":")[0]) == (0, "unaltered")
    head = json.loads(_run(state, "verify", "--json").output)["head"]
    assert _run(state, "verify", "--head", head).exit_code == 0
    assert _run(state, "verify", "--head", "0" * 64).exit_code == 1
    path = next(path for path in (state / "evidence" / "pictures").rglob("*") if path.is_file())
    path.write_bytes(b"x" + path.read_bytes()[1:])
    altered = _run(state, "verify")
    assert altered.exit_code == 1
    assert f"changed  file {path.name}" in altered.output
    findings = json.loads(_run(state, "verify", "--json").output)["findings"]
    assert [(f["kind"], f["what"]) for f in findings] == [("changed", f"file {path.name}")]


def test_an_event_is_exported_to_a_file(state, tmp_path):
    target = tmp_path / "claim.zip"
    assert _run(state, "export", "one", "-o", str(target), "--language", "zh").exit_code == 0
    with zipfile.ZipFile(target) as packed:
        assert "事件报告" in packed.read("report.html").decode()
    refused = _run(state, "export", "one", "-o", "/nonexistent/x.zip")
    assert refused.exit_code == 2


def test_a_hold_can_be_set_and_lifted_beside_the_running_service(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        fill(edge.service._kept.records)
        assert _run(tmp_path, "hold", "event", "--why", "claim 17", "--by", "tom").exit_code == 0
        assert edge.get("/events/event").json()["result"]["held"]["text"] == "claim 17"
        assert _run(tmp_path, "hold", "event", "--off").exit_code == 0
        assert edge.get("/events/event").json()["result"]["held"] is None
        assert _run(tmp_path, "verify").exit_code == 0
        assert _run(tmp_path, "ls").output.split()[0] == "event"


def test_prune_tells_what_it_did(state):
    assert "0 events were old enough" in _run(state, "prune").output
    assert json.loads(_run(state, "prune", "--json").output)["events"] == 0


def test_the_owner_s_terabyte_is_sized(tmp_path):
    result = _run(tmp_path, "size", "--cameras", "8", "--fps", "2", "--disk", "1TB")
    assert "138 GB a day" in result.output
    assert "7.2 days of everything" in result.output
    assert _run(tmp_path, "size", "--disk", "many").exit_code == 2
