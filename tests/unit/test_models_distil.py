"""The teacher's word is mixed into labels, stands in where nobody knows, and never outlives a crop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from models.contact_sheet import draw_sheets, worst
from models.teacher import Teacher, mined_negatives
from tests.helpers.pack_pictures import NAN, pack_picture

TEACHER = Teacher(probabilities={"x.jpg": (0.2, 0.8)}, weight=0.25)


def test_a_known_label_is_pulled_towards_the_teacher_by_its_weight() -> None:
    picture = pack_picture("x.jpg", (1.0, 0.0))
    fire, smoke = TEACHER.soften(picture, picture.truth).present
    assert fire == pytest.approx(0.75 * 1.0 + 0.25 * 0.2)
    assert smoke == pytest.approx(0.25 * 0.8)


def test_a_label_nobody_knows_becomes_the_teachers() -> None:
    picture = pack_picture("x.jpg", (1.0, NAN))
    assert TEACHER.soften(picture, picture.truth).present[1] == 0.8


def test_a_label_that_the_crop_changed_stays_as_it_is() -> None:
    picture = pack_picture("x.jpg", (1.0, 0.0))
    cropped = replace(picture.truth, present=(0.0, 0.0))
    assert TEACHER.soften(picture, cropped).present[0] == 0.0


def test_a_picture_the_teacher_never_saw_keeps_its_labels() -> None:
    picture = pack_picture("new.jpg", (1.0, NAN))
    present = TEACHER.soften(picture, picture.truth).present
    assert present[0] == 1.0
    assert np.isnan(present[1])


def test_negatives_taken_for_fire_or_smoke_most_become_look_alikes() -> None:
    pictures = (
        pack_picture("calm.jpg"),
        pack_picture("lamp.jpg"),
        pack_picture("fog.jpg"),
        pack_picture("fire.jpg", (1.0, 0.0), kind="pos"),
    )
    said = {"calm.jpg": (0.01, 0.0), "lamp.jpg": (0.9, 0), "fog.jpg": (0, 0.6), "fire.jpg": (1, 0)}
    mined = mined_negatives(pictures, said, most=2)
    assert [(p.file, p.kind) for p in mined] == [("lamp.jpg", "hard"), ("fog.jpg", "hard")]


def test_the_sheet_begins_with_the_worst_and_lists_its_files(tmp_path) -> None:
    pictures = [pack_picture(f"{i}.jpg", (1.0, NAN), source="s") for i in range(4)]
    said = {f"{i}.jpg": (0.2 * i, 0.9) for i in range(4)}
    chosen = worst(pictures, said, 3)
    assert [p.file for p in chosen] == ["0.jpg", "1.jpg", "2.jpg"]
    draw_sheets(chosen, said, tmp_path)
    assert (tmp_path / "sheet-1.png").stat().st_size > 1000
    assert (tmp_path / "files.txt").read_text().startswith("0 0.jpg fire 1 smoke ?")
