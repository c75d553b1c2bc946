"""Trials of the operators on this machine: native against the definition, in double and in float, and gradients.

Sizes, numbers of channels and limits are those of the test script of the published operator (Deformable-DETR,
models/ops/test.py): one picture, levels of 6x4 and 3x2, two heads, two queries, two points.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from caffdet_cli.kernels import choice, operators, reference

CHANNELS = (30, 32, 64, 71, 1025, 2048, 3096)
SIZES = ((6, 4), (3, 2))
POINTS = (2, 2)
_HEADS, _QUERIES = 2, 2


class Trial(NamedTuple):
    """What was tried, and how it came out."""

    name: str
    error: float | None  # largest difference; None: gradients were compared by gradcheck
    passed: bool


def trials(device: torch.device) -> Iterator[Trial]:
    """Everything on one device, one after the other."""
    for dtype, limit in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        word = str(dtype).removeprefix("torch.")
        given = _inputs(2, device, dtype)
        yield _forward("msda", word, operators.msda(*given.msda()), reference.msda(*given.plain()), limit)
        yield _forward("kda", word, operators.kda(*given.kda()), reference.kda(*given.plain_kda()), limit)
    for channels in CHANNELS:
        given = _inputs(channels, device, torch.float64)
        yield Trial(f"msda gradients, {channels} channels", None, _gradients(given, key_aware=False))
        yield Trial(f"kda gradients, {channels} channels", None, _gradients(given, key_aware=True))


def implementation_of(device: torch.device) -> str:
    """What `trials` tries: the native implementation, or that there is none."""
    found = choice.look(device)
    if choice.mode() == "reference":
        return "plain PyTorch (CAFFDET_OPS=reference)"
    return found.native.about if found.native else f"plain PyTorch ({found.reason})"


class _Given(NamedTuple):
    query: Tensor
    value: Tensor
    locations: Tensor
    weights: Tensor

    def msda(self) -> tuple[Tensor, tuple[tuple[int, int], ...], Tensor, Tensor]:
        return self.value, SIZES, self.locations, self.weights

    def plain(self) -> tuple[Tensor, tuple[tuple[int, int], ...], Tensor, Tensor, tuple[int, ...]]:
        return *self.msda(), POINTS

    def kda(self) -> tuple[Tensor, Tensor, tuple[tuple[int, int], ...], Tensor]:
        return self.query, self.value, SIZES, self.locations

    def plain_kda(
        self,
    ) -> tuple[Tensor, None, Tensor, tuple[tuple[int, int], ...], Tensor, float, tuple[int, ...]]:
        return self.query, None, self.value, SIZES, self.locations, float(self.value.shape[-1]) ** -0.5, POINTS


def _inputs(channels: int, device: torch.device, dtype: torch.dtype) -> _Given:
    random = torch.Generator().manual_seed(3)
    tokens, count = sum(height * width for height, width in SIZES), sum(POINTS)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random, dtype=torch.float64)

    weights = draw(1, _QUERIES, _HEADS, count) + 1e-5
    drawn = (
        draw(1, _QUERIES, _HEADS, channels),
        draw(1, tokens, _HEADS, channels) * 0.01,
        draw(1, _QUERIES, _HEADS, count, 2),
        weights / weights.sum(-1, keepdim=True),
    )
    return _Given(*(each.to(device, dtype) for each in drawn))


def _forward(op: str, dtype: str, found: Tensor, expected: Tensor, limit: float) -> Trial:
    error = float((found - expected).abs().max())
    return Trial(f"{op} forward, {dtype}", error, error <= limit * max(1.0, float(expected.abs().max())))


def _gradients(given: _Given, *, key_aware: bool) -> bool:
    inputs = given.kda() if key_aware else given.msda()
    tensors = [each.clone().requires_grad_() for each in inputs if isinstance(each, Tensor)]

    def call(*moved: Tensor) -> Tensor:
        left = iter(moved)
        full = [next(left) if isinstance(each, Tensor) else each for each in inputs]
        return (operators.kda if key_aware else operators.msda)(*full)  # type: ignore[arg-type]

    return bool(
        torch.autograd.gradcheck(
            call, tensors, fast_mode=True, raise_exception=False, atol=1e-6, rtol=1e-3, nondet_tol=1e-6
        )
    )
