"""The CPU library: shipped with the wheel, or compiled at first use and kept in the cache.

A file's name holds a hash of everything it depends on, so that nothing stale is ever used, and a hash of its content,
so that nothing broken is ever loaded. It is written under another name and renamed when it is whole: any number of
processes may build at once, and one that is killed leaves no trace that matters. The lock only saves the others the
work.
"""

import hashlib
import os
import platform
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.kernels.compiler import (
    FLAGS,
    LEVELS,
    NotAvailable,
    compile_library,
    find_compiler,
    native_flags,
    stem,
    version_of,
)
from caffdet_cli.paths import cache, shipped

_LOCK_SECONDS = 120
_SERIAL = "-serial"  # ends the name of a library without OpenMP


class Library(NamedTuple):
    """A compiled library and how it came about."""

    path: Path
    how: str  # "shipped (AVX2)", "cached", "built in 4.1 s"
    compiler: str  # first line of its --version; "" where there was none to ask
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


def build(say: Callable[[str], None] | None = None) -> Library:
    """The library for this processor: from the cache, else compiled.

    Args:
        say: told one line before the compiler starts.

    Raises:
        NotAvailable: no compiler, or it failed; one line.
    """
    flags = [*FLAGS, *native_flags()]
    basis = f"cpu-{_key(flags)}"
    try:
        compiler = find_compiler()
        version = version_of(compiler)
    except NotAvailable:
        if (path := _kept(folder(), basis)) is not None:  # built ahead where there was one
            return Library(path, "cached", "", _notes(path))
        raise
    name = f"{basis}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"
    if (path := _kept(folder(), name)) is not None:  # also where the cache cannot be written to
        return Library(path, "cached", version, _notes(path))
    try:
        home, note = writable(folder())
        with _lock(home / f"{name}.lock"):
            path, how = _kept_or_compiled(compiler, flags, home, name, say)
    except OSError as error:
        raise NotAvailable(f"the operators cannot be built: {error.strerror or error}") from error
    return Library(path, how, version, _notes(path, note))


def _kept_or_compiled(
    compiler: Sequence[str], flags: Sequence[str], home: Path, name: str, say: Callable[[str], None] | None
) -> tuple[Path, str]:
    """The library and how it came about, for the one who has the lock."""
    if (path := _kept(home, name)) is not None:  # another process built it meanwhile
        return path, "cached"
    if say is not None:
        say(f"building the operators for this processor, once ({Path(compiler[0]).name}, up to a minute)")
    begun = time.monotonic()
    path = _compiled(compiler, flags, home, name)
    return path, f"built in {time.monotonic() - begun:.1f} s"


def writable(home: Path) -> tuple[Path, str]:
    """`home`, or a private folder for this process where it cannot be written to; and the reason.

    Raises:
        OSError: there is no room for a private one either.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home, ""
    except OSError as error:
        return _private(), f"cache directory not writable ({home}: {error.strerror or error})"


def _compiled(compiler: Sequence[str], flags: Sequence[str], home: Path, name: str) -> Path:
    """Compile into `home`, where the library appears whole or not at all."""
    part = home / f".{name}.{secrets.token_hex(4)}.part"
    try:
        parallel = compile_library(compiler, flags, [path for path in sources() if path.suffix == ".cpp"], part)
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        path = home / f"{name}-{_digest(part)}{'' if parallel else _SERIAL}.so"
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _kept(home: Path, name: str) -> Path | None:
    """A library whose name begins like this and that is whole."""
    with suppress(OSError):
        for path in sorted(home.glob(f"{name}-*.so")):
            with suppress(OSError):
                if path.stem.removesuffix(_SERIAL).endswith(f"-{_digest(path)}"):
                    return path
    return None


def _notes(path: Path, *notes: str) -> str:
    serial = "one thread: the compiler has no OpenMP that goes with torch's" if path.stem.endswith(_SERIAL) else ""
    return "; ".join(filter(None, [*notes, serial]))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _key(flags: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in (*flags, platform.system(), platform.machine(), processor()):
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

        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except (ImportError, OSError):  # Windows, or no room
        yield
        return
    try:
        limit = time.monotonic() + _LOCK_SECONDS
        while time.monotonic() < limit:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(handle)
