"""The C++ compiler: which one, with which flags, and how it makes a library of the operators.

Imports nothing but the standard library: the wheel's build hook loads this file where there is no torch.
"""

import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt"]
# Instruction sets that wheels carry, best first; the names are those of torch.backends.cpu.get_cpu_capability().
# AVX-512 is worth its own file; without AVX2 the kernels are eight times slower, and still faster than PyTorch's.
LEVELS = {
    "AVX512": [*_AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"],
    "AVX2": _AVX2,
    "DEFAULT": [],
}
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
_COMPILE_SECONDS = 600
_VERSION_SECONDS = 30
_OPENMP = "#include <omp.h>\nvoid probe(int* n) {\n#pragma omp parallel\n    *n = omp_get_thread_num();\n}\n"


class NotAvailable(Exception):
    """There is no native implementation here; the message is the reason, one line."""


class _Hangs(NotAvailable):
    """A compiler did not end in time."""


def stem(level: str) -> str:
    """File name of a shipped library without its ending."""
    return f"caffdet-{platform.machine().lower()}-{level.lower()}"


def levels() -> dict[str, list[str]]:
    """The instruction sets that a wheel for this machine carries, and their flags."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return LEVELS
    return {"DEFAULT": LEVELS["DEFAULT"]}


def native_flags() -> list[str]:
    """For this very processor. (clang on Apple's knows -mcpu only.)"""
    return ["-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"]


def find_compiler() -> list[str]:
    """Command of a C++ compiler: `$CXX`, c++, g++ or clang++.

    Raises:
        NotAvailable: there is none.
    """
    if chosen := os.environ.get("CXX"):
        with suppress(ValueError):  # an open quotation mark
            words = shlex.split(chosen)
            if words and shutil.which(words[0]):
                return words
        raise NotAvailable(f"$CXX = {chosen} is no compiler that can be found")
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    raise NotAvailable("no C++ compiler found (install g++ or clang)")


def version_of(compiler: Sequence[str]) -> str:
    """First line of its --version.

    Raises:
        NotAvailable: it cannot be run.
    """
    said = _run([[*compiler, "--version"]], _VERSION_SECONDS)
    return (said.splitlines() or ["unknown"])[0]


def compile_library(compiler: Sequence[str], flags: Sequence[str], sources: Sequence[Path], path: Path) -> bool:
    """Compile C++ files into the library `path`.

    The OpenMP runtime is not linked: the one that torch has loaded is used, so that there is one pool of threads.

    Returns:
        Whether it has threads: the compiler may have no OpenMP of the kind that torch brings.

    Raises:
        NotAvailable: the compiler failed; its first error. OSError: there is no room to work in.
    """
    work = Path(tempfile.mkdtemp(prefix="caffdet-build-"))
    try:
        openmp = _openmp(compiler, work)
        objects = [work / f"{source.stem}.o" for source in sources]
        command = [*compiler, *flags, *openmp, "-c"]
        _run([[*command, str(source), "-o", str(target)] for source, target in zip(sources, objects, strict=True)])
        undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        _run([[*compiler, "-shared", *undefined, "-o", str(path), *map(str, objects)]])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return bool(openmp)


def _openmp(compiler: Sequence[str], work: Path) -> list[str]:
    """The flag for threads where the compiler has OpenMP, and of the kind that torch brings."""
    source, target = work / "openmp.cpp", work / "openmp.o"
    source.write_text(_OPENMP)
    try:
        _run([[*compiler, "-fopenmp", "-c", str(source), "-o", str(target)]])
    except _Hangs:
        raise
    except NotAvailable:
        return []
    # On Linux torch brings GNU's runtime; clang calls another one, without which the library could not be loaded.
    if sys.platform.startswith("linux") and b"GOMP_parallel" not in target.read_bytes():
        return []
    return ["-fopenmp"]


def _run(commands: Sequence[Sequence[str]], seconds: float | None = None) -> str:
    """Run compilers side by side; what they printed. None is left behind, whatever ends the wait for them.

    Raises:
        NotAvailable: one failed; says its first error.
    """
    limit = _COMPILE_SECONDS if seconds is None else seconds
    end = time.monotonic() + limit
    running: list[subprocess.Popen[str]] = []
    name = ""
    try:
        for command in commands:
            name = Path(command[0]).name
            running.append(_start(command))
        return "".join(_finish(name, process, end - time.monotonic()) for process in running)
    except subprocess.TimeoutExpired as error:
        raise _Hangs(f"{name} did not end within {limit:g} s") from error
    except OSError as error:
        raise NotAvailable(f"{name} cannot be run: {error.strerror or error}") from error
    finally:
        for process in running:
            _kill(process)


def _start(command: Sequence[str]) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        errors="replace",
        start_new_session=True,  # a driver's own children end with it
    )


def _finish(name: str, process: "subprocess.Popen[str]", seconds: float) -> str:
    out, err = process.communicate(timeout=max(0.0, seconds))
    if process.returncode:
        lines = [line.strip() for line in err.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
        raise NotAvailable(f"{name} failed: {first[:200]}")
    return out


def _kill(process: "subprocess.Popen[str]") -> None:
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
