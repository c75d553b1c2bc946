"""Inputs to try the operators with, and what each must agree with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from cuda_emulation import yardstick
from cuda_emulation.yardstick import Grid
from torch import Tensor

from caffdet_cli.kernels.choice import Native
from caffdet_cli.kernels.cuda import Variant
from caffdet_cli.kernels.reference import accumulator

# Odd sizes, one pixel, one row; with a different number of points on each level.
RAGGED = Grid(sizes=((5, 7), (1, 1), (1, 6), (3, 2)), counts=(3, 1, 5, 2))
EVEN = Grid(sizes=((6, 9), (4, 5)), counts=(4, 4))
LONG = Grid(sizes=((9, 4),), counts=(70,))


@dataclass(frozen=True)
class Case:
    """Tensors in the types the kernels take; `value` and `key` lie inside larger tensors filled with NaN."""

    grid: Grid
    value: Tensor
    key: Tensor
    query: Tensor
    locations: Tensor
    weights: Tensor
    references: Tensor
    offsets: Tensor
    gradient: Tensor  # (N, Q, M, D)

    def msda(self, operators: Native) -> Tensor:
        return operators.msda(self.value, self.grid.sizes, self.locations, self.weights, self.grid.counts)

    def msda_backward(self, operators: Native) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of value, locations and weights."""
        given = (self.gradient.flatten(2), self.value, self.grid.sizes, self.locations, self.weights)
        return operators.msda_backward(*given, self.grid.counts)

    def fused(self, operators: Native) -> Tensor:
        given = (self.value, self.grid.sizes, self.references, self.offsets, self.weights)
        return operators.msda_fused(*given, self.grid.counts)

    def fused_backward(self, operators: Native) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of value, references, offsets and logits."""
        given = (self.gradient.flatten(2), self.value, self.grid.sizes, self.references, self.offsets, self.weights)
        return operators.msda_fused_backward(*given, self.grid.counts)

    def kda(self, operators: Native, *, shared: bool, scale: float = 1.0) -> Tensor:
        key = None if shared else self.key
        given = (self.query, key, self.value, self.grid.sizes, self.locations)
        return operators.kda(*given, scale, self.grid.counts)

    def kda_backward(self, operators: Native, *, shared: bool, scale: float = 1.0) -> tuple[Tensor, ...]:
        """Gradients of query, key (where it is not the value), value and locations."""
        key = None if shared else self.key
        given = (self.gradient.flatten(2), self.query, key, self.value, self.grid.sizes, self.locations)
        found = operators.kda_backward(*given, scale, self.grid.counts)
        assert (found[1] is None) == shared
        return tuple(each for each in found if each is not None)


@contextmanager
def sums(kind: int) -> Iterator[None]:
    """1: of floats. 2: of integers, as torch's deterministic mode asks for; it fills fresh memory with NaN as well."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(kind == 2)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def case(variant: Variant, grid: Grid, *, batch: int = 2, queries: int = 5, heads: int = 3, box: bool = False) -> Case:
    """Points inside, on all borders and outside; none within a hundredth of a pixel of a kink of the gradient."""
    chance = torch.Generator().manual_seed(queries + variant.channels)
    rows, points = (batch, queries, heads, variant.channels), (batch, queries, heads, grid.points)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    real = torch.promote_types(variant.value, torch.float32)
    references = torch.rand(batch, queries, len(grid.sizes), 4 if box else 2, generator=chance, dtype=torch.float64)
    offsets = normal(*points, 2) * (3 if box else 1)
    locations = torch.rand(*points, 2, generator=chance, dtype=torch.float64) * 1.6 - 0.3
    return Case(
        grid,
        surrounded(normal(batch, grid.tokens, heads, variant.channels).to(variant.value)),
        surrounded(normal(batch, grid.tokens, heads, variant.channels).to(variant.value)),
        normal(*rows).to(variant.value),
        off_the_kinks(grid, locations).to(real),
        normal(*points).softmax(-1).to(variant.weight),
        references.to(real),
        offsets.to(real),
        normal(*rows).to(variant.value),
    )


def surrounded(maps: Tensor) -> Tensor:
    """The same numbers as a part of a larger tensor of NaN, so that reading past a map shows."""
    batch, tokens, heads, channels = maps.shape
    width = -(-channels // 16) * 16
    whole = torch.full((batch + 2, tokens + 12, heads + 1, width), torch.nan, dtype=maps.dtype)
    inner = whole[1:-1, 6:-6, :heads, :channels]
    inner.copy_(maps)
    return inner


def off_the_kinks(grid: Grid, locations: Tensor) -> Tensor:
    """Moves each point that lies close to a pixel's row or column by 0.05 pixels."""
    size = torch.cat(
        [
            locations.new_tensor([width, height]).expand(count, 2)
            for (height, width), count in zip(grid.sizes, grid.counts, strict=True)
        ]
    )
    part = (locations * size - 0.5) % 1
    return torch.where((part < 0.01) | (part > 0.99), locations + 0.05 / size, locations)


def exact(tensor: Tensor) -> Tensor:
    return tensor.detach().double().requires_grad_()


def compare_msda(operators: Native, made: Case, kinds: tuple[int, ...] = (1,)) -> None:
    inputs = [exact(made.value), exact(made.locations), exact(made.weights)]
    expected = yardstick.msda(inputs[0], made.grid, *inputs[1:])
    wanted = torch.autograd.grad(expected, inputs, made.gradient.double())
    for kind in kinds:
        with sums(kind):
            assert_output(made.msda(operators), expected, made.value.dtype)
            assert_gradients(
                made.msda_backward(operators), wanted, inputs_of=(made.value, made.locations, made.weights)
            )


def compare_fused(operators: Native, made: Case, kinds: tuple[int, ...] = (1,)) -> None:
    given = (made.value, made.references, made.offsets, made.weights)
    value, references, offsets, logits = inputs = [exact(tensor) for tensor in given]
    locations = yardstick.fused_locations(made.grid, references, offsets)
    expected = yardstick.msda(value, made.grid, locations, logits.softmax(-1))
    wanted = torch.autograd.grad(expected, inputs, made.gradient.double())
    for kind in kinds:
        with sums(kind):
            assert_output(made.fused(operators), expected, made.value.dtype)
            assert_gradients(made.fused_backward(operators), wanted, inputs_of=given)


def compare_kda(operators: Native, made: Case, kinds: tuple[int, ...] = (1,), *, shared: bool) -> None:
    scale = made.value.shape[-1] ** -0.5
    query, value, locations = (exact(tensor) for tensor in (made.query, made.value, made.locations))
    key = value if shared else exact(made.key)
    expected = yardstick.kda(query, key, value, made.grid, locations, scale)
    inputs = [query, *([] if shared else [key]), value, locations]
    given = (made.query, *([] if shared else [made.key]), made.value, made.locations)
    wanted = torch.autograd.grad(expected, inputs, made.gradient.double())
    for kind in kinds:
        with sums(kind):
            assert_output(made.kda(operators, shared=shared, scale=scale), expected, made.value.dtype)
            found = made.kda_backward(operators, shared=shared, scale=scale)
            assert_gradients(found, wanted, inputs_of=given)


def assert_output(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    expected = expected.detach().flatten(2)
    assert found.dtype == dtype
    assert found.shape == expected.shape
    if found.dtype.itemsize > 2:
        torch.testing.assert_close(
            found.double(), expected, rtol=0, atol=1e-12 if found.dtype == torch.float64 else 3e-5
        )
        return
    # In units of the last bit: neighbouring numbers of a half type have neighbouring bits.
    steps = [torch.where(bits < 0, -(bits & 0x7FFF), bits) for bits in as_bits(found, expected.to(found.dtype))]
    away = (steps[0] - steps[1]).abs()
    assert away.max() <= 2
    assert (away > 1).sum() <= max(1, away.numel() // 1000)


def as_bits(*tensors: Tensor) -> list[Tensor]:
    return [tensor.view(torch.int16).int() for tensor in tensors]


def assert_gradients(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...], *, inputs_of: tuple[Tensor, ...]) -> None:
    """Each to a share of its largest number, and a half type to its own last bit.

    Integers of 64 bits hold a float64 gradient less exactly.
    """
    exactly = torch.are_deterministic_algorithms_enabled()
    for mine, other, given in zip(found, wanted, inputs_of, strict=True):
        limit = 1e-5 if accumulator(given) == torch.float32 else 1e-9 if exactly else 1e-12
        last_bit = torch.finfo(given.dtype).eps if given.dtype.itemsize == 2 else 0
        assert mine.dtype == given.dtype
        assert mine.shape == other.shape
        assert ((mine.double() - other).abs() <= limit * other.abs().max() + last_bit * other.abs()).all()
