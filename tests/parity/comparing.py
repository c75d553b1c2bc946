"""How two arrays are compared: by a tolerance, exactly, or as sets of detections."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import protocol


class Difference(NamedTuple):
    """How far one recorded thing is from ours."""

    name: str
    worst: float  # largest absolute difference
    share: float  # of its tolerance: above 1 is a failure; exact things have 0 or infinity
    detail: str = ""  # says more where the numbers do not

    @property
    def passed(self) -> bool:
        return self.share <= 1.0


def as_array(value: Any) -> np.ndarray:
    """A tensor, array, list or number as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def summary_of(array: np.ndarray) -> np.ndarray:
    """[mean, population standard deviation, largest absolute value]."""
    wide = np.asarray(array, np.float64)
    return np.array([wide.mean(), wide.std(), np.abs(wide).max(initial=0.0)])


def compare(name: str, recorded: np.ndarray, ours: np.ndarray, tolerance: dict[str, float] | None) -> Difference:
    """Compare two arrays of one shape; equal where `tolerance` is None. Masks may be bool on one side."""
    if ours.dtype == np.bool_ or recorded.dtype == np.bool_:
        ours, recorded = ours.astype(np.uint8), recorded.astype(np.uint8)
    if recorded.shape != ours.shape:
        return Difference(name, math.inf, math.inf, f"shape {ours.shape}, recorded {recorded.shape}")
    passed, worst = protocol.close(recorded, ours, tolerance or {"atol": 0.0, "rtol_absmax": 0.0})
    allowed = allowed_of(recorded, tolerance) if tolerance else 0.0
    share = share_of(worst, allowed)
    return Difference(name, worst, min(share, 1.0) if passed else share)


def share_of(worst: float, allowed: float) -> float:
    """The largest difference as a share of what is allowed."""
    if worst == 0.0:
        return 0.0
    return worst / allowed if allowed > 0 else math.inf


def allowed_of(recorded: np.ndarray, tolerance: dict[str, float]) -> float:
    values = np.asarray(recorded, np.float64)
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    return float(tolerance["atol"] + tolerance["rtol_absmax"] * largest)


def batched(boxes: np.ndarray) -> np.ndarray:
    return boxes[None] if boxes.ndim == 2 else boxes


def match_detections(
    scores: np.ndarray,
    labels: np.ndarray,
    boxes: np.ndarray,
    our_scores: np.ndarray,
    our_labels: np.ndarray,
    our_boxes: np.ndarray,
    score_limit: float,
    box_limit: float,
) -> tuple[float, float]:
    """Largest difference of scores and of boxes over one picture's detections; infinite where one has no partner."""
    free = np.ones(len(our_scores), np.bool_)
    worst = [0.0, 0.0]
    for score, label, box in zip(scores, labels, boxes, strict=True):
        apart = np.abs(our_boxes - box).max(axis=-1)
        fits = free & (our_labels == label) & (np.abs(our_scores - score) <= score_limit) & (apart <= box_limit)
        if fits.any():
            partner = int(np.argmin(np.where(fits, apart, np.inf)))
            free[partner] = False
            worst = [max(worst[0], abs(float(our_scores[partner] - score))), max(worst[1], float(apart[partner]))]
        elif score - scores.min() > score_limit:
            return math.inf, math.inf
    return worst[0], worst[1]


def sentence(found: Difference) -> str:
    detail = f" ({found.detail})" if found.detail else ""
    return f"{found.name}{detail}: differs by {found.worst:.3g}, {found.share:.3g} times what is allowed"
