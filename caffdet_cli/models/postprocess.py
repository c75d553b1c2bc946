"""Logits and boxes to scored boxes in pixels.

Shapes: B pictures, Q queries, K class slots.
"""

import torch
from torch import Tensor
from torchvision.ops import nms

from caffdet_cli.models.boxes import centre_to_corners
from caffdet_cli.values import Detections


def best_detections(
    logits: Tensor, boxes: Tensor, sizes: Tensor, count: int, nms_iou: float | None = None
) -> list[Detections]:
    """The `count` best of all query and class pairs; one query may give several classes.

    Args:
        logits: (B, Q, K).
        boxes: (B, Q, 4) cxcywh, fractions.
        sizes: (B, 2) height and width of each picture in pixels. Boxes are not clipped to it.
        nms_iou: drop a box that overlaps a better one of any class by more than this; None keeps all.

    Source: PostProcess in models/dino/dino.py of IDEA-Research/DINO.
    """
    scores, flat = logits.float().sigmoid().flatten(1).topk(min(count, logits.shape[1] * logits.shape[2]), dim=1)
    queries, labels = flat // logits.shape[2], flat % logits.shape[2]
    chosen = torch.take_along_dim(boxes.float(), queries[..., None], dim=1)
    corners = centre_to_corners(chosen) * sizes.flip(1).repeat(1, 2)[:, None]  # (B, count, 4) times w, h, w, h
    results = [Detections(*each) for each in zip(corners, scores, labels, strict=True)]
    return results if nms_iou is None else [_suppressed(each, nms_iou) for each in results]


def _suppressed(found: Detections, iou: float) -> Detections:
    kept = nms(found.boxes, found.scores, iou)
    return Detections(found.boxes[kept], found.scores[kept], found.labels[kept])
