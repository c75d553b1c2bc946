"""Boxes: corner (xyxy) and centre (cxcywh) form, overlap, and the logit in which boxes are refined."""

import torch
from torch import Tensor
from torchvision.ops import box_convert


def centre_to_corners(boxes: Tensor) -> Tensor:
    """(..., 4) cxcywh to xyxy, same unit."""
    corners: Tensor = box_convert(boxes, "cxcywh", "xyxy")
    return corners


def corners_to_centre(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy to cxcywh, same unit."""
    centred: Tensor = box_convert(boxes, "xyxy", "cxcywh")
    return centred


def overlaps(first: Tensor, second: Tensor, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes that broadcast against each other; `a[:, None], b[None]` gives all pairs.

    Args:
        first, second: (..., 4) xyxy, same unit.
        eps: added to both denominators. Kept for released weights: 1e-6 is visible at small boxes.

    Returns:
        Two tensors (...): IoU in 0..1 and generalised IoU in -1..1.

    Source: Rezatofighi et al., CVPR 2019; util/box_ops.py of IDEA-Research/DINO.
    """
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = area(low, high)
    union = area(first[..., :2], first[..., 2:]) + area(second[..., :2], second[..., 2:]) - shared
    hull = area(torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:]))
    iou = shared / (union + eps)
    return iou, iou - (hull - union) / (hull + eps)


def area(low: Tensor, high: Tensor) -> Tensor:
    """Area between opposite corners (..., 2), 0 if they are inverted."""
    return (high - low).clamp(min=0).prod(dim=-1)


def inverse_sigmoid(share: Tensor, eps: float = 1e-3) -> Tensor:
    """Logit of numbers in 0..1, cut off at `eps` from either end.

    Kept for released weights: DINO and Lite-DINO use 1e-3 (Deformable-DETR 1e-5).
    """
    share = share.clamp(0, 1)
    return torch.log(share.clamp(min=eps) / (1 - share).clamp(min=eps))
