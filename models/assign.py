"""Which places of the detector answer for which box: dynamic soft-label assignment (as in NanoDet-Plus and RTMDet)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Places count as near a box's middle within this many strides; without it small boxes between two grid points get none.
_CENTRE_STRIDES = 2.5
_MOST_CANDIDATES = 12
_IOU_WEIGHT = 3.0
_CENTRE_WEIGHT = 1.0
# A cost no valid place reaches.
_NEVER = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """For one picture with A places: the box that each answers for (−1 none), and the IoU it has with it now."""

    box_index: Tensor
    quality: Tensor


@torch.no_grad()
def assign(
    *,
    class_logits: Tensor,
    boxes_xyxy: Tensor,
    places: Tensor,
    truth_xyxy: Tensor,
    truth_labels: Tensor,
) -> Assignment:
    """Assign places to the boxes of one picture.

    Args:
        class_logits: shape (A, C).
        boxes_xyxy: shape (A, 4), decoded, canvas pixels.
        places: shape (A, 3): x, y, stride in canvas pixels.
        truth_xyxy: shape (T, 4), canvas pixels.
        truth_labels: shape (T,), int64.

    Returns:
        per place; each box gets as many places as its best IoUs add up to, at least one (Ge et al. 2021, OTA/SimOTA).
    """
    count = len(places)
    nobody = torch.full((count,), -1, dtype=torch.long, device=places.device)
    if not len(truth_xyxy):
        return Assignment(box_index=nobody, quality=torch.zeros(count, device=places.device))
    near, distance = _nearness(places, truth_xyxy)
    overlap = _iou_table(boxes_xyxy, truth_xyxy)
    cost = _cost(class_logits, overlap, truth_labels, distance)
    cost = torch.where(near, cost, torch.full_like(cost, _NEVER))
    chosen = _choose(cost, torch.where(near, overlap, torch.zeros_like(overlap)))
    rivals = torch.where(chosen, cost, torch.full_like(cost, 2 * _NEVER))
    best_cost, best_box = rivals.min(1)
    box_index = torch.where(best_cost < _NEVER, best_box, nobody)
    quality = overlap.gather(1, best_box[:, None])[:, 0]
    return Assignment(box_index=box_index, quality=quality.clamp(0, 1))


def _nearness(places: Tensor, truth_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Tell for each place and box whether it may answer, and its distance to the middle in strides; both (A, T)."""
    stride = places[:, 2:3]
    centre = places[:, :2]
    left_top = centre[:, None] - truth_xyxy[None, :, :2]
    right_bottom = truth_xyxy[None, :, 2:] - centre[:, None]
    sides = torch.cat([left_top, right_bottom], -1)
    inside = sides.amin(-1) > 0
    # A place reaches 7 strides at most; a box beyond that could never be fitted from it.
    reachable = sides.amax(-1) < stride * 7.0
    middle = (truth_xyxy[:, :2] + truth_xyxy[:, 2:]) / 2
    distance = (centre[:, None] - middle[None]).norm(dim=-1) / stride
    close = (centre[:, None] - middle[None]).abs().amax(-1) < _CENTRE_STRIDES * stride
    touches = sides.amin(-1) > -0.5 * stride
    near = (inside | (close & touches)) & reachable
    # A box so large that no place reaches all its sides: those of the coarsest level inside it.
    lost = ~near.any(0)
    coarsest = stride == stride.max()
    return near | (inside & coarsest & lost[None]), distance


def _cost(class_logits: Tensor, overlap: Tensor, truth_labels: Tensor, distance: Tensor) -> Tensor:
    """Cost of letting each place answer for each box, shape (A, T): class at the soft label, overlap, centre prior."""
    logits = class_logits[:, truth_labels]
    scale = (logits.sigmoid() - overlap).abs().pow(2)
    class_cost = F.binary_cross_entropy_with_logits(logits, overlap, reduction="none") * scale
    centre_cost = torch.pow(10.0, distance.clamp(max=8.0) - 3.0)
    return (
        class_cost
        - _IOU_WEIGHT * torch.log(overlap + 1e-7)
        + _CENTRE_WEIGHT * centre_cost.clamp(max=100.0)
    )


def _choose(cost: Tensor, overlap: Tensor) -> Tensor:
    """Mark the cheapest places of each box, as many as its best overlaps add up to; shape (A, T), bool."""
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    wanted = overlap.topk(min(_MOST_CANDIDATES, len(overlap)), 0).values.sum(0).int().clamp(min=1)
    for box in range(cost.shape[1]):
        cheapest = cost[:, box].topk(int(wanted[box]), largest=False).indices
        chosen[cheapest, box] = cost[cheapest, box] < _NEVER
    return chosen


def _iou_table(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    top_left = torch.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    bottom_right = torch.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(-1)
    area_a = (a_xyxy[:, 2:] - a_xyxy[:, :2]).clamp(min=0).prod(-1)
    area_b = (b_xyxy[:, 2:] - b_xyxy[:, :2]).clamp(min=0).prod(-1)
    return shared / (area_a[:, None] + area_b[None] - shared).clamp(min=1e-6)
