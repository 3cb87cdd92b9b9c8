"""What random checks of quiet frames say about the fires that the edge misses. Ring: domain.

An audit sends a frame that no policy would have sent. How often the cloud sees something there is the edge's silent
miss rate in the field, measured, with the honest width that few samples have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_CONFIDENCE = 0.95
_BAND_EDGES = (
    0.01,
    0.05,
    0.2,
    0.5,
)  # calibrated probabilities; most quiet frames lie in the lowest band
_DRIFT_P = 0.01  # a rise this unlikely by chance is worth a person's look; higher cries wolf once a fortnight


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One checked frame: the local day, its camera, what the edge thought (0…1), what the cloud said."""

    day: str
    camera: str | None
    presence: float
    is_miss: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Audits of one band of edge probabilities; `upper_bound` holds with 95 % (Clopper and Pearson 1934)."""

    name: str
    audits: int
    misses: int
    upper_bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """All bands together, band by band, and whether misses rose against the week before."""

    day: str
    total: Band
    bands: tuple[Band, ...]
    has_drifted: bool


def report(day: str, today: Sequence[Audit], week_before: Sequence[Audit]) -> AuditReport:
    """Sum up a day's audits and hold them against the week before."""
    names = [_band_name(index) for index in range(len(_BAND_EDGES) + 1)]
    bands = tuple(
        _band(name, [a for a in today if _band_name(_band_index(a.presence)) == name])
        for name in names
    )
    misses = sum(a.is_miss for a in today)
    earlier = sum(a.is_miss for a in week_before)
    usual = (earlier + 0.5) / (len(week_before) + 1.0)
    has_drifted = bool(week_before) and _chance_of_at_least(misses, len(today), usual) < _DRIFT_P
    return AuditReport(day=day, total=_band("all", today), bands=bands, has_drifted=has_drifted)


def upper_bound(misses: int, audits: int) -> float:
    """Bound a miss rate from above with 95 % confidence, exactly; about 3 / n when nothing was missed.

    Source: Clopper and Pearson, Biometrika 26 (1934), one-sided, by bisection of the binomial tail.
    """
    if audits == 0 or misses >= audits:
        return 1.0
    low, high = misses / audits, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        chance_of_so_few = 1.0 - _chance_of_at_least(misses + 1, audits, middle)
        low, high = (middle, high) if chance_of_so_few > 1.0 - _CONFIDENCE else (low, middle)
    return high


def _band(name: str, audits: Sequence[Audit]) -> Band:
    misses = sum(a.is_miss for a in audits)
    return Band(
        name=name, audits=len(audits), misses=misses, upper_bound=upper_bound(misses, len(audits))
    )


def _band_index(presence: float) -> int:
    return sum(presence >= edge for edge in _BAND_EDGES)


def _band_name(index: int) -> str:
    edges = (0.0, *_BAND_EDGES, 1.0)
    return f"{edges[index]:g}–{edges[index + 1]:g}"


def _chance_of_at_least(count: int, trials: int, rate: float) -> float:
    """Chance of `count` or more hits in `trials` (binomial tail), summed from the smaller side in logarithms."""
    if count <= 0:
        return 1.0
    if count > trials or rate <= 0.0:
        return 0.0
    if rate >= 1.0:
        return 1.0
    fewer = math.fsum(_chance_of(n, trials, rate) for n in range(count))
    return max(0.0, 1.0 - fewer)


def _chance_of(count: int, trials: int, rate: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    return math.exp(ways + count * math.log(rate) + (trials - count) * math.log1p(-rate))
