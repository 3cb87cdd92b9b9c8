"""The pack is refused, with all its problems named, before anything is trained on it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.data import DataError, load_pack

FIELDS = (
    "file split fire smoke boxed boxed_classes kind source cluster width height tag".split()  # noqa: SIM905
)
JPEG = cv2.imencode(".jpg", np.full((40, 60, 3), 128, np.uint8))[1].tobytes()


def row(file: str, **changes: str) -> dict[str, str]:
    base = dict.fromkeys(FIELDS, "")
    known = {
        "file": file,
        "split": "train",
        "fire": "0",
        "smoke": "0",
        "boxed": "1",
        "boxed_classes": "fire+smoke",
    }
    return (
        base
        | known
        | {"kind": "ordinary", "source": "a", "cluster": "1", "width": "60", "height": "40"}
        | changes
    )


def build_pack(
    root: Path, rows: list[dict[str, str]], annotations: list[dict[str, object]]
) -> Path:
    (root / "annotations").mkdir(parents=True)
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    for r in rows:
        path = root / r["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    coco = {
        "images": [{"id": i, "file_name": r["file"]} for i, r in enumerate(rows)],
        "categories": [{"id": 1, "name": "fire"}, {"id": 2, "name": "smoke"}],
        "annotations": annotations,
    }
    (root / "annotations" / "instances_train.json").write_text(json.dumps(coco))
    empty = coco | {"images": [], "annotations": []}
    (root / "annotations" / "instances_train_fireonly.json").write_text(json.dumps(empty))
    return root


def box(image: int, category: int = 1) -> dict[str, object]:
    return {"id": 9, "image_id": image, "category_id": category, "bbox": [10, 5, 20, 30]}


def test_boxes_arrive_as_corners_with_their_label(tmp_path: Path) -> None:
    rows = [row("images/a.jpg", fire="1", smoke="1", kind="pos")]
    picture = load_pack(build_pack(tmp_path, rows, [box(0, 2)]), "train").pictures[0]
    np.testing.assert_array_equal(picture.truth.boxes_xyxy, [[10, 5, 30, 35]])
    np.testing.assert_array_equal(picture.truth.box_labels, [1])
    assert not picture.is_negative


def test_unknown_smoke_is_not_a_number_and_its_boxes_are_not_known(tmp_path: Path) -> None:
    rows = [row("images/a.jpg", fire="1", boxed_classes="fire", kind="pos") | {"smoke": ""}]
    truth = load_pack(build_pack(tmp_path, rows, [box(0)]), "train").pictures[0].truth
    assert np.isnan(truth.present[1])
    assert truth.boxes_known == (True, False)


def test_a_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.csv is not there"):
        load_pack(tmp_path / "nowhere", "train")


def test_an_annotation_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown picture or class"):
        load_pack(build_pack(tmp_path, [row("images/a.jpg")], [box(0, 3)]), "train")


def test_a_coco_picture_without_a_row_is_refused(tmp_path: Path) -> None:
    root = build_pack(tmp_path, [row("images/a.jpg")], [])
    path = root / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace("images/a.jpg", "images/b.jpg"))
    with pytest.raises(DataError, match=r"images/b\.jpg is not in the manifest"):
        load_pack(root, "train")


def test_an_unreadable_picture_is_named_and_skipped_only_when_asked(tmp_path: Path) -> None:
    root = build_pack(tmp_path, [row("images/a.jpg"), row("images/b.jpg")], [])
    (root / "images" / "b.jpg").write_bytes(JPEG[: len(JPEG) // 2])
    with pytest.raises(DataError, match=r"images/b\.jpg: not a complete JPEG"):
        load_pack(root, "train")
    pack = load_pack(root, "train", skip_unreadable=True)
    assert [p.file for p in pack.pictures] == ["images/a.jpg"]
    assert len(pack.skipped) == 1
