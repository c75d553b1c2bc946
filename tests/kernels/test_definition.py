"""The definition of deformable attention, against a loop that can be checked by eye; native and plain alike."""

import math

import pytest
import torch
from kernels.conftest import problem
from torch import Tensor

from caffdet_cli.kernels.operators import kda, msda, msda_fused

SIZES = [(3, 4), (2, 2)]
TOKENS = 16


def samples(value: Tensor, points: Tensor) -> Tensor:
    """(N, Q, M, L, P, 2) on `SIZES` -> (N, Q, M, L, P, D): one query, head, level and point after the other."""
    found = value.new_zeros(*points.shape[:-1], value.shape[-1])
    for place in torch.cartesian_prod(*(torch.arange(count) for count in points.shape[:-1])).tolist():
        batch, _, head, level, _ = place
        height, width = SIZES[level]
        start = sum(rows * columns for rows, columns in SIZES[:level])
        rows = value[batch, start : start + height * width, head].view(height, width, -1)
        x, y = points[tuple(place)].tolist()
        found[tuple(place)] = bilinear(rows, x * width, y * height)
    return found


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
    """Values, points of which some lie outside, and weights: N=2, Q=5, M=3, D=4, L=2, P=2."""
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(2, TOKENS, 3, 4, generator=generator, dtype=torch.float64)
    points = 0.5 + spread * (torch.rand(2, 5, 3, 2, 2, 2, generator=generator, dtype=torch.float64) - 0.5)
    weights = torch.rand(2, 5, 3, 2, 2, generator=generator, dtype=torch.float64)
    return value, points, weights


def test_msda_agrees_with_the_loop_inside_and_outside_the_levels(backend):
    value, points, weights = example()
    assert ((points < 0) | (points > 1)).any()
    expected = (samples(value, points) * weights[..., None]).sum((3, 4)).flatten(2)
    torch.testing.assert_close(msda(value, SIZES, points, weights), expected)


@pytest.mark.parametrize("shared", [True, False])
def test_kda_agrees_with_the_loop_and_points_outside_keep_their_share(backend, shared):
    value, points, _ = example()
    key, _, _ = example(seed=1)
    query = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values, keys = samples(value, points), samples(value if shared else key, points)
    assert (keys == 0).all(-1).any()  # far outside
    scores = (query[:, :, :, None, None] * keys).sum(-1) / 2  # (N, Q, M, L, P)
    shares = scores.flatten(3).softmax(-1).view_as(scores)
    expected = (values * shares[..., None]).sum((3, 4)).flatten(2)
    found = kda(query, value, SIZES, points, key=None if shared else key)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("numbers", [2, 4])
def test_fused_takes_offsets_in_pixels_around_points_and_in_half_sides_in_boxes(backend, numbers):
    value, _, _ = example()
    random = torch.Generator().manual_seed(5)
    offsets = torch.randn(2, 5, 3, 2, 2, 2, generator=random, dtype=torch.float64)
    logits = torch.randn(2, 5, 3, 2, 2, generator=random, dtype=torch.float64)
    references = torch.rand(2, 5, 2, numbers, generator=random, dtype=torch.float64)
    unit = torch.tensor([(width, height) for height, width in SIZES], dtype=torch.float64)[:, None]
    around = references[:, :, None, :, None]
    moved = offsets / unit if numbers == 2 else offsets / 2 * around[..., 2:] / 2
    expected = msda(value, SIZES, around[..., :2] + moved, logits.flatten(3).softmax(-1).view_as(logits))
    torch.testing.assert_close(msda_fused(value, SIZES, references, offsets, logits), expected)


def test_reads_a_pixel_at_its_centre_and_nothing_beyond_the_border(backend):
    value = torch.arange(1.0, 13.0).view(1, 12, 1, 1)  # one level of 3 rows and 4 columns: 1 to 12
    centres = torch.tensor([[1.5 / 4, 2.5 / 3], [-1.0, 0.5], [0.5, 1.5]]).view(1, 3, 1, 1, 1, 2)
    found = msda(value, [(3, 4)], centres, torch.ones(1, 3, 1, 1, 1))
    torch.testing.assert_close(found.flatten(), torch.tensor([10.0, 0.0, 0.0]))


def test_half_of_a_border_pixel_is_read_on_the_border(backend):
    value = torch.full((1, 12, 1, 1), 8.0)
    on_the_left_border = torch.tensor([0.0, 0.5]).view(1, 1, 1, 1, 1, 2)
    assert msda(value, [(3, 4)], on_the_left_border, torch.ones(1, 1, 1, 1, 1)).item() == pytest.approx(4.0)


def test_levels_may_have_different_numbers_of_points(backend):
    given = problem(points=(3, 1, 2))
    found = msda(given.value, given.sizes, given.locations, given.weights, points_per_level=given.points)
    torch.testing.assert_close(found, given.msda())
