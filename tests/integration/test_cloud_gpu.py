"""The detector as it runs on a card: real sessions on the CPU, and a session that fails as a card does.

The texts are those of ONNX Runtime's CUDA provider (microsoft/onnxruntime, issues 22702 and 16307).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from cloud.model.gpu import GpuMemoryCollector, read_card_memory
from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.model.detector import Detector, Running
from shared.model.inference import Session
from shared.model.manifest import load_artifact
from shared.picture.imaging import read_picture
from shared.types import ImageLimits
from tests.helpers.clock import FakeClock
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.redis_server import redis_server
from tests.helpers.services import Running as RunningService
from tests.helpers.services import cloud_settings, running_cloud
from tests.helpers.workers import running_worker

_NO_MEMORY = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'/backbone/stem/Conv' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, "
    "onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 1769472000\n"
)
_ALSO_NO_MEMORY = (
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0 ; hostname=gpu ; "
    "file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_allocator.cc ; line=48 ; "
    "expr=cudaMalloc((void**)&p, size);"
)
_CARD_LOST = (
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; "
    "hostname=gpu ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc ; line=121 ; "
    "expr=cudaStreamSynchronize(stream);"
)


class CardSession:
    """A real session that stands on a card: `fits` pictures have memory, None is a card that is lost."""

    def __init__(self, real: Any, fits: int | None, text: str = _NO_MEMORY) -> None:
        self._real = real
        self.fits = fits
        self.text = text
        self.sizes: list[int] = []

    def run(self, outputs: list[str], feeds: dict[str, NDArray[np.float32]]) -> Any:
        (tensor,) = feeds.values()
        self.sizes.append(len(tensor))
        if self.fits is None or len(tensor) > self.fits:
            raise RuntimeException(_CARD_LOST if self.fits is None else self.text)
        return self._real.run(outputs, feeds)

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _on_card(detector: Detector, fits: int | None, text: str = _NO_MEMORY) -> CardSession:
    card = CardSession(detector._session._session, fits, text)
    detector._session._session = card
    return card


def _detector(models: Path, clock: FakeClock | None = None, **running: Any) -> Detector:
    artifact = load_artifact(models, "cloud-detector", kind="detector")
    wanted = {"device": "cuda", "max_batch": 8, "allow_cpu": True, **running}
    return Detector(artifact, Running(**wanted), clock or FakeClock())


def _tensors(detector: Detector, jpegs: list[bytes]) -> list[NDArray[np.float32]]:
    return [detector.prepare(read_picture(jpeg, ImageLimits())).tensor for jpeg in jpegs]


def _fire_scores(detector: Detector, jpegs: list[bytes]) -> list[float]:
    outputs = detector.run_batch(_tensors(detector, jpegs))
    return [round(float(raw.scores[0, 0]), 4) for raw in outputs]


_FIVE = [fire_jpeg(), calm_jpeg(), fire_jpeg(), calm_jpeg(), fire_jpeg()]


def test_a_batch_is_padded_to_a_fixed_size_and_the_answers_are_those_of_single_runs(models):
    detector = _detector(models)
    card = _on_card(detector, fits=8)
    together = _fire_scores(detector, _FIVE)
    assert card.sizes == [8]
    assert together == [_fire_scores(detector, [jpeg])[0] for jpeg in _FIVE]
    assert set(card.sizes) <= {1, 2, 4, 8}


def test_every_size_is_run_before_the_first_picture_comes(models, monkeypatch):
    sizes: list[int] = []
    run = Session.run
    monkeypatch.setattr(Session, "run", lambda self, t: sizes.append(len(t)) or run(self, t))
    _detector(models)
    assert sizes == [1, 2, 4, 8]


@pytest.mark.parametrize("text", [_NO_MEMORY, _ALSO_NO_MEMORY])
def test_a_card_without_memory_gets_half_and_no_picture_is_lost(models, text):
    detector = _detector(models)
    card = _on_card(detector, fits=2, text=text)
    scores = _fire_scores(detector, _FIVE)
    assert [score > 0.5 for score in scores] == [True, False, True, False, True]
    assert card.sizes == [8, 4, 2, 2, 1]
    card.sizes.clear()
    _fire_scores(detector, _FIVE)
    assert card.sizes == [2, 2, 1]


def test_the_larger_batch_comes_back_when_the_memory_does(models):
    clock = FakeClock()
    detector = _detector(models, clock)
    card = _on_card(detector, fits=4)
    _fire_scores(detector, _FIVE)
    card.fits = 8
    card.sizes.clear()
    clock.advance(61)
    _fire_scores(detector, [fire_jpeg()])
    _fire_scores(detector, _FIVE)
    assert card.sizes == [1, 8]


def test_a_picture_that_never_fits_fails_alone_and_says_why(models):
    detector = _detector(models)
    _on_card(detector, fits=0)
    with pytest.raises(ModelError) as caught:
        detector.run_batch(_tensors(detector, [fire_jpeg()]))
    assert caught.value.code is ErrorCode.MODEL_FAILED
    assert "Failed to allocate memory" in caught.value.detail
    assert detector.trouble is None


def test_a_lost_card_is_replaced_by_the_cpu_where_that_is_allowed(models):
    detector = _detector(models)
    _on_card(detector, fits=8)
    assert detector.doubt is None
    _on_card(detector, fits=None)
    assert [score > 0.5 for score in _fire_scores(detector, _FIVE)] == [True, False] * 2 + [True]
    assert detector.providers == ("CPUExecutionProvider",)
    assert "cuda was wanted" in (detector.doubt or "")


def test_a_lost_card_is_a_trouble_where_the_cpu_is_not_allowed(models, monkeypatch):
    monkeypatch.setattr(
        "shared.model.detector.Session",
        lambda *given, **named: Session(*given, **{**named, "may_fall_back": True}),
    )
    detector = _detector(models, allow_cpu=False)
    _on_card(detector, fits=None)
    with pytest.raises(ModelError):
        detector.run_batch(_tensors(detector, [fire_jpeg()]))
    assert "restart the service" in (detector.trouble or "")


def test_a_lost_card_whose_cpu_does_not_load_either_is_a_trouble(models, monkeypatch):
    detector = _detector(models)
    _on_card(detector, fits=None)
    monkeypatch.setattr("shared.model.detector.Session", _no_session)
    for _ in range(2):
        with pytest.raises(ModelError):
            detector.run_batch(_tensors(detector, [fire_jpeg()]))
    assert "an illegal memory access" in (detector.trouble or "")
    assert "no room for another session" in (detector.trouble or "")


def _no_session(*_given: Any, **_named: Any) -> Session:
    raise ModelError(ErrorCode.MODEL_REFUSED, "no room for another session")


def test_runs_that_fail_one_after_the_other_are_told_until_one_succeeds(models):
    detector = _detector(models)
    card = _on_card(detector, fits=0, text="CUDNN_FRONTEND of a version that nobody knows")
    for number in range(5):
        assert detector.failing == "", number
        with pytest.raises(ModelError):
            detector.run_batch(_tensors(detector, [fire_jpeg()]))
    assert "nobody knows" in detector.failing
    card.fits = 8
    assert _fire_scores(detector, [fire_jpeg()])[0] > 0.5
    assert detector.failing == ""


@pytest.fixture
def cloud(tmp_path: Path, models: Path) -> Any:
    """A cloud that wanted a card and got the CPU."""
    with running_cloud(
        tmp_path / "state",
        models,
        model={"device": "cuda", "allow_cpu": True},
        engine={"places": 16},
    ) as running:
        yield running


def test_ready_says_that_the_cpu_runs_in_place_of_the_card(cloud):
    ready = cloud.get("/readyz")
    assert ready.status_code == 200
    check = ready.json()["checks"]["model"]
    assert ready.json()["status"] == check["state"] == "degraded"
    assert "CPUExecutionProvider" in check["text"]
    assert cloud.get("/models").json()["result"]["models"][0]["providers"] == [
        "CPUExecutionProvider"
    ]
    assert cloud.show("/infer", fire_jpeg()).json()["result"]["label"] == "fire"


def test_a_cloud_whose_card_is_lost_is_not_ready_and_refuses(cloud: RunningService):
    detector = cloud.service.house.slot.current
    detector._spare = None  # as without model.allow_cpu
    _on_card(detector, fits=None)
    assert cloud.show("/infer", fire_jpeg()).json()["err_no"] == 2002
    assert cloud.get("/readyz").status_code == 503
    refused = cloud.show("/infer", fire_jpeg())
    assert (refused.status_code, refused.json()["err_no"]) == (503, 2001)


def test_a_cloud_that_lost_its_card_and_its_cpu_says_so_everywhere(
    cloud: RunningService, monkeypatch: pytest.MonkeyPatch
):
    _on_card(cloud.service.house.slot.current, fits=None)
    monkeypatch.setattr("shared.model.detector.Session", _no_session)
    assert cloud.show("/infer", fire_jpeg()).json()["err_no"] == 2002
    ready = cloud.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["model"]["state"]) == (503, "failed")
    assert "no room for another session" in ready.json()["checks"]["model"]["text"]
    (trouble,) = cloud.get("/troubles").json()["result"]["troubles"]
    assert (trouble["kind"], trouble["code"]) == ("model", "failed")
    assert "no room for another session" in cloud.get("/ui/queue").text
    assert 'fire_cloud_trouble_active{kind="model"} 1.0' in cloud.get("/metrics").text


def test_a_model_that_fails_picture_after_picture_is_told_until_it_answers_again(
    cloud: RunningService,
):
    card = _on_card(cloud.service.house.slot.current, fits=0)
    assert {cloud.show("/infer", fire_jpeg()).json()["err_no"] for _ in range(5)} == {2002}
    ready = cloud.get("/readyz").json()
    assert (ready["status"], ready["checks"]["model"]["state"]) == ("degraded", "degraded")
    assert "the last 5 runs failed" in ready["checks"]["model"]["text"]
    card.fits = 8
    assert cloud.show("/infer", fire_jpeg()).status_code == 200
    assert cloud.get("/readyz").json()["checks"]["model"]["state"] == "ok"


def test_callers_notice_nothing_when_the_card_has_too_little_memory(cloud: RunningService):
    card = _on_card(cloud.service.house.slot.current, fits=1)
    files = [("images", ("x.jpg", jpeg, "image/jpeg")) for jpeg in _FIVE]
    results = cloud.post("/infer/batch", files=files).json()["result"]["results"]
    assert [r["label"] for r in results] == ["fire", "none", "fire", "none", "fire"]
    assert set(card.sizes) <= {1, 2, 4, 8}


def test_without_allow_cpu_a_machine_without_a_card_does_not_start(tmp_path, models):
    with (
        pytest.raises(ModelError) as caught,
        running_cloud(tmp_path / "state", models, model={"device": "cuda"}),
    ):
        pass
    assert caught.value.code is ErrorCode.MODEL_REFUSED
    assert "CUDAExecutionProvider did not load" in caught.value.detail


def test_a_card_takes_eight_at_once_unless_told_otherwise(tmp_path, models):
    assert cloud_settings(tmp_path, models, model={"device": "cuda"}).max_batch == 8


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Give a machine whose nvidia-smi is a script."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def install(script: str) -> Path:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho call >> {tmp_path}/calls\n{script}\n")
        program.chmod(0o755)
        return tmp_path / "calls"

    return install


def _samples(collector: GpuMemoryCollector) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["card"], sample.labels["state"]): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_the_memory_of_every_card_is_a_metric(driver):
    driver("printf '0, 1024, 24576\\n1, 2, 24576\\n'")
    samples = _samples(GpuMemoryCollector(FakeClock()))
    assert samples["0", "used"] == 1024 * 2**20
    assert samples["1", "total"] == 24576 * 2**20


def test_the_driver_is_asked_once_in_a_while_and_not_at_each_scrape(driver):
    calls = driver("echo '0, 1, 2'")
    clock = FakeClock()
    collector = GpuMemoryCollector(clock)
    for _ in range(5):
        _samples(collector)
    clock.advance(11)
    _samples(collector)
    assert len(calls.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "script",
    ["exit 9", "echo 'NVIDIA-SMI has failed'", "echo '0, [N/A], [N/A]'", "printf '\\n,,\\n'"],
)
def test_a_driver_that_says_nothing_sensible_gives_no_metric(driver, script):
    driver(script)
    assert read_card_memory() == []
    assert _samples(GpuMemoryCollector(FakeClock())) == {}


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a card")
@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "bench.cloud", "--device", "cuda"], ["make", "bench-gpu"]]
)
def test_the_bench_on_a_card_refuses_a_machine_without_one_in_a_sentence(command):
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "nvidia-smi" in done.stderr


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_what_a_worker_with_a_lost_card_had_is_answered_by_another_worker(tmp_path, models):
    with redis_server(tmp_path) as server:
        sections: dict[str, Any] = {
            "engine": {"kind": "redis"},
            "redis": {"url": server.url, "claim_s": 0.5},
        }
        with (
            running_cloud(tmp_path / "state", models, **sections) as front,
            ThreadPoolExecutor(1) as caller,
        ):
            with running_worker(tmp_path, models, **sections) as lost:
                _on_card(lost._slot.current, fits=None)
                answer = caller.submit(front.show, "/infer", fire_jpeg())
                assert lost.is_stopping.wait(40)
            with running_worker(tmp_path, models, **sections):
                assert answer.result(20).json()["result"]["label"] == "fire"
