"""Log-average miss rate of pedestrians (MR^-2): matching, curve and mean, by the rules of the KAIST evaluation.

Detections are taken by falling score. One that overlaps a free object by half finds it; one that lies by half on an
object that a setting ignores is left out of the count; any other is a false alarm. The miss rate at nine numbers of
false alarms per picture (FPPI) is averaged in the logarithm.

Shapes: D detections, G objects of one picture.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.errors import DatasetError, RunError
from caffdet_cli.evaluation.miss_rate_settings import Setting
from caffdet_cli.evaluation.miss_rate_truth import PARTS, Frame, MissRateTruth
from caffdet_cli.progress import Progress

POINTS = (0.0100, 0.0178, 0.0316, 0.0562, 0.1000, 0.1778, 0.3162, 0.5623, 1.0000)
"""FPPI at which the miss rate is read, rounded as in the evaluation that papers use."""

_HALF = 0.5  # overlap from which on a detection is at an object
_MOST = 1000  # detections of a picture that count
_NEARLY_NOTHING = 1e-10  # stands for a miss rate of 0, which has no logarithm

Part = Literal["all", "day", "night"]
Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """Miss rate over false alarms per picture, of one setting on some of the pictures."""

    mean: float | None  # the log-average, 0..1; None without an object that counts
    counted: int  # objects that count
    pictures: int
    fppi: Floats  # one entry per detection that counts, by falling score
    miss: Floats


@dataclass(frozen=True)
class SettingScore:
    """One setting on all pictures, and on those of the day and of the night where they are known."""

    setting: Setting
    curves: Mapping[Part, Curve]


@dataclass(frozen=True)
class MissRateReport:
    """One evaluation."""

    scores: tuple[SettingScore, ...]
    compatible: bool
    pictures: int


def evaluate_miss_rate(
    truth: MissRateTruth,
    found: Mapping[int | str, DetectionArrays],
    settings: Sequence[Setting],
    *,
    compatible: bool = False,
    progress: Progress | None = None,
) -> MissRateReport:
    """Score detections against annotated pedestrians.

    Args:
        found: detections by picture id; labels other than the pedestrians' do not count.
        compatible: the numbers of the public script with its faults: objects of pictures without any detection leave
            the count, a match to annotation id 0 is a false alarm, and before the first point the last recall is read.

    Raises:
        DatasetError: detections of a picture that `truth` does not have.
        RunError: boxes or scores that are not finite.
    """
    if strangers := found.keys() - {frame.id for frame in truth.frames}:
        raise DatasetError(f"detections of picture {min(map(str, strangers))!r}, which {truth.source} does not have")
    pairs = [
        _overlaps(frame, found.get(frame.id), truth.label)
        for frame in (progress or Progress()).track(truth.frames, "scoring", total=len(truth.frames))
    ]
    parts = {part: [part in ("all", frame.part) for frame in truth.frames] for part in PARTS}
    scores = []
    for setting in settings:
        results = [_judged(pair, setting, compatible) for pair in pairs]
        curves = {part: _curve(compress(results, own), compatible) for part, own in parts.items() if any(own)}
        scores.append(SettingScore(setting, curves))
    return MissRateReport(tuple(scores), compatible, len(truth.frames))


class _Pair(NamedTuple):
    """A picture with its detections by falling score, and how they overlap."""

    frame: Frame
    scores: Floats  # (D,)
    union: Floats  # (D, G) intersection over union
    inside: Floats  # (D, G) share of the detection that lies on the object


class _Result(NamedTuple):
    """What became of one picture under a setting."""

    scores: Floats
    hits: NDArray[np.bool_]
    alarms: NDArray[np.bool_]
    counted: int


def _overlaps(frame: Frame, found: DetectionArrays | None, label: int) -> _Pair:
    if found is None:
        return _Pair(frame, np.zeros(0), *np.zeros((2, 0, len(frame.boxes))))
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise RunError(
            f"picture {frame.id}: detections hold numbers that are not finite; "
            "the weights are damaged or their training diverged"
        )
    own = np.asarray(found.labels) == label
    boxes, scores = np.asarray(found.boxes, np.float64)[own], np.asarray(found.scores, np.float64)[own]
    order = np.argsort(-scores, kind="stable")[:_MOST]
    boxes, scores = boxes[order], scores[order]
    low = np.maximum(boxes[:, None, :2], frame.boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], frame.boxes[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)  # (D, G)
    areas, others = _areas(boxes)[:, None], _areas(frame.boxes)[None]
    return _Pair(frame, scores, _share(shared, areas + others - shared), _share(shared, areas + 0 * others))


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return areas


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _judged(pair: _Pair, setting: Setting, compatible: bool) -> _Result:
    """Match the detections of one picture."""
    frame = pair.frame
    counts = counting(frame, setting)
    on_ignored = (pair.inside[:, ~counts] >= _HALF).any(axis=1)
    partner = _partners(pair.union[:, counts])
    hits = partner >= 0
    alarms = ~hits & ~on_ignored
    if compatible:
        lost = hits & (np.flatnonzero(counts)[partner] == frame.first) if counts.any() else np.zeros_like(hits)
        hits, alarms = hits & ~lost, alarms | lost
    counted = 0 if compatible and not len(pair.scores) else int(counts.sum())
    return _Result(pair.scores, hits, alarms, counted)


def counting(frame: Frame, setting: Setting) -> NDArray[np.bool_]:
    """(G,) which objects of a picture count; the others are ignored."""
    high = (frame.heights >= setting.lowest) & (frame.heights <= setting.highest)
    clear = np.isin(frame.occlusions, list(setting.occlusions))
    left, top, right, bottom = frame.boxes.T
    edge = setting.margin
    whole = (left >= edge) & (top >= edge) & (right <= frame.width - edge) & (bottom <= frame.height - edge)
    counts: NDArray[np.bool_] = ~frame.ignored & high & clear & whole
    return counts


def _partners(union: Floats) -> NDArray[np.int64]:
    """(D,) column of the object that each detection finds, -1 for none; the best free one, of equal ones the last."""
    partner = np.full(len(union), -1)
    free = np.ones(union.shape[1], np.bool_)
    for row in np.flatnonzero((union >= _HALF).any(axis=1)).tolist():
        open_ = np.where(free, union[row], -1.0)
        if (best := open_.max()) >= _HALF:
            partner[row] = np.flatnonzero(open_ == best)[-1]
            free[partner[row]] = False
    return partner


def _curve(results: Iterable[_Result], compatible: bool) -> Curve:
    """Miss rates of pictures together; equal scores in the order of the pictures."""
    taken = list(results)
    counted = sum(result.counted for result in taken)
    columns: list[Any] = [np.concatenate(column) for column in list(zip(*taken, strict=True))[:3]]
    order = np.argsort(-columns[0], kind="stable")
    hits, alarms = columns[1][order], columns[2][order]
    valid = hits | alarms
    fppi = np.cumsum(alarms[valid]) / len(taken)
    if not counted:
        return Curve(None, 0, len(taken), fppi, np.ones_like(fppi))
    recall = np.cumsum(hits[valid]) / counted
    miss = 1 - recall
    return Curve(_log_average(fppi, miss, compatible), counted, len(taken), fppi, miss)


def _log_average(fppi: Floats, miss: Floats, compatible: bool) -> float:
    values = miss_at_points(fppi, miss, compatible)
    if compatible and not values.all():  # the public script has no guard: the logarithm of 0, and the mean with it
        return 0.0
    return float(np.exp(np.log(np.maximum(values, _NEARLY_NOTHING)).mean()))


def miss_at_points(fppi: Floats, miss: Floats, compatible: bool = False) -> Floats:
    """Miss rates after the last detection that has not more false alarms than each of the nine points."""
    if not len(fppi):
        return np.ones(len(POINTS))
    place = np.searchsorted(fppi, POINTS, side="right") - 1
    return miss[place] if compatible else np.where(place >= 0, miss[place], 1.0)
