"""Soft targets for the classifier: what the detector says of whole training pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.data import Picture, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Probabilities of fire and smoke by file, and how much they count (0…1) beside a label that is known."""

    probabilities: Mapping[str, tuple[float, float]]
    weight: float

    def soften(self, picture: Picture, varied: Truth) -> Truth:
        """Mix the teacher's word into the labels of a varied picture.

        A label that nobody knows becomes the teacher's. One that the crop changed stays as it is: the teacher saw the
        whole picture.
        """
        said = self.probabilities.get(picture.file)
        if said is None:
            return varied
        present = [
            self._target(before, after, p)
            for before, after, p in zip(picture.truth.present, varied.present, said, strict=True)
        ]
        return replace(varied, present=(present[0], present[1]))

    def _target(self, before: float, after: float, said: float) -> float:
        if math.isnan(after):
            return said
        if before != after:
            return after
        return (1 - self.weight) * after + self.weight * said


def mined_negatives(
    pictures: tuple[Picture, ...], student: Mapping[str, tuple[float, float]], *, most: int
) -> tuple[Picture, ...]:
    """Give the negatives that a student takes for fire or smoke most, as look-alikes, at most `most` of them."""
    negatives = [p for p in pictures if p.is_negative]
    negatives.sort(key=lambda p: max(student[p.file]), reverse=True)
    return tuple(replace(p, kind="hard") for p in negatives[:most])
