"""One measured number with what is accepted and what is aimed at, the table of them, and the file of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A result; `accept` must be met, `goal` is aimed at; both None for a number that only explains others."""

    name: str
    value: float
    unit: str
    accept: float | None = None
    goal: float | None = None
    is_more_better: bool = False

    @property
    def is_ok(self) -> bool:
        """Tell whether the value is accepted."""
        if self.accept is None:
            return True
        return self.value >= self.accept if self.is_more_better else self.value <= self.accept

    def as_dict(self) -> dict[str, Any]:
        """Give what stands under the name in the results file."""
        return {
            "value": round(self.value, 3),
            "unit": self.unit,
            "accept": self.accept,
            "goal": self.goal,
            "ok": self.is_ok,
        }


def quantile(values: Iterable[float], share: float) -> float:
    """Give the value below which `share` (0…1) of the values lie, the next larger one; no interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Iterable[float]) -> float:
    """Give the median."""
    return statistics.median(values)


def write_results(numbers: Sequence[Number], path: Path = RESULTS) -> None:
    """Write the numbers into the file; those of other measurements stay as they are."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known.update({number.name: number.as_dict() for number in numbers})
    text = json.dumps(dict(sorted(known.items())), indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def print_table(numbers: Sequence[Number]) -> None:
    """Print one line a number."""
    width = max(len(number.name) for number in numbers)
    print(f"{'':4}  {'number':{width}}  {'value':>10}  {'unit':6}  {'accept':>9}  {'goal':>9}")
    for number in numbers:
        sign = "≥" if number.is_more_better else "≤"
        accept, goal = (
            "" if bound is None else f"{sign} {bound:g}" for bound in (number.accept, number.goal)
        )
        state = "" if number.accept is None else "ok" if number.is_ok else "MISS"
        print(
            f"{state:4}  {number.name:{width}}  {number.value:10.3f}  {number.unit:6}  {accept:>9}  {goal:>9}"
        )
