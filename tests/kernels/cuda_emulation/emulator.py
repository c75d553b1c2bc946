"""Compiles a CUDA source with the C++ compiler of this machine and launches its kernels on the CPU.

The arguments are packed as for `cuLaunchKernel`: an array of pointers to each argument.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[2] / "ops" / "cuda"
THREADS = 128
LEVEL_CAPACITY = 16
FIXED_POINT_BYTES = 56
KERNELS = {
    ("msda", 0): ("msda_forward",),
    ("msda", 1): ("msda_backward",),
    ("msda_fused", 0): ("msda_fused_forward",),
    ("msda_fused", 1): ("msda_fused_backward", "msda_fused_references"),
    ("kda", 0): ("kda_forward",),
    ("kda", 1): ("kda_backward",),
    ("fixed_point", 0): (
        "fixed_point_value_maximum",
        "fixed_point_weight_maximum",
        "fixed_point_scale_msda",
        "fixed_point_scale_kda",
        "fixed_point_to_real",
    ),
}
TYPES = {torch.float32: "float", torch.float64: "double", torch.float16: "float16", torch.bfloat16: "bfloat16"}

Argument = Tensor | None | ctypes._SimpleCData | ctypes.Array  # type: ignore[type-arg]


def compiler() -> str | None:
    """The C++ compiler of this machine, if it has one."""
    return next(
        (found for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if (found := shutil.which(name or ""))),
        None,
    )


@dataclass(frozen=True)
class Variant:
    """One way to compile a source; the names are those of `numbers.h`."""

    value: torch.dtype
    channels: int
    weight: torch.dtype | None = None  # as value
    separate_key: bool = False
    vector_bytes: int = 16

    @property
    def real(self) -> torch.dtype:
        return torch.float64 if self.value == torch.float64 else torch.float32

    def pairs(self) -> int:
        """(query, head) pairs of one block: the launch rule at the top of msda.cu."""
        vector = min(self.vector_bytes // self.value.itemsize, self.channels & -self.channels)
        lanes = 1
        while lanes < min(32, self.channels // vector):
            lanes *= 2
        return THREADS // lanes

    def flags(self) -> list[str]:
        settings = {
            "VALUE": TYPES[self.value],
            "WEIGHT": TYPES[self.weight or self.value],
            "CHANNELS": self.channels,
            "SEPARATE_KEY": int(self.separate_key),
            "VECTOR_BYTES": self.vector_bytes,
            "LEVEL_CAPACITY": LEVEL_CAPACITY,
        }
        return [f"-D{name}={value}" for name, value in settings.items()]


class Emulator:
    """Compiled sources, by variant; a library is built when it is needed first."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.libraries: dict[tuple[str, int, Variant], ctypes.CDLL] = {}

    def library(self, source: str, backward: int, variant: Variant) -> ctypes.CDLL:
        key = (source, backward, variant)
        if key not in self.libraries:
            target = self.folder / f"{len(self.libraries)}.so"
            kernels = " ".join(f"KERNEL({name})" for name in KERNELS[source, min(backward, 1)])
            names = [f'-DSOURCE="{source}.cu"', f"-DKERNELS={kernels}", f"-DPASS={backward}", *variant.flags()]
            self.libraries[key] = build(target, names)
        return self.libraries[key]

    def launch(
        self, library: ctypes.CDLL, name: str, blocks: int, arguments: Sequence[Argument], seed: int = 0
    ) -> None:
        """Raises RuntimeError where lanes of a warp part before a shuffle."""
        held = [as_c(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(held))(*[ctypes.addressof(argument) for argument in held])
        if library.launch(name.encode(), ctypes.c_uint(blocks), ctypes.c_uint(THREADS), pointers, ctypes.c_uint(seed)):
            raise RuntimeError(f"{name} failed")


def build(target: Path, names: list[str]) -> ctypes.CDLL:
    """Compiles and loads; `names` are the -D flags that launch.cpp and the source need. A warning is an error."""
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-fno-strict-aliasing", "-Wall", "-Wno-unknown-pragmas"]
    command = [str(compiler()), *flags, f"-I{SOURCES}", *names, str(HERE / "launch.cpp"), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(done.stderr)
    return ctypes.CDLL(str(target))


def as_c(argument: Argument) -> "ctypes._SimpleCData | ctypes.Array":  # type: ignore[type-arg]
    if isinstance(argument, Tensor):
        return ctypes.c_uint64(argument.data_ptr())
    return ctypes.c_uint64(0) if argument is None else argument


@dataclass(frozen=True)
class Grid:
    """The levels that are sampled, and how many points each gets."""

    sizes: tuple[tuple[int, int], ...]  # height and width
    counts: tuple[int, ...]  # points

    @property
    def tokens(self) -> int:
        return sum(height * width for height, width in self.sizes)

    @property
    def points(self) -> int:
        return sum(self.counts)

    def table(self) -> "ctypes.Array[ctypes.c_int]":
        """`Levels`: height, width, first token and end of the points of each level."""
        numbers: list[int] = []
        start = end = 0
        for (height, width), count in zip(self.sizes, self.counts, strict=True):
            end += count
            numbers += [height, width, start, end]
            start += height * width
        return (ctypes.c_int * (4 * LEVEL_CAPACITY))(*numbers)


def ints(*numbers: int) -> list[ctypes.c_int]:
    return [ctypes.c_int(number) for number in numbers]


def longs(*numbers: int) -> list[ctypes.c_longlong]:
    return [ctypes.c_longlong(number) for number in numbers]


def number(value: float, kind: torch.dtype) -> "ctypes.c_double | ctypes.c_float":
    return ctypes.c_double(value) if kind == torch.float64 else ctypes.c_float(value)
