"""Losses of the two networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_bce(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Average binary cross-entropy over the labels that are known.

    Args:
        logits: any shape.
        targets: same shape, 0…1, NaN where not known.
        smoothing: 0…0.5, pulls known targets towards 0.5.
    """
    known = ~targets.isnan()
    wanted = (
        torch.where(known, targets, torch.zeros_like(targets)) * (1 - 2 * smoothing) + smoothing
    )
    losses = F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def balanced_cell_bce(cells: Tensor, targets: Tensor) -> Tensor:
    """Average cell losses so that cells with fire weigh as much as the many without.

    Args:
        cells: shape (N, 2, h, w), logits.
        targets: same shape, 1 inside a box, 0 outside, NaN where not known or at a box's edge.
    """
    known = ~targets.isnan()
    positive = known & (targets > 0.5)
    negative = known & (targets <= 0.5)
    wanted = torch.where(known, targets, torch.zeros_like(targets))
    losses = F.binary_cross_entropy_with_logits(cells.float(), wanted, reduction="none")
    inside = (losses * positive).sum() / positive.sum().clamp(min=1)
    outside = (losses * negative).sum() / negative.sum().clamp(min=1)
    return 0.5 * (inside + outside)


def quality_focal(logits: Tensor, targets: Tensor, beta: float = 2.0) -> Tensor:
    """Compute the quality focal loss of each element (Li et al. 2020, Generalized Focal Loss).

    Args:
        logits: any shape.
        targets: same shape; 0 for background, else the wanted quality (IoU), 0…1.
        beta: how strongly easy elements are turned down.
    """
    scale = (logits.sigmoid() - targets).abs().pow(beta)
    return scale * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def distribution_focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the distribution focal loss (same paper).

    Args:
        logits: shape (N, bins).
        targets: shape (N,), distance in strides, 0 ≤ target < bins − 1.

    Returns:
        shape (N,).
    """
    low = targets.floor().long()
    weight_high = targets - low
    log_probabilities = logits.log_softmax(-1)
    at_low = log_probabilities.gather(1, low[:, None])[:, 0]
    at_high = log_probabilities.gather(1, low[:, None] + 1)[:, 0]
    return -(at_low * (1 - weight_high) + at_high * weight_high)


def paired_iou(a_xyxy: Tensor, b_xyxy: Tensor, *, generalized: bool = False) -> Tensor:
    """Compute IoU, or GIoU (Rezatofighi et al. 2019), of boxes pair by pair, shapes (N, 4) → (N,)."""
    top_left = torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    bottom_right = torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(-1)
    area_a = (a_xyxy[..., 2:] - a_xyxy[..., :2]).clamp(min=0).prod(-1)
    area_b = (b_xyxy[..., 2:] - b_xyxy[..., :2]).clamp(min=0).prod(-1)
    union = (area_a + area_b - shared).clamp(min=1e-6)
    iou = shared / union
    if not generalized:
        return iou
    hull = (
        (
            torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:])
            - torch.minimum(a_xyxy[..., :2], b_xyxy[..., :2])
        )
        .prod(-1)
        .clamp(min=1e-6)
    )
    return iou - (hull - union) / hull
