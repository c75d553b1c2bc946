"""The CPU library: shipped with the wheel, or compiled at first use and kept in the cache.

A file's name is a hash of everything it depends on, so that nothing stale is ever used. It is written under another
name and renamed when it is whole: any number of processes may build at once, and one that is killed leaves no trace
that matters. The lock only saves the others the work.
"""

import hashlib
import os
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.kernels.choice import NotAvailable
from caffdet_cli.paths import cache, shipped

_AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt"]
# Instruction sets that wheels carry, best first; the names are those of torch.backends.cpu.get_cpu_capability().
# AVX-512 is worth its own file; without AVX2 the kernels are eight times slower, and still faster than PyTorch's.
LEVELS = {
    "AVX512": [*_AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"],
    "AVX2": _AVX2,
    "DEFAULT": [],
}
_FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
_LOCK_SECONDS = 120
_COMPILE_SECONDS = 600


class Library(NamedTuple):
    """A compiled library and how it came about."""

    path: Path
    how: str  # "shipped (AVX2)", "cached", "built in 4.1 s"
    compiler: str  # first line of its --version; "" where it was shipped
    note: str  # what is not as it should be: a cache that cannot be written, no OpenMP


def folder() -> Path:
    """Where compiled operators are kept."""
    return cache() / "kernels"


def sources() -> list[Path]:
    """The C++ files and their headers."""
    return sorted(path for path in (shipped("ops") / "cpu").iterdir() if path.suffix in (".cpp", ".h"))


def find_shipped(capability: str) -> Library | None:
    """The library that came with the wheel, for the best instruction set that the processor has."""
    levels = list(LEVELS)
    for level in levels[levels.index(capability) if capability in levels else len(levels) - 1 :]:
        path = shipped("ops") / "lib" / f"{stem(level)}.so"
        if path.is_file():
            return Library(path, f"shipped ({level})", "", "")
    return None


def stem(level: str) -> str:
    """File name of a shipped library without its ending."""
    return f"caffdet-{platform.machine().lower()}-{level.lower()}"


def build(say: Callable[[str], None] | None = None) -> Library:
    """The library for this processor: from the cache, else compiled.

    Args:
        say: told one line before the compiler starts.

    Raises:
        NotAvailable: no compiler, or it failed; one line.
    """
    compiler = find_compiler()
    version = _version(compiler)
    flags = [*_FLAGS, *_native_flags()]
    key = _key(version, flags)
    name = f"cpu-{key}.so"
    if (folder() / name).is_file():  # also where the cache cannot be written to
        return Library(folder() / name, "cached", version, "")
    home, note = writable(folder())
    path = home / name
    with _lock(path.with_suffix(".lock")):
        if path.is_file():  # another process built it meanwhile
            return Library(path, "cached", version, note)
        if say is not None:
            say(f"building the operators for this processor, once ({Path(compiler[0]).name}, a few seconds)")
        begun = time.monotonic()
        serial = compile_library(compiler, flags, path)
        how = f"built in {time.monotonic() - begun:.1f} s"
    return Library(path, how, version, "; ".join(filter(None, [note, serial])))


def find_compiler() -> list[str]:
    """Command of a C++ compiler: `$CXX`, c++, g++ or clang++.

    Raises:
        NotAvailable: there is none.
    """
    if chosen := os.environ.get("CXX"):
        words = shlex.split(chosen)
        if words and shutil.which(words[0]):
            return words
        raise NotAvailable(f"$CXX = {chosen} is no compiler that can be found")
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    raise NotAvailable("no C++ compiler found (install g++ or clang)")


def compile_library(compiler: Sequence[str], flags: Sequence[str], path: Path) -> str:
    """Compile all sources into `path`, which appears whole or not at all.

    The OpenMP runtime is not linked: the one that torch has loaded is used, so that there is one pool of threads.

    Returns:
        What is not as it should be: "" or that it is serial.

    Raises:
        NotAvailable: the compiler failed; its first error.
    """
    work = Path(tempfile.mkdtemp(prefix=f".{path.stem}.", suffix=".part", dir=path.parent))
    try:
        try:
            objects, serial = _objects(compiler, [*flags, "-fopenmp"], work), ""
        except NotAvailable:  # a compiler without OpenMP
            objects, serial = _objects(compiler, flags, work), "one thread: the compiler has no OpenMP"
        part = work / f"{secrets.token_hex(4)}.so"
        undefined = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        _run([*compiler, "-shared", *undefined, "-o", str(part), *map(str, objects)])
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise NotAvailable(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return serial


def _objects(compiler: Sequence[str], flags: Sequence[str], work: Path) -> list[Path]:
    files = [path for path in sources() if path.suffix == ".cpp"]
    objects = [work / f"{path.stem}.o" for path in files]

    def one(source: Path, target: Path) -> None:
        _run([*compiler, *flags, "-c", str(source), "-o", str(target)])

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(one, files, objects))
    return objects


def _run(command: Sequence[str]) -> None:
    """Run a compiler.

    Raises:
        NotAvailable: it failed; says its first error.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMPILE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotAvailable(f"{name} did not end within {_COMPILE_SECONDS} s") from error
    except OSError as error:
        raise NotAvailable(f"{name} cannot be run: {error.strerror or error}") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
        raise NotAvailable(f"{name} failed: {first[:200]}")


def _version(compiler: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            [*compiler, "--version"], capture_output=True, text=True, errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAvailable(f"{Path(compiler[0]).name} cannot be run: {error}") from error
    return (done.stdout.splitlines() or ["unknown"])[0]


def _native_flags() -> list[str]:
    """For this very processor. (clang on Apple's knows -mcpu only.)"""
    return ["-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"]


def _key(version: str, flags: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in (version, *flags, platform.system(), platform.machine(), processor()):
        digest.update(f"{part}\0".encode())
    for path in sources():
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:20]


def processor() -> str:
    """What tells this processor's instruction set from others that share a cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = ("model name", "flags", "Features", "CPU part")
    first = {line.split(":", 1)[0].strip(): line for line in reversed(lines) if ":" in line}
    return "\n".join(first[name] for name in names if name in first)


def writable(home: Path) -> tuple[Path, str]:
    """`home`, or a private folder for this process where it cannot be written to; and the reason."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home, ""
    except OSError as error:
        return _private(), f"cache directory not writable ({home}: {error.strerror or error})"


def _private() -> Path:
    import atexit

    private = Path(tempfile.mkdtemp(prefix="caffdet-kernels-"))
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    return private


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One builder at a time where the system can do that; never for ever: building twice does no harm."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        yield
        return
    try:
        limit = time.monotonic() + _LOCK_SECONDS
        while time.monotonic() < limit:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)
