"""Inputs to try the operators with, and what each must agree with."""

from dataclasses import dataclass, replace

import torch
from cuda_emulation import yardstick
from cuda_emulation.emulator import Emulator, Grid, Variant
from cuda_emulation.operators import Operators
from torch import Tensor

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
    gradient: Tensor


def case(variant: Variant, grid: Grid, *, batch: int = 2, queries: int = 5, heads: int = 3, box: bool = False) -> Case:
    """Points inside, on all borders and outside; none within a hundredth of a pixel of a kink of the gradient."""
    chance = torch.Generator().manual_seed(queries + variant.channels)
    rows, points = (batch, queries, heads, variant.channels), (batch, queries, heads, grid.points)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    references = torch.rand(batch, queries, len(grid.sizes), 4 if box else 2, generator=chance, dtype=torch.float64)
    offsets = normal(*points, 2) * (3 if box else 1)
    locations = torch.rand(*points, 2, generator=chance, dtype=torch.float64) * 1.6 - 0.3
    return Case(
        grid,
        surrounded(normal(batch, grid.tokens, heads, variant.channels).to(variant.value)),
        surrounded(normal(batch, grid.tokens, heads, variant.channels).to(variant.value)),
        normal(*rows).to(variant.value),
        off_the_kinks(grid, locations).to(variant.real),
        normal(*points).softmax(-1).to(variant.weight or variant.value),
        references.to(variant.real),
        offsets.to(variant.real),
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
    return tensor.double().requires_grad_()


def compare_msda(emulator: Emulator, variant: Variant, made: Case, backward: tuple[int, ...] = (1,)) -> None:
    operators = Operators(emulator, variant, made.grid)
    inputs = [exact(made.value), exact(made.locations), exact(made.weights)]
    expected = yardstick.msda(inputs[0], made.grid, *inputs[1:])
    assert_output(operators.msda(made.value, made.locations, made.weights), expected)
    wanted = torch.autograd.grad(expected, inputs, made.gradient.double())
    for kind in backward:
        both = replace(operators, backward=kind)
        found = both.msda_backward(made.value, made.locations, made.weights, made.gradient)
        assert_gradients(found, wanted, kind)


def compare_fused(emulator: Emulator, variant: Variant, made: Case, backward: tuple[int, ...] = (1,)) -> None:
    operators = Operators(emulator, variant, made.grid)
    given = (made.value, made.references, made.offsets, made.weights)
    value, references, offsets, logits = inputs = [exact(tensor) for tensor in given]
    locations = yardstick.fused_locations(made.grid, references, offsets)
    expected = yardstick.msda(value, made.grid, locations, logits.softmax(-1))
    assert_output(operators.msda_fused(*given), expected)
    wanted = torch.autograd.grad(expected, inputs, made.gradient.double())
    for kind in backward:
        both = replace(operators, backward=kind)
        found = both.msda_fused_backward(*given, made.gradient, of_references=True)
        assert_gradients(found, wanted, kind)
        found = both.msda_fused_backward(*given, made.gradient, of_references=False)
        assert_gradients(found, (wanted[0], *wanted[2:]), kind)


def compare_kda(emulator: Emulator, variant: Variant, made: Case, backward: tuple[int, ...] = (1,)) -> None:
    operators = Operators(emulator, variant, made.grid)
    scale = variant.channels**-0.5
    key = made.key if variant.separate_key else None
    query, value, locations = (exact(tensor) for tensor in (made.query, made.value, made.locations))
    keys = value if key is None else exact(key)
    expected = yardstick.kda(query, keys, value, made.grid, locations, scale)
    assert_output(operators.kda(made.query, key, made.value, made.locations, scale), expected)
    inputs = [query, *([] if key is None else [keys]), value, locations]
    wanted = torch.autograd.grad(expected, inputs, made.gradient.double())
    for kind in backward:
        both = replace(operators, backward=kind)
        found = both.kda_backward(made.query, key, made.value, made.locations, scale, made.gradient)
        assert_gradients(found, wanted, kind)


def assert_output(found: Tensor, expected: Tensor) -> None:
    expected = expected.detach()
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


def assert_gradients(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...], kind: int) -> None:
    """Each to a share of its largest number; integers of 64 bits hold a float64 gradient less exactly."""
    assert len(found) == len(wanted)
    for mine, other in zip(found, wanted, strict=True):
        limit = 1e-5 if mine.dtype == torch.float32 else 1e-12 if kind == 1 else 1e-9
        assert mine.shape == other.shape
        assert (mine.double() - other).abs().max() <= limit * other.abs().max()
