"""The native operators on CUDA: what is done around each launch of the kernels in `ops/cuda`.

The sources say how a kernel is launched; who launches is a `Launcher`: the CUDA driver (`driver`), or the emulation
that the tests bring for machines without a GPU.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from caffdet_cli.kernels.choice import Points, Sizes
from caffdet_cli.kernels.compiler import NotAvailable
from caffdet_cli.kernels.reference import accumulator

THREADS = 128
_FIXED_POINT_WORDS = 7  # of 8 bytes: struct FixedPoint of accumulate.h
_SPREAD = 1024  # blocks of kernels that take any grid
_TYPES = {torch.float32: "float", torch.float64: "double", torch.float16: "float16", torch.bfloat16: "bfloat16"}
_ALIGNED = 16  # bytes: where fresh tensors lie

Number = ctypes.c_int | ctypes.c_longlong | ctypes.c_double | ctypes.c_float
Argument = Tensor | Number | ctypes.Array[ctypes.c_int] | None


@dataclass(frozen=True)
class Variant:
    """One way to compile a source; the macros are explained in `numbers.h`."""

    value: torch.dtype
    weight: torch.dtype
    channels: int
    separate_key: bool = False
    levels: int = 16  # that fit into the kernel's argument
    vector_bytes: int = 16  # widest load

    @property
    def vector(self) -> int:
        """Channels that one load brings: a power of two that divides them."""
        return min(self.vector_bytes // self.value.itemsize, self.channels & -self.channels)

    @cached_property
    def pairs(self) -> int:
        """(query, head) pairs of one block: the launch rule at the top of msda.cu."""
        lanes = 1
        while lanes < min(32, -(-self.channels // self.vector)):
            lanes *= 2
        return THREADS // lanes

    def for_backward(self) -> "Variant":
        """Half types with half vectors: as many channels a lane as in float32, whose sums the gradients are."""
        return replace(self, vector_bytes=min(self.vector_bytes, 4 * self.value.itemsize))

    def macros(self, backward: int) -> list[str]:
        """`NAME=value` for the compiler."""
        return [
            f"VALUE={_TYPES[self.value]}",
            f"WEIGHT={_TYPES[self.weight]}",
            f"CHANNELS={self.channels}",
            f"SEPARATE_KEY={int(self.separate_key)}",
            f"LEVEL_CAPACITY={self.levels}",
            f"VECTOR_BYTES={self.vector_bytes}",
            f"PASS={backward}",
        ]


class Kernel(NamedTuple):
    """A kernel of one compiled source."""

    source: str  # "msda"
    backward: int  # PASS: 0 forward, 1 float atomics, 2 the same bits every time
    variant: Variant
    name: str  # "msda_forward"


class Launcher(Protocol):
    """Runs kernels on the current stream of a device."""

    about: str

    def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument], device: torch.device) -> None:
        """`arguments` in the order of the kernel's parameters; a tensor stands for its address, None for null."""
        ...


def load_cuda(device: torch.device) -> "CudaOperators":
    """The operators of a GPU, compiled for it, and checked.

    Raises:
        NotAvailable: there are none; the reason in one line.
    """
    from caffdet_cli.kernels.driver import Driver
    from caffdet_cli.kernels.selfcheck import largest_error

    operators = CudaOperators(Driver(device))
    try:
        error = largest_error(operators, device)
    except RuntimeError as failure:  # of the driver, or no memory left
        raise NotAvailable(f"self-check failed ({(str(failure).splitlines() or ['no message'])[0]})") from failure
    if not error <= 1e-4:
        raise NotAvailable(f"self-check failed (max error {error:.0e})")
    return operators


class CudaOperators:
    """The methods are those of `choice.Native`."""

    def __init__(self, launcher: Launcher):
        self.launcher = launcher
        self.about = launcher.about

    def msda(self, value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor, points: Points) -> Tensor:
        variant = _variant(value, weights, sizes)
        value = _readable(value, variant)
        given = [value, _dense(locations), _dense(weights)]
        return self._forward("msda", variant, value, given, locations, [], sizes, points)

    def msda_fused(
        self, value: Tensor, sizes: Sizes, references: Tensor, offsets: Tensor, logits: Tensor, points: Points
    ) -> Tensor:
        variant = _variant(value, logits, sizes)
        value = _readable(value, variant)
        given = [value, _dense(references), _dense(offsets), _dense(logits)]
        relative = _ints(len(sizes), references.shape[-1])
        return self._forward("msda_fused", variant, value, given, offsets, relative, sizes, points)

    def kda(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor,
        sizes: Sizes,
        locations: Tensor,
        scale: float,
        points: Points,
    ) -> Tensor:
        variant = _variant(value, value, sizes, separate_key=key is not None)
        value, key = _readable(value, variant), None if key is None else _readable(key, variant)
        output = _output(locations, value)
        given = [_dense(query), key, value, _dense(locations), output, _real(scale, value)]
        rest = [*_both_strides(key, value), *_shape(locations), _table(sizes, points, variant)]
        self._run(Kernel("kda", 0, variant, "kda_forward"), locations, [*given, *rest])
        return output

    def msda_backward(
        self, grad: Tensor, value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor, points: Points
    ) -> tuple[Tensor, Tensor, Tensor]:
        variant, wide, grad = _variant(value, weights, sizes).for_backward(), accumulator(value), _dense(grad)
        readable, weights_ = _readable(value, variant), _dense(weights)
        sums = _Sums(self, variant, grad, value)
        sums.scale_msda([(grad, "value"), (weights_, "weight")], locations.shape[1] * locations.shape[3], shares=0)
        places, shares = _empty(locations, wide), _empty(weights, wide)
        given = [readable, _dense(locations), weights_, grad, sums.of_value, places, shares, sums.fixed]
        rest = [*_strides(readable), *_ints(value.shape[1]), *_shape(locations), _table(sizes, points, variant)]
        self._run(Kernel("msda", sums.backward, variant, "msda_backward"), locations, [*given, *rest])
        return sums.value(), places, shares.to(weights.dtype)

    def msda_fused_backward(
        self,
        grad: Tensor,
        value: Tensor,
        sizes: Sizes,
        references: Tensor,
        offsets: Tensor,
        logits: Tensor,
        points: Points,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        variant, wide, grad = _variant(value, logits, sizes).for_backward(), accumulator(value), _dense(grad)
        readable, references, offsets = _readable(value, variant), _dense(references), _dense(offsets)
        sums = _Sums(self, variant, grad, value)
        sums.scale_msda([(grad, "value")], offsets.shape[1], shares=1)
        moves, shares, centres = _empty(offsets, wide), _empty(logits, wide), _empty(references, wide)
        relative = _ints(len(sizes), references.shape[-1])
        table = _table(sizes, points, variant)
        given = [readable, references, offsets, _dense(logits), grad, sums.of_value, moves, shares, sums.fixed]
        rest = [*_strides(readable), *_ints(value.shape[1]), *_shape(offsets), *relative, *_ints(1), table]
        self._run(Kernel("msda_fused", sums.backward, variant, "msda_fused_backward"), offsets, [*given, *rest])
        batch, queries, heads, count = offsets.shape[:4]
        last: list[Argument] = [*_longs(batch * queries), *_ints(heads, count), *relative, table]
        blocks = min(_SPREAD, -(-batch * queries * len(sizes) // THREADS))
        kernel = Kernel("msda_fused", sums.backward, variant, "msda_fused_references")
        self._launch(kernel, blocks, [references, offsets, moves, centres, *last], value.device)
        return sums.value(), centres, moves, shares.to(logits.dtype)

    def kda_backward(
        self,
        grad: Tensor,
        query: Tensor,
        key: Tensor | None,
        value: Tensor,
        sizes: Sizes,
        locations: Tensor,
        scale: float,
        points: Points,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        variant = _variant(value, value, sizes, separate_key=key is not None).for_backward()
        wide, grad, query_ = accumulator(value), _dense(grad), _dense(query)
        readable, other = _readable(value, variant), None if key is None else _readable(key, variant)
        sums = _Sums(self, variant, grad, value, key)
        sums.scale_kda(grad, value, query_, locations.shape[1], scale)
        asked, places = _empty(query, wide), _empty(locations, wide)
        given = [query_, other, readable, _dense(locations), grad]
        results = [asked, sums.of_key, sums.of_value, places, sums.fixed, _real(scale, value)]
        rest = [*_both_strides(other, readable), *_ints(value.shape[1]), *_shape(locations)]
        kernel = Kernel("kda", sums.backward, variant, "kda_backward")
        self._run(kernel, locations, [*given, *results, *rest, _table(sizes, points, variant)])
        return asked.to(query.dtype), sums.key(), sums.value(), places

    def _forward(
        self,
        source: str,
        variant: Variant,
        value: Tensor,
        given: Sequence[Argument],
        places: Tensor,
        relative: Sequence[Argument],
        sizes: Sizes,
        points: Points,
    ) -> Tensor:
        output = _output(places, value)
        rest = [*_strides(value), *_shape(places), *relative, _table(sizes, points, variant)]
        self._run(Kernel(source, 0, variant, f"{source}_forward"), places, [*given, output, *rest])
        return output

    def _run(self, kernel: Kernel, places: Tensor, arguments: Sequence[Argument]) -> None:
        """One group of lanes per (query, head) of `places` (N, Q, M, K, 2)."""
        batch, queries, heads = places.shape[:3]
        blocks = batch * heads * -(-queries // kernel.variant.pairs)
        self._launch(kernel, blocks, arguments, places.device)

    def _launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument], device: torch.device) -> None:
        if blocks:
            self.launcher.launch(kernel, blocks, arguments, device)

    def around(self, variant: Variant, name: str, blocks: int, arguments: Sequence[Argument], like: Tensor) -> None:
        """A kernel of fixed_point.cu."""
        plain = Variant(variant.value, variant.weight, 1)
        self._launch(Kernel("fixed_point", 0, plain, f"fixed_point_{name}"), blocks, arguments, like.device)


class _Sums:
    """Gradients of the maps while they are added up: floats, or 64-bit integers where the order must not matter."""

    def __init__(
        self, operators: CudaOperators, variant: Variant, grad: Tensor, value: Tensor, key: Tensor | None = None
    ):
        self.operators, self.variant, self.dtype = operators, variant, value.dtype
        # Without queries nothing is added, and nothing needs to be launched.
        self.exactly = torch.are_deterministic_algorithms_enabled() and grad.numel() > 0
        self.backward = 2 if self.exactly else 1
        kind = torch.int64 if self.exactly else accumulator(value)
        self.of_value = torch.zeros(value.shape, dtype=kind, device=value.device)
        self.of_key = None if key is None else torch.zeros(key.shape, dtype=kind, device=key.device)
        words = torch.zeros(_FIXED_POINT_WORDS, dtype=torch.int64, device=value.device) if self.exactly else None
        self.fixed = words

    def scale_msda(self, inputs: Sequence[tuple[Tensor, str]], additions: int, shares: int) -> None:
        """Choose the unit of the integers, from the largest numbers that are added."""
        self._maxima(inputs)
        if self.fixed is not None:
            arguments: list[Argument] = [self.fixed, ctypes.c_double(additions), *_ints(shares)]
            self.operators.around(self.variant, "scale_msda", 1, arguments, self.of_value)

    def scale_kda(self, grad: Tensor, value: Tensor, query: Tensor, queries: int, scale: float) -> None:
        """The same for key-aware attention."""
        self._maxima([(grad, "value"), (_dense(value), "value"), (query, "value")])
        if self.fixed is not None:
            bounds = [ctypes.c_double(each) for each in (queries, value.shape[-1], scale)]
            arguments: list[Argument] = [self.fixed, *bounds, *_ints(int(self.of_key is not None))]
            self.operators.around(self.variant, "scale_kda", 1, arguments, self.of_value)

    def value(self) -> Tensor:
        """The gradient of the value, in its type."""
        return self._real(self.of_value, 0)

    def key(self) -> Tensor | None:
        return None if self.of_key is None else self._real(self.of_key, 1)

    def _maxima(self, inputs: Sequence[tuple[Tensor, str]]) -> None:
        for which, (tensor, kind) in enumerate(inputs if self.fixed is not None else ()):
            arguments: list[Argument] = [tensor, *_longs(tensor.numel()), self.fixed, *_ints(which)]
            blocks = min(_SPREAD, -(-tensor.numel() // THREADS))
            self.operators.around(self.variant, f"{kind}_maximum", blocks, arguments, tensor)

    def _real(self, sums: Tensor, which: int) -> Tensor:
        if self.fixed is None:
            return sums.to(self.dtype)
        wide = torch.promote_types(self.dtype, torch.float32)
        real = torch.empty(sums.shape, dtype=wide, device=sums.device)
        arguments: list[Argument] = [sums, real, *_longs(sums.numel()), self.fixed, *_ints(which)]
        blocks = min(_SPREAD, -(-sums.numel() // THREADS))
        self.operators.around(self.variant, "to_real", blocks, arguments, sums)
        return real.to(self.dtype)


def _variant(value: Tensor, weights: Tensor, sizes: Sizes, *, separate_key: bool = False) -> Variant:
    return Variant(value.dtype, weights.dtype, value.shape[-1], separate_key, max(16, len(sizes)))


def _readable(value: Tensor, variant: Variant) -> Tensor:
    """The value itself where the kernels can load it in whole vectors, else a copy."""
    step = variant.vector
    aligned = value.data_ptr() % (step * value.element_size()) == 0
    if value.stride(3) == 1 and aligned and all(stride % step == 0 for stride in value.stride()[:3]):
        return value
    return value.clone(memory_format=torch.contiguous_format)


def _dense(each: Tensor) -> Tensor:
    """Contiguous, and where a fresh tensor would lie: views may begin anywhere."""
    return each.contiguous() if each.data_ptr() % _ALIGNED == 0 else each.clone(memory_format=torch.contiguous_format)


def _output(places: Tensor, value: Tensor) -> Tensor:
    return value.new_empty(places.shape[0], places.shape[1], value.shape[2] * value.shape[3])


def _empty(like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(like.shape, dtype=dtype, device=like.device)


def _table(sizes: Sizes, points: Points, variant: Variant) -> "ctypes.Array[ctypes.c_int]":
    return _levels(tuple(sizes), tuple(points), variant.levels)


@lru_cache(maxsize=256)
def _levels(sizes: tuple[tuple[int, int], ...], points: tuple[int, ...], capacity: int) -> "ctypes.Array[ctypes.c_int]":
    """`Levels` of sampling.h: height, width, first token and end of the points of each level."""
    numbers: list[int] = []
    start = end = 0
    for (height, width), count in zip(sizes, points, strict=True):
        end += count
        numbers += [height, width, start, end]
        start += height * width
    return (ctypes.c_int * (4 * capacity))(*numbers)


def _shape(places: Tensor) -> list[ctypes.c_int]:
    """Queries, heads and points of (N, Q, M, K, 2)."""
    return _ints(*places.shape[1:4])


def _strides(value: Tensor) -> list[Argument]:
    return [*_longs(value.stride(0)), *_ints(value.stride(1), value.stride(2))]


def _both_strides(key: Tensor | None, value: Tensor) -> list[Argument]:
    (batch, token, head) = value.stride()[:3]
    (key_batch, key_token, key_head) = (value if key is None else key).stride()[:3]
    return [*_longs(key_batch, batch), *_ints(key_token, token, key_head, head)]


def _ints(*numbers: int) -> list[ctypes.c_int]:
    return [ctypes.c_int(number) for number in numbers]


def _longs(*numbers: int) -> list[ctypes.c_longlong]:
    return [ctypes.c_longlong(number) for number in numbers]


def _real(number: float, value: Tensor) -> "ctypes.c_double | ctypes.c_float":
    return ctypes.c_double(number) if value.dtype == torch.float64 else ctypes.c_float(number)
