"""The definition of deformable attention, against a loop that can be checked by eye."""

import math

import pytest
import torch
from torch import Tensor

from caffdet_cli.kernels.msda import msda

SIZES = [(3, 4), (2, 2)]
TOKENS = 16


def by_loop(value: Tensor, sizes: list[tuple[int, int]], points: Tensor, weights: Tensor) -> Tensor:
    """One query, head, level and point after the other."""
    batch, queries, heads, _, count, _ = points.shape
    output = torch.zeros(batch, queries, heads, value.shape[-1], dtype=value.dtype)
    for b in range(batch):
        for q in range(queries):
            for m in range(heads):
                start = 0
                for level, (height, width) in enumerate(sizes):
                    rows = value[b, start : start + height * width, m].view(height, width, -1)
                    start += height * width
                    for p in range(count):
                        x, y = points[b, q, m, level, p].tolist()
                        output[b, q, m] += weights[b, q, m, level, p] * bilinear(rows, x * width, y * height)
    return output.flatten(2)


def bilinear(rows: Tensor, x: float, y: float) -> Tensor:
    """Value at the point x, y in pixels; pixel 0 has its centre at 0.5, and outside everything is 0."""
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    found = torch.zeros(rows.shape[-1], dtype=rows.dtype)
    for row in (top, top + 1):
        for column in (left, left + 1):
            share = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
            if 0 <= row < rows.shape[0] and 0 <= column < rows.shape[1]:
                found = found + share * rows[row, column]
    return found


def example(seed: int = 0, spread: float = 1.6) -> tuple[Tensor, Tensor, Tensor]:
    """Values, points of which some lie outside, and weights: B=2, Q=5, M=3, D=4, L=2, P=2."""
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(2, TOKENS, 3, 4, generator=generator, dtype=torch.float64)
    points = 0.5 + spread * (torch.rand(2, 5, 3, 2, 2, 2, generator=generator, dtype=torch.float64) - 0.5)
    weights = torch.rand(2, 5, 3, 2, 2, generator=generator, dtype=torch.float64)
    return value, points, weights


def test_agrees_with_the_loop_inside_and_outside_the_levels():
    value, points, weights = example()
    assert ((points < 0) | (points > 1)).any()
    torch.testing.assert_close(msda(value, SIZES, points, weights), by_loop(value, SIZES, points, weights))


def test_reads_a_pixel_at_its_centre_and_nothing_beyond_the_border():
    value = torch.arange(1.0, 13.0).view(1, 12, 1, 1)  # one level of 3 rows and 4 columns: 1 to 12
    centres = torch.tensor([[1.5 / 4, 2.5 / 3], [-1.0, 0.5], [0.5, 1.5]]).view(1, 3, 1, 1, 1, 2)
    found = msda(value, [(3, 4)], centres, torch.ones(1, 3, 1, 1, 1))
    torch.testing.assert_close(found.flatten(), torch.tensor([10.0, 0.0, 0.0]))


def test_half_of_a_border_pixel_is_read_on_the_border():
    value = torch.full((1, 12, 1, 1), 8.0)
    on_the_left_border = torch.tensor([0.0, 0.5]).view(1, 1, 1, 1, 1, 2)
    assert msda(value, [(3, 4)], on_the_left_border, torch.ones(1, 1, 1, 1, 1)).item() == pytest.approx(4.0)


def test_gradients_of_values_points_and_weights_are_right():
    value, points, weights = (each.requires_grad_() for each in example(seed=3))
    assert torch.autograd.gradcheck(lambda *inputs: msda(inputs[0], SIZES, *inputs[1:]), (value, points, weights))


def test_keeps_a_half_type_and_accumulates_in_float32():
    value, points, weights = (each.float() for each in example(spread=0.9))
    exact = msda(value.bfloat16().float(), SIZES, points, weights)
    found = msda(value.bfloat16(), SIZES, points, weights)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, exact.bfloat16())


def test_sizes_that_do_not_add_up_are_refused():
    value, points, weights = example()
    with pytest.raises(ValueError, match="have 15 tokens, value has 16"):
        msda(value, [(3, 4), (1, 3)], points, weights)
