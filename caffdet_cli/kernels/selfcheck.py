"""A tiny problem with a stored answer: an implementation that was just built or loaded proves itself on it."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from caffdet_cli.kernels.choice import Native

SIZES = ((3, 4), (2, 1))
POINTS = (2, 1)
SCALE = 0.5
# Sums of outputs and gradients times a fixed pattern, from the plain PyTorch form in float64.
EXPECTED = (
    0.257572,
    1.547735,
    6.681001,
    0.126528,
    0.301285,
    -0.148306,
    6.817828,
    1.69303,
    -0.050894,
    0.3877,
    0.99379,
    0.405125,
    0.096449,
    1.589259,
    -1.438879,
)


def largest_error(operators: "Native", device: torch.device) -> float:
    """Largest difference from the stored answer, in float32; NaN or infinite where results are."""
    found = torch.stack([figure.double().cpu() for figure in figures(operators, device, torch.float32)])
    return float((found - torch.tensor(EXPECTED, dtype=torch.float64)).abs().amax())


def figures(operators: "Native", device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """One figure per output and gradient of every operator."""

    def numbers(*shape: int, step: int) -> Tensor:
        """Fixed numbers between -1 and 1."""
        count = torch.Size(shape).numel()
        return ((torch.arange(count) * step % 23) / 11 - 1).reshape(shape).to(device, dtype)

    value, key = numbers(2, 14, 2, 8, step=7), numbers(2, 14, 2, 8, step=5)
    query, grad = numbers(2, 3, 2, 8, step=9), numbers(2, 3, 16, step=3)
    locations = 0.5 + 0.61 * numbers(2, 3, 2, 3, 2, step=4)
    weights, logits = 0.5 + 0.5 * numbers(2, 3, 2, 3, step=6), numbers(2, 3, 2, 3, step=2)
    boxes = 0.5 + 0.4 * numbers(2, 3, 2, 4, step=8)
    results = [
        operators.msda(value, SIZES, locations, weights, POINTS),
        *operators.msda_backward(grad, value, SIZES, locations, weights, POINTS),
        operators.msda_fused(value, SIZES, boxes, locations, logits, POINTS),
        *operators.msda_fused_backward(grad, value, SIZES, boxes, locations, logits, POINTS),
        operators.kda(query, None, value, SIZES, locations, SCALE, POINTS),
        operators.kda(query, key, value, SIZES, locations, SCALE, POINTS),
        *operators.kda_backward(grad, query, key, value, SIZES, locations, SCALE, POINTS),
    ]
    return [(each * numbers(*each.shape, step=10)).sum() for each in results if each is not None]
