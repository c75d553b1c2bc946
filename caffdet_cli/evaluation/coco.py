"""COCO average precision and recall of boxes or masks.

Matching and curves are pycocotools' own code, or faster-coco-eval's; here they get their data in the form in which
their numbers are right:

- objects, classes and pictures are numbered from 1, because pycocotools takes a match to annotation id 0 for none;
- pictures come in the order of their ids and detections in the order given, which decides between equal scores.

Shapes: T IoU thresholds, R recall points, K classes, A ranges of object area, M limits of detections per picture.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import cocoeval

from caffdet_cli.data.annotations import AnnotationSet, Example, Objects
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.errors import DatasetError, RunError
from caffdet_cli.evaluation.engines import Engine, Judge, Kind, Records, Size, choose_engine
from caffdet_cli.evaluation.fast_coco import FastJudge
from caffdet_cli.progress import Progress

if TYPE_CHECKING:
    from caffdet_cli.evaluation.masks import Masks

_IOU50, _IOU75 = 0, 5  # places in T: 0.50, 0.55, ..., 0.95
_ALL, _SMALL, _MEDIUM, _LARGE = range(4)  # places in A: divided at 32 * 32 and 96 * 96 pixels
_BEST1, _BEST10, _BEST100 = range(3)  # places in M


class ClassScore(NamedTuple):
    """Average precision of one class, 0..1; -1 without an object of it."""

    ap: float
    ap50: float


@dataclass(frozen=True)
class CocoReport:
    """The figures of one evaluation, 0..1; -1 where there is no object to find."""

    ap: float  # mean over IoU 0.50, 0.55, ..., 0.95
    ap50: float
    ap75: float
    ap_small: float  # objects of less than 32 * 32 pixels
    ap_medium: float
    ap_large: float  # objects of more than 96 * 96 pixels
    ar1: float  # recall with the best detection of each class and picture
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_class: Mapping[str, ClassScore]  # in the order of the data set's classes
    images: int

    @property
    def numbers(self) -> dict[str, float]:
        """The twelve under the names that COCO has for them."""
        return {name: getattr(self, field) for name, field in NUMBERS.items()}


NUMBERS = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "APs": "ap_small",
    "APm": "ap_medium",
    "APl": "ap_large",
    "AR1": "ar1",
    "AR10": "ar10",
    "AR100": "ar100",
    "ARs": "ar_small",
    "ARm": "ar_medium",
    "ARl": "ar_large",
}


def evaluate_coco(
    truth: AnnotationSet,
    found: Mapping[int | str, DetectionArrays],
    progress: Progress | None = None,
    *,
    masks: "tuple[Masks, Masks] | None" = None,
    engine: Engine | None = None,
) -> CocoReport:
    """Score detections against annotations.

    Args:
        truth: the annotations; crowd regions are neither found nor missed.
        found: detections of a picture under its id, in any order; a picture that is not in it has none.
            Of a class and picture the best 100 count.
        masks: of the objects and of the detections, in their order; then masks are matched instead of boxes.
        engine: None: the fastest that is installed.

    Raises:
        ConfigError: the engine is not installed.
        DatasetError: detections of a picture that `truth` does not have.
        RunError: boxes or scores that are not finite, as a model with damaged weights gives them.
    """
    if strangers := found.keys() - {example.id for example in truth.examples}:
        raise DatasetError(
            f"detections of picture {min(strangers, key=_order)!r}, which {truth.source} does not have; "
            "give the annotations that belong to the detections"
        )
    examples = sorted(truth.examples, key=lambda example: _order(example.id))
    kind: Kind = "segm" if masks else "bbox"
    judge = _judge(choose_engine(engine), len(examples), len(truth.categories), kind)
    steps = (progress or Progress()).track(examples, "scoring", total=len(examples))
    for position, example in enumerate(steps):
        objects, detections = _objects(example.objects), _detections(example, found.get(example.id))
        if masks:
            _add_masks(objects, masks[0].get(example.id, []))
            _add_masks(detections, masks[1].get(example.id, []))
        _check_labels(objects, detections, len(truth.categories))
        judge.add(position, (example.height, example.width), objects, detections)
    return _report(truth, *judge.curves())


def _judge(engine: Engine, pictures: int, classes: int, kind: Kind) -> Judge:
    return FastJudge(pictures, classes, kind) if engine == "faster-coco-eval" else _Judge(pictures, classes, kind)


def _check_labels(objects: Records, detections: Records, classes: int) -> None:
    for label in objects.keys() | detections.keys():
        if not 0 <= label < classes:
            raise ValueError(f"label {label} is no position in a list of {classes} classes")


def _order(picture: int | str) -> tuple[bool, int | str]:
    """Numbers before words."""
    return isinstance(picture, str), picture


def _objects(objects: Objects) -> Records:
    """The annotated objects of one picture."""
    records: Records = {}
    columns = (objects.labels.tolist(), _xywh(objects.boxes), objects.areas.tolist(), objects.crowd.tolist())
    for number, (label, bbox, area, crowd) in enumerate(zip(*columns, strict=True), start=1):
        record = {"id": number, "bbox": bbox, "area": area, "iscrowd": int(crowd), "ignore": int(crowd)}
        records.setdefault(label, []).append(record)
    return records


def _detections(example: Example, found: DetectionArrays | None) -> Records:
    """The detections of one picture."""
    records: Records = {}
    if found is None:
        return records
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise RunError(
            f"picture {example.name}: detections hold numbers that are not finite; "
            "the weights are damaged or their training diverged"
        )
    columns = (found.labels.tolist(), _xywh(found.boxes), np.asarray(found.scores, np.float64).tolist())
    for number, (label, bbox, score) in enumerate(zip(*columns, strict=True), start=1):
        record = {"id": number, "bbox": bbox, "area": bbox[2] * bbox[3], "score": score}
        records.setdefault(label, []).append(record)
    return records


def _add_masks(records: Records, masks: list[dict[str, Any]]) -> None:
    """Areas stay those of the file or of the box, as in pycocotools."""
    for own in records.values():
        for record in own:
            record["segmentation"] = masks[record["id"] - 1]


def _xywh(boxes: NDArray[Any]) -> list[list[float]]:
    """Corner boxes (n, 4) as left, top, width, height; an inverted side has length 0."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    found: list[list[float]] = np.concatenate([corners[:, :2], sides], axis=1).tolist()
    return found


def _silent(method: Any) -> Callable[..., Any]:
    """The same code with a `print` of its own: pycocotools writes to standard output and cannot be told not to."""
    silence = {"print": lambda *words: None}
    return FunctionType(method.__code__, {**method.__globals__, **silence}, method.__name__, method.__defaults__)


class _Judge(cocoeval.COCOeval):  # type: ignore[misc]  # pycocotools has no types
    """pycocotools' evaluation, fed picture by picture; pictures and classes are numbered from 1."""

    accumulate = _silent(cocoeval.COCOeval.accumulate)

    def __init__(self, pictures: int, classes: int, kind: Kind):
        super().__init__(iouType=kind)
        self.params.imgIds = list(range(1, pictures + 1))
        self.params.catIds = list(range(1, classes + 1))
        self._paramsEval = self.params
        self.evalImgs = [None] * (classes * len(self.params.areaRng) * pictures)  # ordered as (K, A, picture)

    def add(self, position: int, size: Size, objects: Records, detections: Records) -> None:
        """Match the detections of the picture at `position` with its objects."""
        picture, limit = position + 1, self.params.maxDets[-1]
        for label in objects.keys() | detections.keys():
            cell = picture, label + 1
            self._gts[cell], self._dts[cell] = objects.get(label, []), detections.get(label, [])
            self.ious[cell] = self.computeIoU(*cell)
            for place, area in zip(self._places(position, label), self.params.areaRng, strict=True):
                self.evalImgs[place] = self.evaluateImg(*cell, area, limit)
            del self._gts[cell], self._dts[cell], self.ious[cell]  # the records of a large set need gigabytes

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Precision (T, R, K, A, M) and recall (T, K, A, M); -1 where a class has no object."""
        self.accumulate()
        return self.eval["precision"], self.eval["recall"]

    def _places(self, position: int, label: int) -> Iterator[int]:
        """Where `evalImgs` has the results of one picture and class, one for each range of area."""
        areas, pictures = len(self.params.areaRng), len(self.params.imgIds)
        return ((label * areas + area) * pictures + position for area in range(areas))


def _report(truth: AnnotationSet, precision: NDArray[np.float64], recall: NDArray[np.float64]) -> CocoReport:
    best = precision[..., _BEST100]  # (T, R, K, A)
    return CocoReport(
        ap=_mean(best[..., _ALL]),
        ap50=_mean(best[_IOU50, ..., _ALL]),
        ap75=_mean(best[_IOU75, ..., _ALL]),
        ap_small=_mean(best[..., _SMALL]),
        ap_medium=_mean(best[..., _MEDIUM]),
        ap_large=_mean(best[..., _LARGE]),
        ar1=_mean(recall[..., _ALL, _BEST1]),
        ar10=_mean(recall[..., _ALL, _BEST10]),
        ar100=_mean(recall[..., _ALL, _BEST100]),
        ar_small=_mean(recall[..., _SMALL, _BEST100]),
        ar_medium=_mean(recall[..., _MEDIUM, _BEST100]),
        ar_large=_mean(recall[..., _LARGE, _BEST100]),
        per_class={
            category.name: ClassScore(_mean(best[:, :, label, _ALL]), _mean(best[_IOU50, :, label, _ALL]))
            for label, category in enumerate(truth.categories)
        },
        images=len(truth.examples),
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of what is defined; -1 if nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
