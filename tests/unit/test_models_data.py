"""The pack is refused, with all its problems named, before anything is trained on it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.data import DataError, load_pack, read_corrections

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


HEAD = "file,action,fire,smoke,boxes,why\n"


def corrections(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "corrections.csv"
    path.write_text(HEAD + "".join(line + "\n" for line in lines))
    return path


def test_a_dropped_picture_is_not_trained_on(tmp_path: Path) -> None:
    root = build_pack(tmp_path, [row("images/train/a.jpg"), row("images/train/b.jpg")], [])
    wrong = read_corrections(corrections(tmp_path, "images/train/b.jpg,drop,,,,a poster"))
    assert [p.file for p in load_pack(root, "train", corrections=wrong).pictures] == [
        "images/train/a.jpg"
    ]
    assert len(load_pack(root, "train").pictures) == 2


def test_a_picture_that_shows_no_fire_loses_its_boxes_and_becomes_a_look_alike(
    tmp_path: Path,
) -> None:
    root = build_pack(tmp_path, [row("images/train/a.jpg", fire="1", kind="pos")], [box(0)])
    wrong = read_corrections(corrections(tmp_path, "images/train/a.jpg,relabel,0,0,,a sunset"))
    (picture,) = load_pack(root, "train", corrections=wrong).pictures
    assert picture.is_negative
    assert picture.kind == "hard"
    assert picture.truth.boxes_xyxy.shape == (0, 4)
    assert picture.truth.boxes_known == (True, True)


def test_smoke_nobody_boxed_is_known_in_the_picture_but_its_boxes_are_not(tmp_path: Path) -> None:
    root = build_pack(tmp_path, [row("images/train/a.jpg", fire="1", kind="pos")], [box(0)])
    wrong = read_corrections(corrections(tmp_path, "images/train/a.jpg,relabel,1,1,,thin smoke"))
    truth = load_pack(root, "train", corrections=wrong).pictures[0].truth
    assert truth.present == (1.0, 1.0)
    assert truth.boxes_known == (True, False)
    np.testing.assert_array_equal(truth.boxes_xyxy, [[10, 5, 30, 35]])


def test_new_boxes_replace_those_of_their_class_only(tmp_path: Path) -> None:
    rows = [row("images/train/a.jpg", fire="1", smoke="1", kind="pos")]
    root = build_pack(tmp_path, rows, [box(0, 1), box(0, 2)])
    line = "images/train/a.jpg,relabel,1,1,smoke 0 0 40 20;smoke 5 5 9 9,too small"
    truth = (
        load_pack(root, "train", corrections=read_corrections(corrections(tmp_path, line)))
        .pictures[0]
        .truth
    )
    np.testing.assert_array_equal(truth.box_labels, [0, 1, 1])
    np.testing.assert_array_equal(truth.boxes_xyxy[1], [0, 0, 40, 20])
    assert truth.boxes_known == (True, True)


def test_a_class_nobody_can_tell_is_masked(tmp_path: Path) -> None:
    root = build_pack(tmp_path, [row("images/train/a.jpg", smoke="1", kind="pos")], [box(0, 2)])
    wrong = read_corrections(corrections(tmp_path, "images/train/a.jpg,relabel,0,?,,steam or haze"))
    truth = load_pack(root, "train", corrections=wrong).pictures[0].truth
    assert np.isnan(truth.present[1])
    assert truth.boxes_known == (True, False)


def test_corrections_of_the_other_split_are_passed_over(tmp_path: Path) -> None:
    root = build_pack(tmp_path, [row("images/train/a.jpg")], [])
    wrong = read_corrections(corrections(tmp_path, "images/val/z.jpg,drop,,,,a poster"))
    assert len(load_pack(root, "train", corrections=wrong).pictures) == 1


def test_a_correction_of_a_picture_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = build_pack(tmp_path, [row("images/train/a.jpg")], [])
    wrong = read_corrections(corrections(tmp_path, "images/train/z.jpg,drop,,,,a poster"))
    with pytest.raises(DataError, match=r"not in the pack\n  images/train/z\.jpg"):
        load_pack(root, "train", corrections=wrong)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("images/train/a.jpg,erase,,,,", "action is 'erase'"),
        ("images/train/a.jpg,relabel,yes,0,,", "labels are 'yes' and '0'"),
        ("images/train/a.jpg,relabel,1,0,fire 1 2 3,", "not a class and four corners"),
        ("images/train/a.jpg,relabel,1,0,flame 1 2 3 4,", "not a class and four corners"),
        ("images/train/a.jpg,relabel,1,0,fire 9 2 3 4,", "has no area"),
        ("images/train/a.jpg,relabel,0,1,fire 1 2 3 4,", "class that is not there"),
    ],
)
def test_a_correction_that_cannot_be_understood_is_refused_by_line(
    tmp_path: Path, line: str, complaint: str
) -> None:
    with pytest.raises(DataError, match=f"line 2: .*{complaint}"):
        read_corrections(corrections(tmp_path, line))


def test_a_picture_corrected_twice_is_refused(tmp_path: Path) -> None:
    line = "images/train/a.jpg,drop,,,,"
    with pytest.raises(DataError, match=r"line 3: images/train/a\.jpg: is there twice"):
        read_corrections(corrections(tmp_path, line, line))


def test_the_corrections_that_training_applies_can_be_read() -> None:
    assert all(file.startswith("images/") for file in read_corrections())
