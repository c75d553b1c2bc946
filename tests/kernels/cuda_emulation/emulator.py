"""Compiles a CUDA source with the C++ compiler of this machine and launches its kernels on the CPU.

The arguments are packed as for `cuLaunchKernel`: an array of pointers to each argument.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from caffdet_cli.kernels.cuda import THREADS, Argument, Variant
from caffdet_cli.kernels.driver import _as_c

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[2] / "ops" / "cuda"
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


def compiler() -> str | None:
    """The C++ compiler of this machine, if it has one."""
    return next(
        (found for name in (os.environ.get("CXX"), "c++", "g++", "clang++") if (found := shutil.which(name or ""))),
        None,
    )


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
            names = [
                f'-DSOURCE="{source}.cu"',
                f"-DKERNELS={kernels}",
                *(f"-D{macro}" for macro in variant.macros(backward)),
            ]
            self.libraries[key] = build(target, names)
        return self.libraries[key]

    def launch(
        self, library: ctypes.CDLL, name: str, blocks: int, arguments: Sequence[Argument], seed: int = 0
    ) -> None:
        """Raises RuntimeError where lanes of a warp part before a shuffle, or the arguments are not the kernel's."""
        held = [_as_c(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(held))(*[ctypes.addressof(argument) for argument in held])
        sizes = (ctypes.c_int * len(held))(*[signed_size(argument) for argument in held])
        grid, block = ctypes.c_uint(blocks), ctypes.c_uint(THREADS)
        count = ctypes.c_int(len(held))
        if library.launch(name.encode(), grid, block, pointers, sizes, count, ctypes.c_uint(seed)):
            raise RuntimeError(f"{name} failed")


def signed_size(argument: "ctypes._SimpleCData | ctypes.Array") -> int:  # type: ignore[type-arg]
    """In bytes; negative for a floating-point number."""
    size = ctypes.sizeof(argument)
    return -size if isinstance(argument, ctypes.c_float | ctypes.c_double) else size


def build(target: Path, names: list[str]) -> ctypes.CDLL:
    """Compiles and loads; `names` are the -D flags that launch.cpp and the source need. A warning is an error."""
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-fno-strict-aliasing", "-Wall", "-Wno-unknown-pragmas"]
    command = [str(compiler()), *flags, f"-I{SOURCES}", *names, str(HERE / "launch.cpp"), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(done.stderr)
    return ctypes.CDLL(str(target))
