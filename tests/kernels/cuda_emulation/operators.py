"""The operators of ops/cuda as functions of tensors, run by the emulator: what a caller has to do around each launch.

Every buffer that a kernel writes lies between two guards; a kernel that writes past its end is caught.
"""

from collections.abc import Sequence
from ctypes import c_double
from dataclasses import dataclass

import torch
from cuda_emulation.emulator import FIXED_POINT_BYTES, Argument, Emulator, Grid, Variant, ints, longs, number
from torch import Tensor

GUARD = 64
Scaling = tuple[str, Sequence[Argument]]  # which rule of fixed_point.cu, and what it needs to know


class Guarded:
    """A buffer with known bytes before and after it."""

    def __init__(self, shape: tuple[int, ...], kind: torch.dtype, fill: float):
        count = torch.Size(shape).numel()
        self.whole = torch.full((count + 2 * GUARD,), 77, dtype=kind)
        self.tensor = self.whole[GUARD : GUARD + count].view(shape).fill_(fill)

    def checked(self) -> Tensor:
        guards = torch.cat([self.whole[:GUARD], self.whole[len(self.whole) - GUARD :]])
        assert (guards == 77).all(), "written outside the buffer"
        return self.tensor


@dataclass(frozen=True)
class Operators:
    """`backward`: 1 adds floats, 2 adds integers. `seed` shuffles the order of the blocks."""

    emulator: Emulator
    variant: Variant
    grid: Grid
    backward: int = 1
    seed: int = 0

    def msda(self, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return self._forward("msda", value, [value, locations, weights], locations, [])

    def msda_fused(self, value: Tensor, references: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        sizes = ints(len(self.grid.sizes), references.shape[-1])
        return self._forward("msda_fused", value, [value, references, offsets, logits], offsets, sizes)

    def kda(self, query: Tensor, key: Tensor | None, value: Tensor, locations: Tensor, scale: float) -> Tensor:
        batch, queries, heads = locations.shape[:3]
        output = Guarded((batch, queries, heads, self.variant.channels), self.variant.value, torch.nan)
        arguments = [query, key, value, locations, output.tensor, number(scale, self.variant.real)]
        sizes = ints(queries, heads, self.grid.points)
        self._run("kda", 0, locations, [*arguments, *both_strides(key, value), *sizes, self.grid.table()])
        return output.checked()

    def msda_backward(self, value: Tensor, locations: Tensor, weights: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
        """Gradients of value, locations and weights."""
        fixed = self._fixed([(gradient, "value"), (weights, "weight")], self._scale_msda(locations, shares=0))
        values = self._map_gradient(value)
        places, shares = self._result(locations.shape), self._result(locations.shape[:-1])
        pointers = [value, locations, weights, gradient, values.tensor, places.tensor, shares.tensor, fixed]
        sizes = ints(self.grid.tokens, *locations.shape[1:3], self.grid.points)
        self._run("msda", self.backward, locations, [*pointers, *strides(value), *sizes, self.grid.table()])
        return self._real(values, fixed, 0), places.checked(), shares.checked()

    def msda_fused_backward(
        self, value: Tensor, references: Tensor, offsets: Tensor, logits: Tensor, gradient: Tensor, of_references: bool
    ) -> tuple[Tensor, ...]:
        """Gradients of value, references (if wanted), offsets and logits."""
        fixed = self._fixed([(gradient, "value")], self._scale_msda(offsets, shares=1))
        values = self._map_gradient(value)
        moves, shares = self._result(offsets.shape), self._result(logits.shape)
        batch, queries, heads = offsets.shape[:3]
        relative = [len(self.grid.sizes), references.shape[-1]]
        pointers = [value, references, offsets, logits, gradient, values.tensor, moves.tensor, shares.tensor, fixed]
        sizes = ints(self.grid.tokens, queries, heads, self.grid.points, *relative, int(of_references))
        self._run("msda_fused", self.backward, offsets, [*pointers, *strides(value), *sizes, self.grid.table()])
        found = [self._real(values, fixed, 0)]
        if of_references:
            points = self._result(references.shape)
            library = self.emulator.library("msda_fused", self.backward, self.variant)
            last: list[Argument] = [
                *longs(batch * queries),
                *ints(heads, self.grid.points, *relative),
                self.grid.table(),
            ]
            buffers: list[Argument] = [references, offsets, moves.tensor, points.tensor]
            self.emulator.launch(library, "msda_fused_references", 2, [*buffers, *last], self.seed)
            found.append(points.checked())
        return *found, moves.checked(), shares.checked()

    def kda_backward(
        self, query: Tensor, key: Tensor | None, value: Tensor, locations: Tensor, scale: float, gradient: Tensor
    ) -> tuple[Tensor, ...]:
        """Gradients of query, key (if separate), value and locations."""
        bounds = [c_double(size) for size in (locations.shape[1], self.variant.channels, scale)]
        scaling: Scaling = ("kda", [*bounds, *ints(key is not None)])
        fixed = self._fixed([(gradient, "value"), (value, "value"), (query, "value")], scaling)
        values, keys = self._map_gradient(value), None if key is None else self._map_gradient(key)
        asked, places = self._result(query.shape), self._result(locations.shape)
        of_keys = None if keys is None else keys.tensor
        buffers: list[Argument] = [asked.tensor, of_keys, values.tensor, places.tensor, fixed]
        pointers: list[Argument] = [query, key, value, locations, gradient, *buffers, number(scale, self.variant.real)]
        shape = ints(self.grid.tokens, *locations.shape[1:3], self.grid.points)
        self._run("kda", self.backward, locations, [*pointers, *both_strides(key, value), *shape, self.grid.table()])
        of_key = [] if keys is None else [self._real(keys, fixed, 1)]
        return asked.checked(), *of_key, self._real(values, fixed, 0), places.checked()

    def _forward(
        self, name: str, value: Tensor, inputs: Sequence[Argument], points: Tensor, sizes: Sequence[Argument]
    ) -> Tensor:
        batch, queries, heads = points.shape[:3]
        output = Guarded((batch, queries, heads, self.variant.channels), self.variant.value, torch.nan)
        common = ints(queries, heads, self.grid.points)
        self._run(name, 0, points, [*inputs, output.tensor, *strides(value), *common, *sizes, self.grid.table()])
        return output.checked()

    def _run(self, name: str, backward: int, points: Tensor, arguments: Sequence[Argument]) -> None:
        batch, queries, heads = points.shape[:3]
        blocks = batch * heads * -(-queries // self.variant.pairs())
        kernel = f"{name}_backward" if backward else f"{name}_forward"
        library = self.emulator.library(name, backward, self.variant)
        self.emulator.launch(library, kernel, blocks, arguments, self.seed)

    def _result(self, shape: torch.Size) -> Guarded:
        return Guarded(tuple(shape), self.variant.real, torch.nan)

    def _map_gradient(self, value: Tensor) -> Guarded:
        return Guarded(tuple(value.shape), torch.int64 if self.backward == 2 else self.variant.real, 0)

    def _scale_msda(self, points: Tensor, shares: int) -> Scaling:
        additions = points.shape[1] * (1 if shares else self.grid.points)
        return "msda", [c_double(additions), *ints(shares)]

    def _fixed(self, inputs: list[tuple[Tensor, str]], scale: Scaling) -> Tensor | None:
        if self.backward != 2:
            return None
        fixed = torch.zeros(FIXED_POINT_BYTES // 8, dtype=torch.int64)
        for which, (tensor, kind) in enumerate(inputs):
            dense = tensor.contiguous()
            self._around(f"{kind}_maximum", 3, [dense, *longs(dense.numel()), fixed, *ints(which)])
        operator, arguments = scale
        self._around(f"scale_{operator}", 1, [fixed, *arguments])
        return fixed

    def _real(self, sums: Guarded, fixed: Tensor | None, which: int) -> Tensor:
        if fixed is None:
            return sums.checked()
        real = Guarded(tuple(sums.tensor.shape), self.variant.real, torch.nan)
        count = longs(sums.tensor.numel())
        self._around("to_real", 2, [sums.checked(), real.tensor, *count, fixed, *ints(which)])
        return real.checked()

    def _around(self, kernel: str, blocks: int, arguments: Sequence[Argument]) -> None:
        variant = Variant(self.variant.value, 1, self.variant.weight)
        library = self.emulator.library("fixed_point", 0, variant)
        self.emulator.launch(library, f"fixed_point_{kernel}", blocks, arguments, self.seed)


def strides(value: Tensor) -> list[Argument]:
    return [*longs(value.stride(0)), *ints(value.stride(1), value.stride(2))]


def both_strides(key: Tensor | None, value: Tensor) -> list[Argument]:
    other = value if key is None else key
    (batch, token, head), (key_batch, key_token, key_head) = value.stride()[:3], other.stride()[:3]
    return [*longs(key_batch, batch), *ints(key_token, token, key_head, head)]
