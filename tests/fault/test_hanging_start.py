"""A disk that hangs already when the box starts: it watches, answers and alerts, and takes the disk up later."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import edge.box.state_files
import edge.record.records
from edge.box.spare_state import SpareState
from edge.service import EdgeService
from shared.access.users import add_user
from shared.roles import Role
from shared.watch.trouble import Trouble
from tests.helpers.disks import failing_disk
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, edge_settings, running_edge
from tests.helpers.stand_in_clouds import answers, stand_in_cloud
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.fault

_PATIENCE_S = (
    2.1  # instead of six, for state and for evidence; a disk that was silent for two hangs
)
_UP_WITHIN_S = 30.0  # some 6 on a quiet machine
_ZONE = {"porch": {"kind": "privacy", "points": [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]}}


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.box.state_files, "_WITHIN_S", _PATIENCE_S)
    monkeypatch.setattr(edge.record.records, "_OPENED_WITHIN_S", _PATIENCE_S)


def codes(answer: requests.Response) -> set[str]:
    return {f"{t['kind']}.{t['code']}" for t in answer.json()["result"]["troubles"]}


def kept(edge: Running) -> set[str]:
    return {event["event_id"] for event in edge.get("/events").json()["result"]["events"]}


@contextlib.contextmanager
def edge_on(state: Path, models: Path, **sections: Any) -> Iterator[Running]:
    given: dict[str, Any] = {
        "cameras": {"gate": {"source": "push:"}},
        "evidence": {"min_free_bytes": 0},
        **sections,
    }
    with running_edge(state, models, **given) as edge:
        yield edge


def burn(edge: Running, until: Callable[[], object]) -> None:
    heights = iter(range(160, 1000, 2))

    def is_over() -> bool:
        assert edge.show("/joint_predict?camera=gate", fire_jpeg(height_px=next(heights))).ok
        return bool(until())

    wait_until(is_over)


@contextlib.contextmanager
def never_read(file: Path) -> Iterator[None]:
    """Let everybody who opens a file wait, as on a network folder whose server is away; at the end it is gone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    try:
        yield
    finally:
        ends = os.open(file, os.O_RDWR | os.O_NONBLOCK)  # whoever waits goes on, and finds nothing
        file.unlink()
        time.sleep(0.2)
        os.close(ends)


def test_a_box_whose_disk_hangs_at_the_start_watches_alerts_and_says_so(tmp_path, models):
    with (
        failing_disk(tmp_path / "disk") as disk,
        stand_in_cloud(answers({})) as receiver,
    ):
        sinks = {"duty": {"kind": "webhook", "url": f"{receiver.url}/hook"}}
        state = disk.folder / "state"
        with edge_on(state, models, alerts={"sinks": sinks}) as edge:
            edge.service._kept.zones.save("gate", _ZONE, by="test", after=0)
        with disk.hanging():
            began_s = time.monotonic()
            with edge_on(state, models, alerts={"sinks": sinks}) as edge:
                assert time.monotonic() - began_s < _UP_WITHIN_S
                assert edge.service._kept.zones.zones("gate").keys() == {
                    "porch"
                }  # it could be read
                edge.service._kept.zones.save("gate", {}, by="test", after=1)
                burn(edge, until=lambda: receiver.calls)
                wanted = {"disk.state_in_memory", "evidence.not_written", "disk.troubles_not_kept"}
                wait_until(lambda: wanted <= codes(edge.get("/troubles")))
                assert "does not answer" in edge.get("/readyz").json()["checks"]["disk"]["text"]
                assert edge.service._supervisor.is_fit()


def test_a_folder_that_cannot_even_be_read_keeps_nobody_waiting_and_lets_nobody_in(
    tmp_path, models, monkeypatch
):
    state, answers_again = tmp_path / "state", threading.Event()
    add_user(state / "users.json", "duty", Role.ADMIN, "a long password")
    with edge_on(state, models):
        pass

    def hangs(*arguments: Any) -> Path:
        answers_again.wait(100)
        raise OSError

    monkeypatch.setattr(SpareState, "borrow", hangs)
    with contextlib.ExitStack() as stuck:
        for name in ("lock", "users.json", "troubles.json"):
            stuck.enter_context(never_read(state / name))
        stuck.callback(answers_again.set)
        began_s = time.monotonic()
        with edge_on(state, models) as edge:
            assert time.monotonic() - began_s < _UP_WITHIN_S
            assert edge.get("/troubles").status_code == 401

            def found() -> dict[str, Trouble]:
                return {trouble.code: trouble for trouble in edge.service._supervisor.active()}

            wait_until(lambda: {"state_in_memory", "users_unreadable"} <= found().keys())
            assert "zones.sqlite3" in found()["state_in_memory"].cause


def test_evidence_on_a_disk_of_its_own_is_used_again_when_that_answers(tmp_path, models):
    with (
        failing_disk(tmp_path / "disk") as disk,
        contextlib.ExitStack() as hanging,
    ):
        hanging.enter_context(disk.hanging())
        evidence = {"folder": disk.folder / "evidence", "min_free_bytes": 0}
        with edge_on(tmp_path / "state", models, evidence=evidence) as edge:
            assert "evidence.not_written" in codes(edge.get("/troubles"))
            assert "disk.state_in_memory" not in codes(edge.get("/troubles"))
            hanging.close()
            burn(edge, until=lambda: edge.get("/events").ok and kept(edge))
            wait_until(lambda: "evidence.not_written" not in codes(edge.get("/troubles")))


def test_a_box_asks_to_be_built_anew_when_its_disk_answers_again(tmp_path, models):
    with failing_disk(tmp_path / "disk") as disk:
        state, has_returned = disk.folder / "state", threading.Event()
        with edge_on(state, models) as edge:
            burn(edge, until=lambda: kept(edge))
            before = kept(edge)
        settings = edge_settings(state, models, evidence={"min_free_bytes": 0})
        with disk.hanging():
            service = EdgeService(settings, on_state_return=has_returned.set)
            service.start()
        assert has_returned.wait(100)
        service.stop(for_good=False)
        with edge_on(state, models) as edge:
            assert kept(edge) == before
            assert not {"disk.state_in_memory", "evidence.not_written"} & codes(
                edge.get("/troubles")
            )
            assert edge.service._kept.records.verify().is_unaltered
