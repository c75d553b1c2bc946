"""Gradients by gradcheck in float64, native and plain; double backward; the registered operators in plain PyTorch."""

import pytest
import torch
from kernels.conftest import problem
from torch import Tensor

from caffdet_cli.kernels import choice
from caffdet_cli.kernels.operators import kda, msda, msda_fused

SIZES = {1: [(4, 3)], 2: [(3, 4), (2, 2)], 5: [(5, 4), (3, 3), (2, 3), (1, 2), (1, 1)]}
CASES = [  # levels, points, channels
    (1, (1,), 1),
    (1, (3,), 3),
    (2, (2, 1), 8),
    (2, (8, 8), 30),
    (5, (1, 2, 3, 1, 2), 32),
    (5, (4, 3, 3, 3, 3), 3),
    (1, (3,), 64),
    (2, (1, 2), 71),
]


@pytest.mark.parametrize(("levels", "points", "channels"), CASES)
def test_gradients_of_msda(backend, levels, points, channels):
    given = problem(SIZES[levels], points, heads=2, channels=channels, queries=2, batch=1, seed=channels)
    inputs = [each.clone().requires_grad_() for each in (given.value, given.locations, given.weights)]

    def call(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return msda(value, given.sizes, locations, weights, points_per_level=points)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=channels > 8)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("levels", "points", "channels"), CASES)
def test_gradients_of_kda(backend, levels, points, channels, shared):
    given = problem(SIZES[levels], points, heads=2, channels=channels, queries=2, batch=1, seed=channels)
    tensors = (given.query, given.value, given.locations, *([] if shared else [given.key]))
    inputs = [each.clone().requires_grad_() for each in tensors]

    def call(query: Tensor, value: Tensor, locations: Tensor, key: Tensor | None = None) -> Tensor:
        return kda(query, value, given.sizes, locations, key=key, points_per_level=points)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=channels > 8)


@pytest.mark.parametrize("numbers", [2, 4])
@pytest.mark.parametrize(("levels", "points", "channels"), [(2, (2, 1), 8), (5, (1, 2, 3, 1, 2), 3), (1, (3,), 32)])
def test_gradients_of_the_fused_form(backend, levels, points, channels, numbers):
    given = problem(SIZES[levels], points, heads=2, channels=channels, queries=2, batch=1, seed=3)
    random = torch.Generator().manual_seed(1)
    references = 0.2 + 0.6 * torch.rand(1, 2, levels, numbers, generator=random, dtype=torch.float64)
    inputs = [
        each.clone().requires_grad_() for each in (given.value, references, given.locations - 0.31, given.weights)
    ]

    def call(*tensors: Tensor) -> Tensor:
        return msda_fused(tensors[0], given.sizes, *tensors[1:], points_per_level=points)

    assert torch.autograd.gradcheck(call, inputs, fast_mode=channels > 8)


def test_gradients_of_the_registered_operators_in_plain_pytorch(monkeypatch):
    """What torch.compile calls where no native implementation is at hand."""
    given = problem()
    with choice.implementation("reference"):
        inputs = [each.clone().requires_grad_() for each in (given.value, given.locations, given.weights)]
        flat = [side for size in given.sizes for side in size]

        def call(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
            return torch.ops.caffdet.msda(value, flat, locations, weights, given.points)

        assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


def test_a_second_backward_is_refused_natively_and_right_in_plain_pytorch(native):
    given = problem(queries=2, batch=1)
    value = given.value.clone().requires_grad_()
    found = msda(value, given.sizes, given.locations, given.weights, points_per_level=given.points)
    with pytest.raises(RuntimeError, match="msda: double backward is not supported; set CAFFDET_OPS=reference"):
        torch.autograd.grad(found.square().sum(), value, create_graph=True)
    with choice.implementation("reference"):
        found = msda(value, given.sizes, given.locations, given.weights, points_per_level=given.points)
        (first,) = torch.autograd.grad(found.square().sum(), value, create_graph=True)
        try:
            (second,) = torch.autograd.grad(first.sum(), value)
        except RuntimeError as error:
            if "derivative for aten::grid_sampler_2d_backward is not implemented" not in str(error):
                raise
            pytest.skip("this torch has no second derivative of grid_sample")
    assert second.abs().sum() > 0
