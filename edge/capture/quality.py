"""Is the view of a camera fit to see a fire? Ring: domain (NumPy, OpenCV arithmetic; no I/O).

Blurred, covered and moved are told by comparing the view with what this camera usually shows, in what does not depend
on light: fog scales every contrast alike, night and infrared change brightness and colour but not where the edges are;
so the ratio of fine to coarse detail, and the places of edges relative to their neighbourhood, hardly notice them.
Measured on 25 real pictures: gamma 0.5–3, grey, infrared, night with noise, even and depth fog leave at least 0.72 of
the edges' correlation; turning the camera by a fifth of the picture leaves at most 0.48.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.state import ViewFinding

THUMB_WIDTH_PX, THUMB_HEIGHT_PX = 256, 144
"""Any frame is squeezed into this; one pixel of it is five of a 720p frame."""

_RAISE_AFTER_S = 20.0  # a lorry or a gust may last some seconds; the promise is 60 s
# Above the key frame interval of thrifty encoders, which repeat pictures in between.
_FROZEN_AFTER_S = 40.0
_CLEAR_AFTER_S = 10.0
_LEARN_LOOKS = 10
# Per look, at one look a second a quarter of an hour: dusk and fog come slower than a hand.
_LEARN_SHARE = 1 / 900
_BLACK_LEVEL = 16  # of 255: 98 % are darker; a yard at night, with noise, has 26 or more
_BURNT_LEVEL = 250  # of 255: 80 % are brighter
_NO_CONTRAST = 3.0  # standard deviation; fog that hides nine tenths of every contrast leaves 3 to 8
_EDGES_KEPT = 0.6  # see above: light and weather leave 0.72, a turn by a fifth 0.48
_STEADY = 0.7  # correlation with the last look: flames and crowds change, a turned camera does not
_FLAT_DETAIL = 0.9  # in a block: noise of a covered lens gives 0.6, textures 3 and more
_FLAT_MORE = 0.35
_SHARPNESS_KEPT = 0.72  # light, fog and noise leave 0.85 or more; a lens out of focus 0.3 to 0.7
_LEAST_DETAIL = (3.0, 1.2)  # of the coarser of two; below, the finer is lost in noise and rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one thumbnail shows.

    `edges`: shape (36, 64), float32, zero mean, unit length. `flat`: share of blocks without detail. `sharpness`:
    detail of one fineness over detail twice as coarse, at two finenesses; None where there is too little to tell.
    """

    dark_level: int
    bright_level: int
    contrast: float
    edges: NDArray[np.float32]
    flat: float
    sharpness: tuple[float | None, float | None]


class ViewHealth:
    """Watches one camera's view; for use by one thread, `findings` by any."""

    def __init__(self) -> None:
        """Know nothing of the camera yet; the first looks are what it usually shows."""
        self._findings: tuple[ViewFinding, ...] = ()
        self._since_s: dict[ViewFinding, float] = {}
        self._seen_s: dict[ViewFinding, float] = {}
        self._digest: object = None
        self._digest_since_s = 0.0
        self._mean: NDArray[np.float32] | None = None
        self._last_edges: NDArray[np.float32] | None = None
        self._usual = _Usual()

    def note(self, grey_hw_u8: NDArray[np.uint8], digest: object, at_s: float) -> None:
        """Look at a frame.

        Args:
            grey_hw_u8: shape (144, 256), uint8, grey.
            digest: equal for frames that are equal in every bit.
            at_s: monotonic seconds; about one look a second is expected.

        Cost: 0.25 ms.
        """
        if digest != self._digest:
            self._digest, self._digest_since_s = digest, at_s
        look = _look(self._smoothed(grey_hw_u8))
        for finding in self._signs(look, at_s):
            self._since_s.setdefault(finding, at_s)
            self._seen_s[finding] = at_s
        self._settle(at_s)
        if not self._since_s:
            self._usual.learn(look)
        self._last_edges = look.edges

    def findings(self) -> tuple[ViewFinding, ...]:
        """Give what is wrong, in the order of `ViewFinding`."""
        return self._findings

    def learn_anew(self) -> None:
        """Take what the camera shows from now on as usual: somebody has turned it on purpose."""
        self._usual = _Usual()

    def _smoothed(self, grey_hw_u8: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Average over some looks: noise of a night would pass for detail."""
        now = grey_hw_u8.astype(np.float32)
        self._mean = now if self._mean is None else 0.6 * self._mean + 0.4 * now
        return self._mean

    def _signs(self, look: _Look, at_s: float) -> Iterator[ViewFinding]:
        if at_s - self._digest_since_s >= _FROZEN_AFTER_S - _RAISE_AFTER_S:
            yield ViewFinding.FROZEN
        if look.bright_level <= _BLACK_LEVEL:
            yield ViewFinding.BLACK
        elif look.dark_level >= _BURNT_LEVEL:
            yield ViewFinding.OVEREXPOSED
        elif look.contrast < _NO_CONTRAST:
            yield ViewFinding.COVERED
        elif (usual := self._usual.look()) is not None:
            yield from self._changes(look, usual)

    def _changes(self, look: _Look, usual: _Look) -> Iterator[ViewFinding]:
        if _correlation(look.edges, usual.edges) < _EDGES_KEPT:
            if look.flat - usual.flat > _FLAT_MORE:
                yield ViewFinding.COVERED
            elif _correlation(look.edges, self._last_edges) > _STEADY:
                yield ViewFinding.MOVED
        elif any(
            now is not None and before is not None and now < _SHARPNESS_KEPT * before
            for now, before in zip(look.sharpness, usual.sharpness, strict=True)
        ):
            yield ViewFinding.BLURRED

    def _settle(self, at_s: float) -> None:
        """Forget signs that are over, and tell those that have lasted."""
        for finding, seen_s in list(self._seen_s.items()):
            is_told = finding in self._findings
            if at_s - seen_s >= (_CLEAR_AFTER_S if is_told else _CLEAR_AFTER_S / 2):
                del self._since_s[finding], self._seen_s[finding]
        self._findings = tuple(
            f
            for f in ViewFinding
            if f in self._since_s
            and (f in self._findings or at_s - self._since_s[f] >= _RAISE_AFTER_S)
        )


class _Usual:
    """What a camera usually shows: a plain mean at first, then a slow one."""

    def __init__(self) -> None:
        self._looks = 0
        self._edges = np.zeros((36, 64), np.float32)
        self._flat = 0.0
        self._sharpness: tuple[float | None, float | None] = (None, None)

    def learn(self, look: _Look) -> None:
        self._looks += 1
        share = max(_LEARN_SHARE, 1.0 / self._looks)
        self._edges += np.float32(share) * (look.edges - self._edges)
        self._flat += share * (look.flat - self._flat)
        first, second = zip(self._sharpness, look.sharpness, strict=True)
        self._sharpness = (_moved(*first, share), _moved(*second, share))

    def look(self) -> _Look | None:
        """Give the usual look; None while it is being learned."""
        if self._looks < _LEARN_LOOKS:
            return None
        return _Look(
            dark_level=0,
            bright_level=255,
            contrast=0.0,
            edges=self._edges,
            flat=self._flat,
            sharpness=self._sharpness,
        )


def _moved(before: float | None, now: float | None, share: float) -> float | None:
    if before is None or now is None:
        return before if now is None else now
    return before + share * (now - before)


def _look(grey: NDArray[np.float32]) -> _Look:
    """Measure a thumbnail, shape (144, 256), float32, 0…255."""
    half = _shrunk(grey, 128, 72)
    quarter = _shrunk(half, 64, 36)
    fine, coarse, detail = (np.abs(cv2.Laplacian(p, cv2.CV_32F)) for p in (grey, half, quarter))
    blocks = _shrunk(np.asarray(detail, dtype=np.float32), 16, 9)
    fine_mean, coarse_mean, detail_mean = (float(np.mean(p)) for p in (fine, coarse, detail))
    shares = np.cumsum(np.bincount(half.astype(np.uint8).ravel(), minlength=256)) / half.size
    return _Look(
        dark_level=int(np.searchsorted(shares, 0.2)),
        bright_level=int(np.searchsorted(shares, 0.98)),
        contrast=float(np.std(half)),
        edges=_edges(half),
        flat=float(np.mean(blocks < _FLAT_DETAIL)),
        sharpness=(
            _ratio(fine_mean, coarse_mean, _LEAST_DETAIL[0]),
            _ratio(coarse_mean, detail_mean, _LEAST_DETAIL[1]),
        ),
    )


def _shrunk(plane: NDArray[np.float32], width_px: int, height_px: int) -> NDArray[np.float32]:
    """Average a plane, shape (H, W), down to a smaller size."""
    small = cv2.resize(plane, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def _ratio(finer: float, coarser: float, least: float) -> float | None:
    return finer / coarser if coarser > least else None


def _edges(half: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map where edges are, each against its neighbourhood, so that neither light nor fog matters."""
    x, y = cv2.Sobel(half, cv2.CV_32F, 1, 0), cv2.Sobel(half, cv2.CV_32F, 0, 1)
    strength = cv2.resize(cv2.magnitude(x, y), (64, 36), interpolation=cv2.INTER_AREA)
    near, around = cv2.GaussianBlur(strength, (0, 0), 0.75), cv2.GaussianBlur(strength, (0, 0), 4.0)
    edges = near / (around + 4.0)
    edges -= edges.mean()
    return np.asarray(edges / (np.linalg.norm(edges) + 1e-6), dtype=np.float32)


def _correlation(edges: NDArray[np.float32], others: NDArray[np.float32] | None) -> float:
    """Tell how well two maps of edges agree, −1…1; a mean of maps is shorter than one and is made up for."""
    if others is None:
        return 0.0
    return float(np.vdot(edges, others)) / (float(np.linalg.norm(others)) + 1e-6)
