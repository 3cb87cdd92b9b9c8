"""The shipped artifacts: verified, small enough, and with a card that says what their manifest says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import onnx

from models.artifact import ARTIFACTS_DIR, PLANS
from models.card import write_card
from models.quantize import float_nodes
from shared.model.manifest import load_artifact

KINDS = sorted(PLANS)


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest) -> Path:
    return PLANS[request.param].target


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_is_what_its_manifest_says(kind: str) -> None:
    plan = PLANS[kind]
    for variant in plan.files:
        artifact = load_artifact(ARTIFACTS_DIR, plan.name, kind=plan.kind, variant=variant)
        assert artifact.manifest.outputs == plan.outputs


def test_the_card_says_what_the_manifest_says(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (folder / "CARD.md").read_text(encoding="utf-8") == write_card(manifest)


def test_the_pictures_of_a_card_are_there_and_small(folder: Path) -> None:
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    names = [part.split(")")[0] for part in card.split("](")[1:]]
    assert names
    for name in names:
        assert (folder / name).stat().st_size < 200_000


def test_the_edge_file_is_small() -> None:
    assert (PLANS["classifier"].target / "model.onnx").stat().st_size <= 2_500_000


def test_layers_after_the_last_quantised_one_stay_float() -> None:
    plan = PLANS["classifier"]
    path = plan.target / plan.files["fp32"]
    kept = float_nodes(path, first_layers=3)
    assert len(kept) == len(set(kept))
    assert len(kept) > 3


def test_no_activation_between_two_quantised_layers_of_the_edge_file_runs_in_float() -> None:
    graph = onnx.load(PLANS["classifier"].target / "model.onnx").graph
    makers = {output: node for node in graph.node for output in node.output}
    quantised = {
        name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.input
    }
    clips = [node for node in graph.node if node.op_type == "Clip"]
    assert clips  # those of the layers that stay float
    for node in clips:
        is_between = (
            makers[node.input[0]].op_type == "DequantizeLinear" and node.output[0] in quantised
        )
        assert not is_between, node.name
