"""Logits and boxes to detections."""

import torch

from caffdet_cli.models.postprocess import best_detections

SIZES = torch.tensor([[100, 200]])  # height, width


def detections(logits: list[list[float]], boxes: list[list[float]], count: int, nms_iou: float | None = None):
    return best_detections(torch.tensor([logits]), torch.tensor([boxes]), SIZES, count, nms_iou)[0]


def test_the_best_pairs_of_query_and_class_in_pixels():
    found = detections([[2.0, -3.0], [1.0, 3.0]], [[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.1, 0.2]], count=3)
    assert found.labels.tolist() == [1, 0, 0]  # the second query gives two classes
    torch.testing.assert_close(found.scores, torch.tensor([3.0, 2.0, 1.0]).sigmoid())
    second, first = [40.0, 40.0, 60.0, 60.0], [80.0, 30.0, 120.0, 70.0]
    torch.testing.assert_close(found.boxes, torch.tensor([second, first, second]))


def test_there_are_no_more_detections_than_pairs():
    assert len(detections([[1.0, 2.0]], [[0.5, 0.5, 0.2, 0.2]], count=300).scores) == 2


def test_boxes_are_not_cut_off_at_the_border():
    assert detections([[1.0]], [[0.0, 0.0, 0.2, 0.2]], count=1).boxes.tolist() == [[-20.0, -10.0, 20.0, 10.0]]


def test_suppression_drops_boxes_of_any_class_that_overlap_a_better_one():
    boxes = [[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.21], [0.1, 0.1, 0.1, 0.1]]
    found = detections([[3.0, -9.0], [-9.0, 2.0], [1.0, -9.0]], boxes, count=3, nms_iou=0.5)
    torch.testing.assert_close(found.scores, torch.tensor([3.0, 1.0]).sigmoid())


def test_logits_of_half_precision_give_scores_in_float32():
    logits, boxes = torch.zeros(1, 2, 1, dtype=torch.bfloat16), torch.full((1, 2, 4), 0.5, dtype=torch.bfloat16)
    (found,) = best_detections(logits, boxes, SIZES, 2)
    assert found.scores.dtype == found.boxes.dtype == torch.float32
