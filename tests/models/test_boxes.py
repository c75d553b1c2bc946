"""Boxes: forms, overlaps of any boxes, and the logit with its cut-off."""

import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou, generalized_box_iou

from caffdet_cli.models.boxes import area, centre_to_corners, corners_to_centre, inverse_sigmoid, overlaps

numbers = st.floats(-2, 2, width=32, allow_nan=False)
any_boxes = arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(4)), elements=numbers).map(torch.from_numpy)


def proper(count: int, seed: int) -> torch.Tensor:
    """Corner boxes with area."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator)
    return torch.cat([low, low + 0.05 + torch.rand(count, 2, generator=generator)], dim=1)


@given(any_boxes)
def test_both_forms_lead_back(boxes):
    torch.testing.assert_close(corners_to_centre(centre_to_corners(boxes)), boxes, atol=1e-6, rtol=0)


@given(any_boxes, any_boxes)
def test_overlaps_are_bounded_even_for_inverted_and_empty_boxes(first, second):
    iou, giou = overlaps(first[:, None], second[None])
    assert iou.shape == giou.shape == (len(first), len(second))
    assert ((iou >= 0) & (iou <= 1 + 1e-5)).all()
    assert ((giou >= -1 - 1e-5) & (giou <= iou + 1e-5)).all()


@given(any_boxes, any_boxes)
def test_overlaps_do_not_depend_on_the_order_of_the_two(first, second):
    one, other = overlaps(first[:, None], second[None]), overlaps(second[:, None], first[None])
    for each, turned in zip(one, other, strict=True):
        torch.testing.assert_close(each, turned.T, atol=1e-6, rtol=0)


def test_overlaps_agree_with_torchvision():
    first, second = proper(6, seed=0), proper(5, seed=1)
    iou, giou = overlaps(first[:, None], second[None], eps=0)
    torch.testing.assert_close(iou, box_iou(first, second))
    torch.testing.assert_close(giou, generalized_box_iou(first, second))


def test_the_published_eps_is_visible_at_small_boxes():
    tiny = torch.tensor([0.5, 0.5, 0.501, 0.501])  # area 1e-6
    assert overlaps(tiny, tiny)[0].item() == pytest.approx(0.5, abs=1e-3)


def test_an_inverted_box_has_no_area():
    assert area(torch.tensor([0.6, 0.1]), torch.tensor([0.2, 0.9])) == 0


@given(st.floats(-1, 2, width=32), st.sampled_from([1e-3, 1e-5]))
def test_the_logit_is_finite_and_exact_between_its_cut_offs(share, eps):
    logit = inverse_sigmoid(torch.tensor(share, dtype=torch.float64), eps)
    assert abs(logit) <= -math.log(eps) + 1e-9
    if eps <= share <= 1 - eps:
        assert logit.sigmoid().item() == pytest.approx(share, abs=1e-12)


def test_the_published_cut_off_of_the_logit():
    expected = [math.log(1e-3), 0.0, math.log(1e3)]
    torch.testing.assert_close(inverse_sigmoid(torch.tensor([0.0, 0.5, 1.0])), torch.tensor(expected))
