"""Taking a newer classifier from a folder or from the cloud, while the old one answers."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

import edge.cli
from cloud.fleet.keys import add_key
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.signing import SignedBy
from tests.helpers.stand_in_clouds import Exchange, sends_without_end, stand_in_cloud
from tests.helpers.tiny_models import add_self_test, write_classifier, write_detector
from tests.helpers.waiting import wait_until

_NEVER_FIRE = -20.0


class Pair:
    """An edge and a cloud, each with a folder of models of its own, and the edge's key."""

    def __init__(self, edge: Running, cloud: Running, folder: Path, key: str) -> None:
        self.edge = edge
        self.cloud = cloud
        self.edge_models = folder / "edge-models"
        self.cloud_models = folder / "cloud-models"
        self.pulled = folder / "edge" / "models" / "edge-classifier"
        self.signed = SignedBy("gate", key)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    for folder in ("edge-models", "cloud-models"):
        write_classifier(tmp_path / folder)
    write_detector(tmp_path / "cloud-models")
    key = add_key(tmp_path / "cloud" / "keys.json", "gate")
    with (
        running_cloud(tmp_path / "cloud", tmp_path / "cloud-models") as cloud,
        running_edge(
            tmp_path / "edge",
            tmp_path / "edge-models",
            cloud.url,
            cloud={"edge_id": "gate", "key": key},
        ) as edge,
    ):
        yield Pair(edge, cloud, tmp_path, key)


def _version(edge: Running) -> str:
    return edge.show("/predict", fire_jpeg()).json()["model"]["version"]


def test_a_newer_version_in_the_folder_takes_over(pair):
    write_classifier(pair.edge_models, version="0.2.0", fire_bias=_NEVER_FIRE)
    done = pair.edge.post("/models/reload").json()["result"]
    assert (done["changed"], done["model"]["version"], done["before"]["version"]) == (
        True,
        "0.2.0",
        "0.1.0",
    )
    answer = pair.edge.show("/predict", fire_jpeg()).json()
    assert (answer["model"]["version"], answer["label"]) == ("0.2.0", "none")
    assert pair.edge.get("/version").json()["model"]["version"] == "0.2.0"
    infos = [
        line
        for line in pair.edge.get("/metrics").text.splitlines()
        if line.startswith("fire_edge_model_info{")
    ]
    assert len(infos) == 1
    assert 'version="0.2.0"' in infos[0]


def _pulled_edge(tmp_path: Path, cloud_models: Path) -> str:
    """Let an edge pull 0.3.0 and stop; gives the version that ran at its end."""
    write_classifier(tmp_path / "edge-models")
    write_detector(cloud_models)
    add_self_test(write_classifier(cloud_models, version="0.3.0"), "fire", fire_jpeg())
    with (
        running_cloud(tmp_path / "cloud", cloud_models) as cloud,
        running_edge(tmp_path / "edge", tmp_path / "edge-models", cloud.url) as edge,
    ):
        assert edge.post("/models/reload").json()["result"]["changed"] is True
        return _version(edge)


def test_a_newer_version_is_pulled_from_the_cloud_and_is_there_after_a_restart(tmp_path):
    assert _pulled_edge(tmp_path, tmp_path / "cloud-models") == "0.3.0"
    with running_edge(tmp_path / "edge", tmp_path / "edge-models") as again:
        assert _version(again) == "0.3.0"


def test_a_pulled_model_that_is_damaged_later_does_not_keep_the_box_from_starting(tmp_path):
    _pulled_edge(tmp_path, tmp_path / "cloud-models")
    pulled = tmp_path / "edge" / "models" / "edge-classifier" / "0.3.0"
    (pulled / "model.onnx").write_bytes(b"damaged")
    with running_edge(tmp_path / "edge", tmp_path / "edge-models") as again:
        assert _version(again) == "0.1.0"


def test_nothing_newer_changes_nothing(pair):
    write_classifier(pair.cloud_models, version="0.0.9")
    assert pair.edge.post("/models/reload").json()["result"]["changed"] is False
    assert not pair.pulled.exists()


def test_no_file_of_the_version_that_runs_is_fetched_again(tmp_path, models):
    manifest = (models / "edge-classifier" / "0.1.0" / "manifest.json").read_bytes()
    with (
        stand_in_cloud(lambda exchange: exchange.reply(200, manifest)) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url) as edge,
    ):
        assert edge.post("/models/reload").json()["err_no"] == 0
        asked = [call.head.split()[1] for call in cloud.calls if b"/models/" in call.head]
    assert asked == [b"/models/edge/latest"]


def test_two_versions_are_kept_and_older_ones_go(pair):
    for number in range(2, 6):
        write_classifier(pair.cloud_models, version=f"0.{number}.0")
        assert pair.edge.post("/models/reload").json()["result"]["changed"] is True
    assert sorted(p.name for p in pair.pulled.iterdir()) == ["0.4.0", "0.5.0"]


def test_a_model_that_answers_its_own_pictures_wrongly_is_refused_and_not_kept(pair):
    folder = write_classifier(pair.cloud_models, version="0.2.0", fire_bias=_NEVER_FIRE)
    add_self_test(folder, "fire", fire_jpeg())
    answer = pair.edge.post("/models/reload")
    assert (answer.status_code, answer.json()["err_no"]) == (500, 2003)
    assert "says none" in answer.json()["detail"]
    assert _version(pair.edge) == "0.1.0"
    assert not (pair.pulled / "0.2.0").exists()


def test_a_model_whose_logits_are_not_numbers_is_refused(pair):
    write_classifier(pair.edge_models, version="0.2.0", fire_bias=float("nan"))
    assert pair.edge.post("/models/reload").json()["err_no"] == 2003
    assert _version(pair.edge) == "0.1.0"


def test_a_file_that_lies_at_the_cloud_is_not_handed_out(pair):
    folder = write_classifier(pair.cloud_models, version="0.2.0")
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"x")
    assert pair.edge.post("/models/reload").json()["err_no"] == 3006
    assert _version(pair.edge) == "0.1.0"


def _lying_cloud(models: Path, model: bytes) -> Callable[[Exchange], None]:
    """Give a cloud that has a perfect manifest of 0.9.0 and sends `model` for every file of it."""
    manifest = (models / "edge-classifier" / "0.1.0" / "manifest.json").read_bytes()

    def answer(exchange: Exchange) -> None:
        is_manifest = b"/models/edge/latest" in exchange.head.split(b"\r\n")[0]
        exchange.reply(200, manifest.replace(b"0.1.0", b"0.9.0") if is_manifest else model)

    return answer


@pytest.mark.parametrize("model", [b"", b"not the model", b"x" * 2_000_000])
def test_a_cloud_that_sends_other_bytes_than_it_promised_is_not_believed(tmp_path, models, model):
    with (
        stand_in_cloud(_lying_cloud(models, model)) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url) as edge,
    ):
        assert edge.post("/models/reload").json()["err_no"] in (2003, 3003)
        assert _version(edge) == "0.1.0"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b'"0.1.0"', b'"0.9.' + b"9" * 5_000 + b'"'),
        (b'"0.1.0"', b'"0.9.' + b"9" * 300 + b'"'),
        (b"model.onnx", b".."),
        (b"model.onnx", b"x" * 300),
    ],
    ids=["no_number", "long_version", "folder_above", "long_name"],
)
def test_a_manifest_whose_names_fit_no_disk_is_refused_as_a_model(tmp_path, models, was, now):
    folder = models / "edge-classifier" / "0.1.0"
    manifest = (folder / "manifest.json").read_bytes().replace(was, now)
    manifest = manifest.replace(b'"0.1.0"', b'"0.9.0"')
    with (
        stand_in_cloud(lambda exchange: exchange.reply(200, manifest)) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url) as edge,
    ):
        assert edge.post("/models/reload").json()["err_no"] == 2003
        assert _version(edge) == "0.1.0"


def test_a_cloud_that_sends_a_manifest_without_end_is_left(tmp_path, models):
    with (
        stand_in_cloud(sends_without_end) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url) as edge,
    ):
        assert edge.post("/models/reload").json()["err_no"] in (2003, 3001, 3003)
        assert _version(edge) == "0.1.0"


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"{}"), (200, b"[" * 100_000), (200, b"{}"), (302, b""), (304, b"")]
)
def test_a_cloud_that_has_no_usable_manifest_changes_nothing(tmp_path, models, status, body):
    with (
        stand_in_cloud(lambda exchange: exchange.reply(status, body)) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url) as edge,
    ):
        assert edge.post("/models/reload").json()["err_no"] in (2003, 3006)
        assert _version(edge) == "0.1.0"


def test_no_frame_fails_while_models_change_under_load(pair):
    stop = threading.Event()
    answers: list[tuple[int, str, str]] = []

    def keep_asking() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.post(
                    pair.edge.url + "/predict",
                    data=fire_jpeg(),
                    headers={"Content-Type": "image/jpeg"},
                    timeout=20,
                )
                body = answer.json()
                version = body.get("model", {}).get("version", "")
                answers.append((answer.status_code, version, body.get("label", "")))

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2, 8):
        bias = _NEVER_FIRE if number % 2 else -3.0
        write_classifier(pair.edge_models, version=f"0.{number}.0", fire_bias=bias)
        assert pair.edge.post("/models/reload").status_code == 200
        wait_until(lambda wanted=f"0.{number}.0": wanted in {v for _, v, _ in answers[:]})
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _, _ in answers} == {200}
    expected = {f"0.{n}.0": "none" if n % 2 and n > 1 else "fire" for n in range(1, 8)}
    assert all(label == expected[version] for _, version, label in answers)


def test_the_old_models_memory_is_given_back(pair):
    pair.edge.show("/predict", fire_jpeg())
    old = weakref.ref(pair.edge.service._models.classifier._model)
    write_classifier(pair.edge_models, version="0.2.0")
    pair.edge.post("/models/reload")
    _version(pair.edge)
    gc.collect()
    assert old() is None


def test_the_policy_is_calibrated_on_the_scores_of_the_model_that_runs(pair):
    folder = write_classifier(pair.edge_models, version="0.2.0")
    manifest = json.loads((folder / "manifest.json").read_text())
    value = {"a": 0.9, "b": 1.0, "d": 0.0, "level_a": 0.9, "level_b": 7.5, "prior": 0.01}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "value": value}))
    question = "/policy/explain?fire=0.4&smoke=0&camera=gate"
    with running_edge(
        pair.edge_models.parent / "edge2", pair.edge_models, policy={"name": "price"}
    ) as edge:
        assert _version(edge) == "0.2.0"
        as_started = edge.get(question).json()["result"]["decision"]["value"]
        assert edge.service._what_if._plane().value.level_b == 7.5
        shutil.rmtree(folder)
        write_classifier(pair.edge_models, version="0.3.0")
        edge.post("/models/reload")
        without = edge.get(question).json()["result"]["decision"]["value"]
        assert edge.service._what_if._plane().value.level_b != 7.5
    assert as_started != without


@pytest.mark.parametrize("where", ["folder", "cloud"])
def test_a_newer_version_is_taken_without_being_told(tmp_path, log, where):
    for folder in ("edge-models", "cloud-models"):
        write_classifier(tmp_path / folder)
    write_detector(tmp_path / "cloud-models")
    often = {"watch_s" if where == "folder" else "pull_every_s": 0.05}
    with (
        running_cloud(tmp_path / "cloud", tmp_path / "cloud-models") as cloud,
        running_edge(tmp_path / "edge", tmp_path / "edge-models", cloud.url, model=often) as edge,
    ):
        source = tmp_path / ("edge-models" if where == "folder" else "cloud-models")
        bad = write_classifier(tmp_path / "made", version="0.2.0", fire_bias=_NEVER_FIRE)
        add_self_test(bad, "fire", fire_jpeg())
        bad.rename(source / "edge-classifier" / "0.2.0")  # whole: it is looked at all the time
        wait_until(lambda: "model_not_taken" in log.getvalue())
        assert _version(edge) == "0.1.0"
        write_classifier(source, version="0.3.0")
        wait_until(lambda: _version(edge) == "0.3.0")


def test_a_second_pull_is_refused_while_one_is_under_way(tmp_path, models):
    asked, held = threading.Event(), threading.Event()

    def stall(call: Exchange) -> None:
        if b"/models/edge/latest" in call.head:
            asked.set()
            held.wait(20)
        call.reply(404)

    with (
        stand_in_cloud(stall) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url) as edge,
    ):
        first = threading.Thread(target=edge.post, args=("/models/reload",))
        first.start()
        assert asked.wait(20)
        refused = edge.post("/models/reload")
        held.set()
        first.join(20)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")


def test_a_plain_http_cloud_elsewhere_is_not_asked_for_models(tmp_path, models):
    with running_edge(tmp_path / "edge", models, "http://cloud.example:5001") as edge:
        assert edge.post("/models/reload").json()["result"]["changed"] is False


def _reload_command(port: int) -> tuple[int, str]:
    done = CliRunner().invoke(edge.cli.main, ["reload", "--port", str(port)])
    return done.exit_code, done.output


def test_the_command_line_reloads_and_says_what_runs(pair):
    status, text = _reload_command(pair.edge.port)
    assert status == 0
    # The service's log is beside it.
    assert "\nnothing newer than edge-classifier 0.1.0 (" in f"\n{text}"
    write_classifier(pair.edge_models, version="0.2.0")
    status, text = _reload_command(pair.edge.port)
    assert status == 0
    assert "\nnow edge-classifier 0.2.0 (" in f"\n{text}"


def test_the_command_line_says_why_the_old_model_goes_on(pair):
    write_classifier(pair.edge_models, version="0.2.0", fire_bias=float("nan"))
    status, text = _reload_command(pair.edge.port)
    assert status == 1
    assert "not finite" in text


def test_the_command_line_says_when_no_edge_runs():
    with socket.socket() as taken:  # bound and not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        status, text = _reload_command(taken.getsockname()[1])
    assert status == 2
    assert "no service runs at" in text


class TestWhatTheCloudHandsOut:
    def test_the_manifest_has_its_hash_as_etag_and_is_not_sent_twice(self, pair):
        first = pair.cloud.get("/models/edge/latest", auth=pair.signed)
        etag = first.headers["ETag"]
        assert etag == f'"{hashlib.sha256(first.content).hexdigest()}"'
        again = pair.cloud.get(
            "/models/edge/latest", headers={"If-None-Match": etag}, auth=pair.signed
        )
        assert (again.status_code, again.content) == (304, b"")

    def test_the_newest_version_is_offered(self, pair):
        write_classifier(pair.cloud_models, version="0.10.0")
        write_classifier(pair.cloud_models, version="0.9.0")
        manifest = pair.cloud.get("/models/edge/latest", auth=pair.signed).json()
        assert manifest["version"] == "0.10.0"

    def test_files_are_sent_by_their_hash(self, pair):
        manifest = pair.cloud.get("/models/edge/latest", auth=pair.signed).json()
        sha256 = manifest["files"]["fp32"]["sha256"]
        answer = pair.cloud.get(f"/models/edge/files/{sha256}", auth=pair.signed)
        assert hashlib.sha256(answer.content).hexdigest() == sha256

    @pytest.mark.parametrize("name", ["0" * 64, "manifest.json", "..%2F..%2Fkeys.json", "%00"])
    def test_nothing_else_is_sent(self, pair, name):
        answer = pair.cloud.get(f"/models/edge/files/{name}", auth=pair.signed)
        assert (answer.status_code, answer.json()["err_no"]) == (404, 404)

    @pytest.mark.parametrize("path", ["/models/edge/latest", f"/models/edge/files/{'0' * 64}"])
    def test_a_signature_is_needed(self, pair, path):
        assert pair.cloud.get(path).json()["err_no"] == 1020

    def test_a_cloud_without_an_edge_model_says_so(self, tmp_path):
        write_detector(tmp_path / "models")
        with running_cloud(tmp_path / "state", tmp_path / "models") as cloud:
            assert cloud.get("/models/edge/latest").json()["err_no"] == 2001
