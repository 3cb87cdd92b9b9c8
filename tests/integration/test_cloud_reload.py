"""Taking a newer model while the old one answers."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from cloud.fleet.keys import add_key
from tests.helpers.held_model import held_model
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.services import Running, running_cloud
from tests.helpers.signing import SignedBy
from tests.helpers.tiny_models import add_self_test, write_detector
from tests.helpers.waiting import wait_until

_NEVER_FIRE = -20.0


class World:
    """A cloud whose folder of models is its own, and the admin's key."""

    def __init__(self, running: Running, folder: Path, key: str) -> None:
        self.cloud = running
        self.folder = folder
        self.key = key

    def reload(self) -> requests.Response:
        return self.cloud.post("/models/reload", auth=SignedBy("admin", self.key))

    def version(self) -> str:
        answer = self.cloud.show("/infer", fire_jpeg())
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]["model"]["version"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "models"
    write_detector(folder)
    key = add_key(tmp_path / "state" / "keys.json", "admin")
    with running_cloud(tmp_path / "state", folder) as running:
        yield World(running, folder, key)


def test_a_newer_version_takes_over_and_every_answer_names_the_model_that_gave_it(world):
    assert world.version() == "0.1.0"
    write_detector(world.folder, version="0.2.0", fire_bias=-3.5)
    result = world.reload().json()["result"]
    assert (result["changed"], result["model"]["version"]) == (True, "0.2.0")
    assert result["before"]["version"] == "0.1.0"
    assert world.version() == "0.2.0"
    assert world.cloud.get("/models").json()["result"]["models"][0]["version"] == "0.2.0"
    infos = [
        line
        for line in world.cloud.get("/metrics").text.splitlines()
        if line.startswith("fire_cloud_model_info{")
    ]
    assert len(infos) == 1
    assert 'version="0.2.0"' in infos[0]


def test_a_reload_without_a_newer_version_changes_nothing(world):
    assert world.reload().json()["result"]["changed"] is False


def _lying_hash(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"x")


def _broken_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def _other_labels(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["labels"] = ["cat", "dog"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _failing_self_test(folder: Path) -> None:
    add_self_test(folder, "fire", calm_jpeg())


@pytest.mark.parametrize(
    "spoil", [_lying_hash, _broken_manifest, _other_labels, _failing_self_test]
)
def test_a_model_that_lies_is_refused_and_the_old_one_goes_on(world, spoil):
    spoil(write_detector(world.folder, version="0.2.0", fire_bias=-3.5))
    answer = world.reload()
    assert (answer.status_code, answer.json()["err_no"]) == (500, 2003)
    assert world.version() == "0.1.0"
    assert world.cloud.get("/readyz").status_code == 200


def test_a_model_whose_outputs_are_not_numbers_is_refused(world):
    write_detector(world.folder, version="0.2.0", fire_bias=float("nan"))
    assert world.reload().json()["err_no"] in (2002, 2003)
    assert world.version() == "0.1.0"


def test_a_model_that_passes_its_own_pictures_is_taken(world):
    folder = write_detector(world.folder, version="0.2.0", fire_bias=-3.5)
    add_self_test(folder, "fire", fire_jpeg())
    add_self_test(folder, "none", calm_jpeg())
    assert world.reload().json()["result"]["changed"] is True


def test_what_the_old_model_prepared_the_old_model_finishes(world):
    with held_model(world.cloud) as model:
        answers: list[requests.Response] = []
        thread = threading.Thread(
            target=lambda: answers.append(
                requests.post(
                    world.cloud.url + "/infer",
                    data=fire_jpeg(),
                    headers={"Content-Type": "image/jpeg"},
                    timeout=20,
                )
            )
        )
        thread.start()
        assert model.is_running.wait(40)
        write_detector(world.folder, version="0.2.0", fire_bias=_NEVER_FIRE)
        assert world.reload().status_code == 200
        model.go_on.set()
        thread.join()
    result = answers[0].json()["result"]
    assert (result["model"]["version"], result["label"]) == ("0.1.0", "fire")
    assert world.cloud.show("/infer", fire_jpeg()).json()["result"]["label"] == "none"


def test_no_request_fails_while_models_change_under_load(world):
    stop = threading.Event()
    answers: list[tuple[int, str, str]] = []

    def keep_asking() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.post(
                    world.cloud.url + "/infer",
                    data=fire_jpeg(),
                    headers={"Content-Type": "image/jpeg"},
                    timeout=20,
                )
                result = answer.json()["result"] or {}
                version = result.get("model", {}).get("version", "")
                answers.append((answer.status_code, version, result.get("label", "")))

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2, 8):
        bias = _NEVER_FIRE if number % 2 else -3.0 - number / 100
        write_detector(world.folder, version=f"0.{number}.0", fire_bias=bias)
        assert world.reload().status_code == 200
        wait_until(lambda wanted=f"0.{number}.0": wanted in {v for _, v, _ in answers[:]})
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _, _ in answers} == {200}
    expected = {f"0.{n}.0": "none" if n % 2 and n > 1 else "fire" for n in range(1, 8)}
    assert all(label == expected[version] for _, version, label in answers)


def test_the_old_models_memory_is_given_back(world):
    old = weakref.ref(world.cloud.service.house.slot.current)
    write_detector(world.folder, version="0.2.0", fire_bias=-3.5)
    world.reload()
    world.version()
    gc.collect()
    assert old() is None


def test_only_the_admin_may_reload(world, tmp_path):
    unsigned = world.cloud.post("/models/reload")
    key = add_key(tmp_path / "state" / "keys.json", "gate")
    world.cloud.service._keys._file._looked_mono_s -= 10
    of_an_edge = world.cloud.post("/models/reload", auth=SignedBy("gate", key))
    for answer in (unsigned, of_an_edge):
        assert (answer.status_code, answer.json()["err_no"]) == (403, 1024)


def test_a_watched_folder_is_taken_from_without_being_told(tmp_path):
    folder = tmp_path / "models"
    write_detector(folder)
    with running_cloud(tmp_path / "state", folder, model={"watch_s": 0.05}) as cloud:
        bad = write_detector(tmp_path / "made", version="0.2.0", fire_bias=-3.5)
        _lying_hash(bad)
        bad.rename(folder / "cloud-detector" / "0.2.0")  # whole: it is looked at all the time
        wait_until(lambda: cloud.service.house.slot.refusal)
        assert cloud.get("/models").json()["result"]["models"][0]["version"] == "0.1.0"
        write_detector(folder, version="0.3.0", fire_bias=-3.6)
        wait_until(lambda: cloud.get("/models").json()["result"]["models"][0]["version"] == "0.3.0")
