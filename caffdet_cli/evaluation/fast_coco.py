"""COCO curves by faster-coco-eval, whose matching is compiled; it wants the whole data set at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.evaluation.engines import Kind, Records, Size

_THRESHOLDS, _RECALLS, _AREAS, _LIMITS = 10, 101, 4, 3


class FastJudge:
    """Collects pictures; pictures, classes, objects and detections are numbered from 1."""

    def __init__(self, pictures: int, classes: int, kind: Kind):
        self._kind = kind
        self._pictures = pictures
        self._classes = classes
        self._images: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._detections: list[dict[str, Any]] = []

    def add(self, position: int, size: Size, objects: Records, detections: Records) -> None:
        self._images.append({"id": position + 1, "height": size[0], "width": size[1]})
        for goal, records in ((self._objects, objects), (self._detections, detections)):
            for label, own in records.items():
                for record in own:
                    place = {"id": len(goal) + 1, "image_id": position + 1, "category_id": label + 1}
                    goal.append({"iscrowd": 0, **record, **place})

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if not self._pictures or not self._classes:  # it has no answer to that
            shape = (_THRESHOLDS, _RECALLS, self._classes, _AREAS, _LIMITS)
            return np.full(shape, -1.0), np.full((shape[0], *shape[2:]), -1.0)
        from faster_coco_eval.core.faster_eval_api import COCOeval_faster

        truth, found = self._index(self._objects), self._index(self._detections)
        judge = COCOeval_faster(truth, found, self._kind, print_function=_silent)
        judge.params.imgIds = list(range(1, self._pictures + 1))
        judge.params.catIds = list(range(1, self._classes + 1))
        judge.evaluate()
        judge.accumulate()
        return np.asarray(judge.eval["precision"], np.float64), np.asarray(judge.eval["recall"], np.float64)

    def _index(self, annotations: list[dict[str, Any]]) -> Any:
        from faster_coco_eval.core.coco import COCO

        index = COCO(print_function=_silent)
        classes = [{"id": label + 1, "name": str(label)} for label in range(self._classes)]
        index.dataset = {"images": self._images, "annotations": annotations, "categories": classes}
        index.createIndex()
        return index


def _silent(*_: object) -> None:
    """It tells its times otherwise."""
