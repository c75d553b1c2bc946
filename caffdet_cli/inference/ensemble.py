"""Late fusion by probabilistic ensembling: detections of two detectors of one picture as those of one.

Of two members that look at one object independently, given what it is, Bayes' rule says
log p(y | both) = log p(y | first) + log p(y | second) - log p(y) + constant. The three steps are

1. cluster: two detections of one class that overlap are one object; each cluster has one box of a member at most;
2. score: of two by the sum above; of one alone its own, because a member that says nothing is marginalised. (Scores
   below `least` say nothing: the paper's detectors leave such boxes out, those of the DETR family return them.)
3. box: the mean of the two, weighted by their scores.

What y is depends on the head. A sigmoid head answers one question for each class, "is there one, or not?", so that the
sum is one of log-odds: logit(both) = logit(first) + logit(second) - logit(prior). A softmax head answers one question,
"which of the K classes, or background?", so that the sum is over all K + 1 answers, which then add up to 1 again.

Shapes: n and m detections of the members, K classes.

Source: Chen et al., Multimodal Object Detection via Probabilistic Ensembling, ECCV 2022; arXiv:2104.02904, section 3.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.formats.detections import DetectionArrays, Found
from caffdet_cli.settings.late import Late

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_LEAST = 1e-9  # a probability of 0 or 1 would outvote everything


class Pairs(NamedTuple):
    """Which detections are of one object: `first[k]` of the first member and `second[k]` of the second one."""

    first: Indices
    second: Indices


def fuse(first: DetectionArrays, second: DetectionArrays, how: Late) -> DetectionArrays:
    """Detections of two sigmoid heads as one list, best first.

    Args:
        first, second: boxes in the same pixels, labels in the same class list, scores 0..1.

    Returns:
        n + m detections less one for each pair that was found to be one object.
    """
    pairs = cluster(first, second, how)
    a, b = _rows(first, pairs.first), _rows(second, pairs.second)
    scores = both_sigmoid(a.scores, b.scores, how.prior)
    joined = DetectionArrays(weighted_boxes(a, b), a.labels, scores)
    return _sorted([joined, _without(first, pairs.first), _without(second, pairs.second)])


def fuse_all(first: Found, second: Found, how: Late) -> dict[int | str, DetectionArrays]:
    """`fuse` of every picture, by id; of a picture that one member has not seen the other's detections stay."""
    empty = DetectionArrays(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    ids = dict.fromkeys([*first, *second])
    return {key: fuse(first.get(key, empty), second.get(key, empty), how) for key in ids}


def fuse_softmax(
    first: DetectionArrays, second: DetectionArrays, posteriors: tuple[NDArray[Any], NDArray[Any]], how: Late
) -> DetectionArrays:
    """The same of two softmax heads.

    Args:
        posteriors: (n, K + 1) and (m, K + 1), of each detection over all classes and background, which is the last.

    Returns:
        As `fuse`; a detection that both members have gets the class that is likeliest for both together.
    """
    pairs = cluster(first, second, how)
    a, b = _rows(first, pairs.first), _rows(second, pairs.second)
    fused = both_softmax(posteriors[0][pairs.first], posteriors[1][pairs.second], how.prior)
    labels = fused[:, :-1].argmax(axis=1)
    joined = DetectionArrays(weighted_boxes(a, b), labels, fused[np.arange(len(fused)), labels])
    return _sorted([joined, _without(first, pairs.first), _without(second, pairs.second)])


def both_sigmoid(first: NDArray[Any], second: NDArray[Any], prior: float | None = None) -> Floats:
    """Score of detections that both members have: the sum of their log-odds less those of the prior.

    Args:
        first, second: (n,) scores 0..1, independent for each class.
        prior: of such an object before anybody has looked; None: as likely as not, which takes nothing away.
    """
    odds = _logit(first) + _logit(second) - (0.0 if prior is None else _logit(prior))
    return np.asarray(1 / (1 + np.exp(-odds)))


def both_softmax(first: NDArray[Any], second: NDArray[Any], prior: float | None = None) -> Floats:
    """Posteriors of both members together: the sum of their logarithms less those of the prior, made to add up to 1.

    Args:
        first, second: (n, K + 1), background last.
        prior: of an object before anybody has looked, in equal parts for all classes, and background has the rest;
            None: all K + 1 alike.
    """
    logs = np.log(np.clip(first, _LEAST, 1)) + np.log(np.clip(second, _LEAST, 1))
    if prior is not None:
        classes = logs.shape[1] - 1
        logs = logs - np.log(np.array([prior / classes] * classes + [1 - prior]))
    weights = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def weighted_boxes(first: DetectionArrays, second: DetectionArrays) -> Floats:
    """(n, 4): mean of the boxes of n detections that both members have, each weighted by its score."""
    weights = np.stack([first.scores, second.scores]).astype(np.float64).clip(_LEAST)[..., None]
    boxes = np.stack([first.boxes, second.boxes]).astype(np.float64)
    return np.asarray((weights * boxes).sum(axis=0) / weights.sum(axis=0))


def cluster(first: DetectionArrays, second: DetectionArrays, how: Late) -> Pairs:
    """Pairs of one object, by class: from the best detection of either member down, each takes what it overlaps most.

    Detections below `how.least` are in no pair.
    Ties are broken by the boxes and not by whose they are, so that exchanging the members changes nothing.
    """
    overlap = _overlaps(first.boxes, second.boxes)  # (n, m)
    speaks = (first.scores >= how.least)[:, None] & (second.scores >= how.least)
    fits = speaks & (overlap >= how.iou) & (first.labels[:, None] == second.labels)
    rows, columns = np.nonzero(fits)
    place = _places(first, second)
    own, other = place[: len(first.scores)][rows], place[len(first.scores) :][columns]
    order = np.lexsort((np.maximum(own, other), -overlap[rows, columns], np.minimum(own, other)))
    return _each_once(rows[order], columns[order])


def _places(first: DetectionArrays, second: DetectionArrays) -> Indices:
    """(n + m,) place of each detection in the order of scores, then of boxes; equal ones share theirs."""
    facts = [np.column_stack([-np.asarray(each.scores, np.float64), each.boxes]) for each in (first, second)]
    return np.unique(np.concatenate(facts), axis=0, return_inverse=True)[1].reshape(-1)


def _each_once(rows: Indices, columns: Indices) -> Pairs:
    """The pairs in this order whose detections are not in an earlier one."""
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if row not in partner and column not in taken:
            partner[row] = column
            taken.add(column)
    return Pairs(np.array(list(partner), np.int64), np.array(list(partner.values()), np.int64))


def _overlaps(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """IoU (n, m) of boxes (n, 4) and (m, 4) xyxy; an inverted or empty box overlaps nothing."""
    a, b = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(0).prod(axis=-1)
    union = _areas(a) + _areas(b) - shared
    return np.asarray(shared / np.where(union > 0, union, 1.0))


def _areas(boxes: Floats) -> Floats:
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).clip(0).prod(axis=-1))


def _logit(share: NDArray[Any] | float) -> Floats:
    sure = np.clip(np.asarray(share, np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(sure) - np.log1p(-sure))


def _rows(found: DetectionArrays, rows: Indices) -> DetectionArrays:
    return DetectionArrays(found.boxes[rows], found.labels[rows], found.scores[rows])


def _without(found: DetectionArrays, rows: Indices) -> DetectionArrays:
    """What only this member has: marginalising the other one leaves it as it is."""
    return _rows(found, np.setdiff1d(np.arange(len(found.scores)), rows))


def _sorted(parts: list[DetectionArrays]) -> DetectionArrays:
    """All of them, best first; ties as in `cluster`, so that the order of the members leaves no trace."""
    boxes, labels, scores = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((*boxes.T[::-1], labels, -scores))
    return DetectionArrays(boxes[order], labels[order], scores[order])
