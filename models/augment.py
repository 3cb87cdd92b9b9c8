"""Augmentation of pictures with their boxes (OpenCV and NumPy), and the batches that training draws.

One thing matters more than variety: in the pack, stored size and JPEG quality differ between pictures with and without
fire. Every picture of either class therefore goes through the same random down-scaling, blur and JPEG re-encoding.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.data import LABELS, Picture, Truth
from models.lookalikes import add_lookalike
from models.nights import night
from models.rendered import render_over, render_scene
from models.skies import sky, sunset
from models.transplant import cut_any, cut_flame, put_in
from shared.picture.letterbox import InputContract, letterbox_for
from shared.picture.preprocess import fit, normalise, resize
from shared.rendered.composite import RenderedFrame

Rng = np.random.Generator

# A box counts as still seen when this share of it is inside the crop; a crop that leaves less than this but more than
# nothing is drawn again, because its label would be a guess.
_SEEN_SHARE = 0.45
_CROP_TRIES = 8
_CUT_TRIES = 4
_FIRE = LABELS.index("fire")


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How strongly pictures are varied. Ranges are uniform unless said."""

    crop_probability: float = 0.65
    crop_area: tuple[float, float] = (0.30, 1.0)
    zoom_out_probability: float = 0.15
    zoom_out_factor: tuple[float, float] = (1.1, 2.2)
    long_side_px: tuple[int, int] = (160, 384)
    jpeg_quality: tuple[int, int] = (30, 95)
    blur_probability: float = 0.2
    noise_probability: float = 0.2
    grey_probability: float = 0.04
    dark_probability: float = 0.12
    gamma: tuple[float, float] = (0.7, 1.45)
    gain: tuple[float, float] = (0.75, 1.3)
    saturation: tuple[float, float] = (0.6, 1.35)
    cast: float = 0.08
    # Lamps, suns, evening light, red things and haze drawn in, whatever the picture shows.
    lookalike_probability: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture (H, W, 3) uint8 BGR with its truth in its own pixels."""

    bgr: NDArray[np.uint8]
    truth: Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class MixConfig:
    """What a batch is made of: fixed shares, so that look-alikes are seen at every step."""

    positive: float = 0.46
    hard_negative: float = 0.18
    ordinary_negative: float = 0.16
    rendered: float = 0.20
    # Power of a source's size by which it is drawn: 1 lets one source rule, 0 repeats tiny sources too often.
    source_power: float = 0.75


class Mixer:
    """Draws pictures of an epoch by fixed shares. Deterministic from seed and epoch."""

    def __init__(self, pictures: Sequence[Picture], config: MixConfig, seed: int) -> None:
        """Sort pictures into pools by kind and source."""
        self._config = config
        self._seed = seed
        self._pools: dict[str, dict[str, list[Picture]]] = defaultdict(lambda: defaultdict(list))
        for picture in pictures:
            self._pools[picture.kind][picture.source].append(picture)
        self._negatives = [p for p in pictures if p.is_negative]
        self._burning = [p for p in pictures if (p.truth.box_labels == _FIRE).any()]

    def epoch(self, epoch: int, pictures: int) -> Iterator[tuple[Rng, Picture | None]]:
        """Yield `pictures` times a generator and a picture of the pack; None asks for a rendered one."""
        rng = np.random.default_rng([self._seed, epoch])
        cycles = {
            (kind, source): _cycle(members, rng)
            for kind, sources in self._pools.items()
            for source, members in sources.items()
        }
        kinds = ("pos", "hard", "ordinary", "rendered")
        shares = np.array(
            [
                self._config.positive,
                self._config.hard_negative,
                self._config.ordinary_negative,
                self._config.rendered,
            ]
        )
        drawn = rng.choice(len(kinds), size=pictures, p=shares / shares.sum())
        for index, kind in enumerate(drawn):
            sample_rng = np.random.default_rng([self._seed, epoch, index])
            if kinds[kind] == "rendered":
                yield sample_rng, None
            else:
                source = self._draw_source(kinds[kind], rng)
                yield sample_rng, next(cycles[kinds[kind], source])

    def render(self, rng: Rng) -> Sample:
        """Make a picture that nobody took: a fire put over one without fire, a sky, a night, a cut, or a yard."""
        draw = rng.random()
        if draw < 0.26:
            return _rendered_sample(render_over(self._background(rng), rng))
        if draw < 0.52:
            return self._transplanted(rng)
        if draw < 0.58:
            cut = cut_any(self._negative(rng), rng)
            background = self._background(rng)
            return _without_fire(background if cut is None else put_in(background, cut, rng)[0])
        if draw < 0.76:
            return _without_fire(
                sky(rng) if rng.random() < 0.5 else sunset(self._negative(rng), rng)
            )
        if draw < 0.91:
            return _without_fire(night(self._negative(rng), rng))
        return _rendered_sample(render_scene(rng, burning=draw < 0.97))

    def _negative(self, rng: Rng) -> NDArray[np.uint8]:
        return self._negatives[int(rng.integers(len(self._negatives)))].decode()

    def _background(self, rng: Rng) -> NDArray[np.uint8]:
        """Draw a place without fire, some at sunset and some by night, so that their light does not say “none”."""
        place, draw = self._negative(rng), rng.random()
        if draw < 0.2:
            return sunset(place, rng)
        return night(place, rng) if draw < 0.4 else place

    def _transplanted(self, rng: Rng) -> Sample:
        """Put a real flame before another place; a drawn one where none of a few pictures has a flame to cut."""
        for _ in range(_CUT_TRIES if self._burning else 0):
            donor = picture_sample(self._burning[int(rng.integers(len(self._burning)))])
            flames = donor.truth.boxes_xyxy[donor.truth.box_labels == _FIRE]
            cut = cut_flame(donor.bgr, flames[int(rng.integers(len(flames)))])
            if cut is not None:
                bgr, box = put_in(self._background(rng), cut, rng)
                return _rendered_sample(
                    RenderedFrame(bgr_hwc_u8=bgr, fire_xyxy=box, smoke_xyxy=None)
                )
        return _rendered_sample(render_over(self._background(rng), rng))

    def _draw_source(self, kind: str, rng: Rng) -> str:
        sources = self._pools[kind]
        weights = np.array(
            [len(members) ** self._config.source_power for members in sources.values()]
        )
        return list(sources)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _cycle(members: Sequence[Picture], rng: Rng) -> Iterator[Picture]:
    """Yield all members in random order, again and again."""
    while True:
        for index in rng.permutation(len(members)):
            yield members[index]


def _without_fire(bgr: NDArray[np.uint8]) -> Sample:
    return _rendered_sample(RenderedFrame(bgr_hwc_u8=bgr, fire_xyxy=None, smoke_xyxy=None))


def _rendered_sample(frame: RenderedFrame) -> Sample:
    boxes = [frame.fire_xyxy, frame.smoke_xyxy]
    labels = [label for label, box in enumerate(boxes) if box is not None]
    truth = Truth(
        present=(float(frame.fire_xyxy is not None), float(frame.smoke_xyxy is not None)),
        boxes_xyxy=np.asarray([boxes[label] for label in labels], np.float32).reshape(-1, 4),
        box_labels=np.asarray(labels, np.int64),
        boxes_known=(True, True),
    )
    return Sample(bgr=frame.bgr_hwc_u8, truth=truth)


def picture_sample(picture: Picture) -> Sample:
    """Decode a picture of the pack with its truth, boxes scaled should the stored size differ from the manifest's."""
    bgr = picture.decode()
    ratio = np.array(
        [bgr.shape[1] / picture.width_px, bgr.shape[0] / picture.height_px] * 2, np.float32
    )
    truth = replace(picture.truth, boxes_xyxy=picture.truth.boxes_xyxy * ratio)
    return Sample(bgr=bgr, truth=truth)


def augment(sample: Sample, config: AugmentConfig, rng: Rng, canvas_px: tuple[int, int]) -> Sample:
    """Vary a picture and its boxes.

    Args:
        sample: picture and truth; not changed.
        config: how strongly.
        rng: the only source of chance.
        canvas_px: (width, height) it will be fitted to; crops lean towards that aspect to waste little of it.

    Returns:
        a new sample, long side within `config.long_side_px`; not yet on the canvas.
    """
    aspect = canvas_px[0] / canvas_px[1]
    if rng.random() < config.crop_probability:
        sample = _crop(sample, config, rng, aspect)
    elif rng.random() < config.zoom_out_probability:
        sample = _zoom_out(sample, config, rng)
    if rng.random() < 0.5:
        sample = _flip(sample)
    sample = _shrink(sample, config, rng)
    bgr = sample.bgr
    if rng.random() < config.lookalike_probability:
        bgr = add_lookalike(bgr, sample.truth, rng)
    bgr = _photometric(bgr, config, rng)
    return Sample(bgr=_degrade(bgr, config, rng), truth=sample.truth)


def place_on_canvas(sample: Sample, contract: InputContract) -> tuple[NDArray[np.uint8], Truth]:
    """Fit a sample on the contract's canvas; the truth's boxes become canvas pixels."""
    height, width = sample.bgr.shape[:2]
    letterbox = letterbox_for(contract, width, height)
    canvas = fit(sample.bgr, letterbox, contract.pad_value)
    return canvas, replace(sample.truth, boxes_xyxy=letterbox.to_canvas(sample.truth.boxes_xyxy))


def to_tensor(canvas: NDArray[np.uint8], contract: InputContract) -> NDArray[np.float32]:
    """Normalise a canvas to (3, H, W) float32."""
    tensor: NDArray[np.float32] = normalise(canvas, contract)[0]
    return tensor


def _crop(sample: Sample, config: AugmentConfig, rng: Rng, aspect: float) -> Sample:
    """Crop, keeping every label true: a box is well inside or entirely outside, else draw again."""
    height, width = sample.bgr.shape[:2]
    truth = sample.truth
    # Without boxes nobody knows where the fire is: stay close to the whole picture.
    blind = any(p == 1.0 and not k for p, k in zip(truth.present, truth.boxes_known, strict=True))
    low = max(config.crop_area[0], 0.75) if blind else config.crop_area[0]
    for _ in range(_CROP_TRIES):
        area = rng.uniform(low, config.crop_area[1]) * width * height
        lean = rng.uniform(0.0, 1.0)
        shape = (width / height) ** (1 - lean) * aspect**lean
        crop_width = min(width, int(math.sqrt(area * shape)))
        crop_height = min(height, int(math.sqrt(area / shape)))
        if min(crop_width, crop_height) < 32:
            continue
        left = int(rng.integers(0, width - crop_width + 1))
        top = int(rng.integers(0, height - crop_height + 1))
        cut = _cut_truth(truth, (left, top, left + crop_width, top + crop_height))
        if cut is not None:
            bgr = sample.bgr[top : top + crop_height, left : left + crop_width]
            return Sample(bgr=np.ascontiguousarray(bgr), truth=cut)
    return sample


def _cut_truth(truth: Truth, window: tuple[int, int, int, int]) -> Truth | None:
    """Give the truth inside a window, or None when a box is cut so that its label would be a guess."""
    if not len(truth.boxes_xyxy):
        return truth
    left, top, right, bottom = window
    origin = np.array([left, top, left, top], np.float32)
    limit = np.array([right - left, bottom - top] * 2, np.float32)
    inside = np.clip(truth.boxes_xyxy - origin, 0, limit)
    whole = np.prod(truth.boxes_xyxy[:, 2:] - truth.boxes_xyxy[:, :2], axis=1)
    seen = np.prod(inside[:, 2:] - inside[:, :2], axis=1)
    share = seen / np.maximum(whole, 1e-6)
    # A large fire of which a large part fills the crop is a fire, however little of it that is.
    fills = seen > 0.25 * limit[0] * limit[1]
    kept = (share >= _SEEN_SHARE) | fills
    if np.any(~kept & (share > 0.02)):
        return None
    labels = truth.box_labels[kept]
    present = [
        float((labels == label).any()) if known and not math.isnan(was) else was
        for label, (was, known) in enumerate(zip(truth.present, truth.boxes_known, strict=True))
    ]
    return Truth(
        present=(present[0], present[1]),
        boxes_xyxy=np.asarray(inside[kept], np.float32),
        box_labels=labels,
        boxes_known=truth.boxes_known,
    )


def _zoom_out(sample: Sample, config: AugmentConfig, rng: Rng) -> Sample:
    """Put the picture on a larger surface, so that its fire becomes small."""
    height, width = sample.bgr.shape[:2]
    factor = rng.uniform(*config.zoom_out_factor)
    new_width, new_height = int(width * factor), int(height * factor)
    left = int(rng.integers(0, new_width - width + 1))
    top = int(rng.integers(0, new_height - height + 1))
    # Not always the letterbox grey: the border must not tell anything.
    edge = int(rng.integers(0, 200)) if rng.random() < 0.5 else 114
    bgr = cv2.copyMakeBorder(
        sample.bgr,
        top,
        new_height - height - top,
        left,
        new_width - width - left,
        cv2.BORDER_CONSTANT,
        value=(edge, edge, edge),
    )
    shift = np.array([left, top, left, top], np.float32)
    truth = replace(sample.truth, boxes_xyxy=sample.truth.boxes_xyxy + shift)
    return Sample(bgr=np.asarray(bgr, np.uint8), truth=truth)


def _flip(sample: Sample) -> Sample:
    width = np.float32(sample.bgr.shape[1])
    boxes = sample.truth.boxes_xyxy.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    flipped = np.asarray(cv2.flip(sample.bgr, 1), np.uint8)
    return Sample(bgr=flipped, truth=replace(sample.truth, boxes_xyxy=boxes))


def _shrink(sample: Sample, config: AugmentConfig, rng: Rng) -> Sample:
    """Scale to a random long side with a mild stretch: every picture loses its stored size here."""
    height, width = sample.bgr.shape[:2]
    scale = rng.uniform(*config.long_side_px) / max(width, height)
    stretch = math.exp(rng.normal(0, 0.07))
    new_width = max(16, round(width * scale * stretch))
    new_height = max(16, round(height * scale / stretch))
    bgr = resize(sample.bgr, new_width, new_height)
    ratio = np.array([new_width / width, new_height / height] * 2, np.float32)
    return Sample(bgr=bgr, truth=replace(sample.truth, boxes_xyxy=sample.truth.boxes_xyxy * ratio))


def _photometric(bgr: NDArray[np.uint8], config: AugmentConfig, rng: Rng) -> NDArray[np.uint8]:
    """Vary tone and colour by one table a channel, then saturation; hue is left alone, it is what fire is known by."""
    gamma = rng.uniform(*config.gamma)
    gain = rng.uniform(*config.gain)
    if rng.random() < config.dark_probability:
        gain *= rng.uniform(0.35, 0.7)
    ramp = np.linspace(0.0, 1.0, 256) ** gamma * gain
    cast = rng.uniform(1 - config.cast, 1 + config.cast, 3)
    table = np.clip(ramp[:, None] * cast[None, :] * 255.0, 0, 255).astype(np.uint8)[None]
    toned = cv2.LUT(bgr, table)
    grey_draw, saturation = rng.random(), rng.uniform(*config.saturation)
    if grey_draw < config.grey_probability:
        saturation = 0.0
    elif grey_draw < 0.5:
        return np.asarray(toned, np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(toned, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.addWeighted(toned, saturation, grey, 1 - saturation, 0), np.uint8)


def _degrade(bgr: NDArray[np.uint8], config: AugmentConfig, rng: Rng) -> NDArray[np.uint8]:
    """Blur, add noise and compress, as cameras and links do."""
    if rng.random() < config.blur_probability:
        bgr = np.asarray(cv2.GaussianBlur(bgr, (0, 0), float(rng.uniform(0.4, 1.4))), np.uint8)
    if rng.random() < config.noise_probability:
        noise = rng.standard_normal(bgr.shape, dtype=np.float32) * rng.uniform(2.0, 10.0)
        bgr = np.clip(bgr + noise, 0, 255).astype(np.uint8)
    quality = int(rng.integers(config.jpeg_quality[0], config.jpeg_quality[1] + 1))
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def mosaic(samples: Sequence[Sample], size_px: tuple[int, int]) -> Sample:
    """Join four pictures to one of `size_px` (width, height); a class counts as known where it is on all four."""
    width, height = size_px[0] // 2, size_px[1] // 2
    contract = InputContract(
        name="tile", sizes_px=((width, height),), colour="BGR", mean=(0.0,) * 3, std=(1.0,) * 3
    )
    canvas = np.full((2 * height, 2 * width, 3), 114, np.uint8)
    boxes, labels = [], []
    for index, sample in enumerate(samples):
        tile, truth = place_on_canvas(sample, contract)
        top, left = height * (index // 2), width * (index % 2)
        canvas[top : top + height, left : left + width] = tile
        boxes.append(truth.boxes_xyxy + np.array([left, top, left, top], np.float32))
        labels.append(truth.box_labels)
    known = [all(s.truth.boxes_known[label] for s in samples) for label in range(2)]
    present = [max(s.truth.present[label] for s in samples) for label in range(2)]
    truth = Truth(
        present=(present[0], present[1]),
        boxes_xyxy=np.concatenate(boxes),
        box_labels=np.concatenate(labels),
        boxes_known=(known[0], known[1]),
    )
    return Sample(bgr=canvas, truth=truth)
