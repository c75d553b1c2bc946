"""The native operators on the CPU: plain C functions (`ops/cpu/abi.h`), called through ctypes."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from caffdet_cli.kernels import build
from caffdet_cli.kernels.choice import Points, Sizes
from caffdet_cli.kernels.compiler import NotAvailable
from caffdet_cli.kernels.reference import accumulator
from caffdet_cli.kernels.selfcheck import largest_error

_VERSION = 1
_TYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
_FAULTS = {1: "out of memory", 2: "the library is of another version of caffdet", 3: "an unknown type of numbers"}
_FUNCTIONS = (
    "msda_forward",
    "msda_backward",
    "msda_fused_forward",
    "msda_fused_backward",
    "kda_forward",
    "kda_backward",
)

_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class _Problem(ctypes.Structure):
    """`caffdet_problem` of abi.h."""

    _fields_ = (
        ("version", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("tokens", ctypes.c_int64),
        ("queries", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("levels", ctypes.c_int64),
        ("points", ctypes.c_int64),
        ("value_strides", ctypes.c_int64 * 3),
        ("key_strides", ctypes.c_int64 * 3),
        ("sizes", ctypes.POINTER(ctypes.c_int64)),
        ("level_points", ctypes.POINTER(ctypes.c_int64)),
        ("dtype", ctypes.c_int64),
        ("weights_dtype", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("scale", ctypes.c_double),
        ("box", ctypes.c_int64),
    )


def load_cpu() -> "CpuOperators":
    """The operators of this processor: shipped, cached or built now, and checked.

    Raises:
        NotAvailable: there are none; the reason in one line.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if (found := build.find_shipped(capability)) is not None:
        with suppress(NotAvailable):  # built for a newer system: build here
            return _checked(found)
    library = build.build(_say)
    try:
        return _checked(library)
    except NotAvailable:
        if library.how != "cached":
            raise
    with suppress(OSError):
        library.path.unlink()  # broken on disk
    return _checked(build.build(_say))


def _say(text: str) -> None:
    print(f"caffdet: {text}", file=sys.stderr, flush=True)


def _checked(library: build.Library) -> "CpuOperators":
    operators = CpuOperators(library)
    if not (error := largest_error(operators, torch.device("cpu"))) <= 1e-4:
        raise NotAvailable(f"self-check failed (max error {error:.0e})")
    return operators


class CpuOperators:
    """A loaded library; the methods are those of `choice.Native`."""

    def __init__(self, library: build.Library):
        self.library = library
        self.about = f"C++ ({library.how})"
        try:
            _share_openmp()
            code = ctypes.CDLL(str(library.path))
            code.caffdet_abi_version.restype = ctypes.c_int64
            if (version := code.caffdet_abi_version()) != _VERSION:
                raise NotAvailable(f"{library.path} has version {version} of the interface, {_VERSION} is needed")
            self._code = {name: getattr(code, f"caffdet_{name}") for name in _FUNCTIONS}
        except (OSError, AttributeError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise NotAvailable(f"cannot load {library.path}: {first}") from error

    def msda(self, value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor, points: Points) -> Tensor:
        value, output = _readable(value), _output(locations, value)
        problem = _problem(value, sizes, locations, points, weights=weights)
        self._call("msda_forward", problem, value, locations.contiguous(), weights.contiguous(), output)
        return output

    def msda_backward(
        self, grad: Tensor, value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor, points: Points
    ) -> tuple[Tensor, Tensor, Tensor]:
        readable, wide = _readable(value), accumulator(value)
        results = [_empty(value, wide), _empty(locations, wide), _empty(weights, wide)]
        problem = _problem(readable, sizes, locations, points, weights=weights)
        given = (readable, locations.contiguous(), weights.contiguous(), grad.contiguous())
        self._call("msda_backward", problem, *given, *results)
        return results[0].to(value.dtype), results[1], results[2].to(weights.dtype)

    def msda_fused(
        self, value: Tensor, sizes: Sizes, references: Tensor, offsets: Tensor, logits: Tensor, points: Points
    ) -> Tensor:
        value, output = _readable(value), _output(offsets, value)
        problem = _problem(value, sizes, offsets, points, weights=logits, box=references.shape[-1] == 4)
        given = (value, references.contiguous(), offsets.contiguous(), logits.contiguous())
        self._call("msda_fused_forward", problem, *given, output)
        return output

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
        readable, wide = _readable(value), accumulator(value)
        results = [_empty(each, wide) for each in (value, references, offsets, logits)]
        problem = _problem(readable, sizes, offsets, points, weights=logits, box=references.shape[-1] == 4)
        given = (readable, references.contiguous(), offsets.contiguous(), logits.contiguous(), grad.contiguous())
        self._call("msda_fused_backward", problem, *given, *results)
        return results[0].to(value.dtype), results[1], results[2], results[3].to(logits.dtype)

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
        value, output = _readable(value), _output(locations, value)
        key = None if key is None else _readable(key)
        problem = _problem(value, sizes, locations, points, key=key, scale=scale)
        self._call("kda_forward", problem, query.contiguous(), key, value, locations.contiguous(), output)
        return output

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
        readable, wide = _readable(value), accumulator(value)
        key = None if key is None else _readable(key)
        of_query, of_value, of_locations = (_empty(each, wide) for each in (query, value, locations))
        of_key = None if key is None else _empty(key, wide)
        problem = _problem(readable, sizes, locations, points, key=key, scale=scale)
        given = (query.contiguous(), key, readable, locations.contiguous(), grad.contiguous())
        self._call("kda_backward", problem, *given, of_query, of_key, of_value, of_locations)
        narrow = None if of_key is None else of_key.to(value.dtype)
        return of_query.to(query.dtype), narrow, of_value.to(value.dtype), of_locations

    def _call(self, name: str, problem: _Problem, *tensors: Tensor | None) -> None:
        pointers = [ctypes.c_void_p(None if each is None else each.data_ptr()) for each in tensors]
        if fault := self._code[name](ctypes.byref(problem), *pointers):
            what = _FAULTS.get(fault, f"fault {fault}")
            raise MemoryError(f"{name}: {what}") if fault == 1 else RuntimeError(f"{name}: {what}")


def _problem(
    value: Tensor,
    sizes: Sizes,
    locations: Tensor,
    points: Points,
    *,
    weights: Tensor | None = None,
    key: Tensor | None = None,
    scale: float = 1.0,
    box: bool = False,
) -> _Problem:
    flat = [side for size in sizes for side in size]
    return _Problem(
        version=_VERSION,
        batch=value.shape[0],
        tokens=value.shape[1],
        queries=locations.shape[1],
        heads=value.shape[2],
        channels=value.shape[3],
        levels=len(points),
        points=locations.shape[3],
        value_strides=(ctypes.c_int64 * 3)(*value.stride()[:3]),
        key_strides=(ctypes.c_int64 * 3)(*(value if key is None else key).stride()[:3]),
        sizes=(ctypes.c_int64 * len(flat))(*flat),
        level_points=(ctypes.c_int64 * len(points))(*points),
        dtype=_TYPES[value.dtype],
        weights_dtype=_TYPES[value.dtype if weights is None else weights.dtype],
        threads=_threads(),
        scale=scale,
        box=int(box),
    )


def _threads() -> int:
    """One in a forked process: GNU's OpenMP would wait for the threads of its parent for ever."""
    return 1 if _forked else torch.get_num_threads()


def _readable(value: Tensor) -> Tensor:
    """The value itself where its channels lie side by side, else a copy."""
    return value if value.stride(3) == 1 or value.shape[3] == 1 else value.contiguous()


def _output(queries: Tensor, value: Tensor) -> Tensor:
    return value.new_empty(queries.shape[0], queries.shape[1], value.shape[2] * value.shape[3])


def _empty(like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty(like.shape, dtype=dtype)


def _share_openmp() -> None:
    """Make the thread pool that torch uses visible to the library, which brings none of its own."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:  # no Linux: the system finds it
        return
    loaded = [word for word in maps.split() if "/libgomp" in word or "/libiomp" in word or "/libomp" in word]
    for name in [*sorted(set(loaded), key=lambda path: "torch" not in path), "libgomp.so.1"]:
        with suppress(OSError):
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
            return
