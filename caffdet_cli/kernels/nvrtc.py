"""CUDA sources to machine code for one architecture, through the NVRTC library that CUDA builds of torch bring.

Neither nvcc nor a host compiler nor a GPU is needed. Results are kept like the CPU library (`build`): under a hash of
sources, flags, NVRTC's version and architecture.
"""

import ctypes
import hashlib
import os
import secrets
import site
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.kernels import build
from caffdet_cli.kernels.compiler import NotAvailable
from caffdet_cli.paths import shipped

_FLAGS = ("--std=c++17",)


class Compiled(NamedTuple):
    """Machine code and where it came from."""

    code: bytes
    path: Path
    how: str  # "cached" or "built"
    note: str


def compiled(source: str, macros: Sequence[str], arch: int) -> Compiled:
    """Machine code of `ops/cuda/<source>.cu`.

    Args:
        macros: `NAME=value`.
        arch: compute capability times ten: 75, 80, 120.

    Raises:
        NotAvailable: no NVRTC, or it failed; one line.
    """
    options = [*_FLAGS, f"--gpu-architecture=sm_{arch}", *(f"-D{macro}" for macro in macros)]
    stem = f"{source}-sm{arch}-{_key(source, options)}"
    if (kept := _kept(stem)) is not None:
        return kept
    code = _compile(source, options)
    home, note = build.writable(build.folder())
    path = home / f"{stem}-{_digest(code)}.cubin"
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            file.write(code)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:  # it runs without being kept
        part.unlink(missing_ok=True)
        note = note or f"{path} could not be kept: {error.strerror or error}"
    return Compiled(code, path, "built", note)


def _kept(stem: str) -> Compiled | None:
    """Machine code from the cache whose content is what its name says."""
    for path in sorted(build.folder().glob(f"{stem}-*.cubin")):
        try:
            code = path.read_bytes()
        except OSError:  # one file, or none
            continue
        if path.stem.endswith(f"-{_digest(code)}"):
            return Compiled(code, path, "cached", "")
    return None


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()[:16]


def architectures() -> list[int]:
    """What the NVRTC of this machine knows.

    Raises:
        NotAvailable: there is no NVRTC.
    """
    nvrtc = _library()
    count = ctypes.c_int()
    _check(nvrtc, nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    found = (ctypes.c_int * count.value)()
    _check(nvrtc, nvrtc.nvrtcGetSupportedArchs(found))
    return list(found)


def version() -> str:
    """Of NVRTC, `13.0`.

    Raises:
        NotAvailable: there is no NVRTC.
    """
    nvrtc = _library()
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(nvrtc, nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def _headers() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((shipped("ops") / "cuda").glob("*.h"))}


def _key(source: str, options: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in (version(), *options):
        digest.update(f"{part}\0".encode())
    for name, text in {**_headers(), source: _text(source)}.items():
        digest.update(f"{name}\0".encode() + text)
    return digest.hexdigest()[:20]


def _text(source: str) -> bytes:
    return (shipped("ops") / "cuda" / f"{source}.cu").read_bytes()


def _compile(source: str, options: Sequence[str]) -> bytes:
    nvrtc, headers = _library(), _headers()
    program = ctypes.c_void_p()
    texts = (ctypes.c_char_p * len(headers))(*headers.values())
    names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
    made = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), _text(source), f"{source}.cu".encode(), len(headers), texts, names
    )
    _check(nvrtc, made)
    try:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if nvrtc.nvrtcCompileProgram(program, len(options), given):
            raise NotAvailable(f"NVRTC failed: {_first_error(_log(nvrtc, program))}")
        size = ctypes.c_size_t()
        _check(nvrtc, nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        code = ctypes.create_string_buffer(size.value)
        _check(nvrtc, nvrtc.nvrtcGetCUBIN(program, code))
        return code.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _log(nvrtc: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(max(1, size.value))
    nvrtc.nvrtcGetProgramLog(program, text)
    return text.value.decode(errors="replace")


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")[:200]


def _check(nvrtc: ctypes.CDLL, result: int) -> None:
    if result:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise NotAvailable(f"NVRTC failed: {nvrtc.nvrtcGetErrorString(result).decode()}")


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """NVRTC: as torch's packages bring it, else as the system has it.

    Raises:
        NotAvailable: neither.
    """
    for name in (
        *_candidates(),
        "libnvrtc.so.13",
        "libnvrtc.so.12",
        "libnvrtc.so",
        "nvrtc64_130_0.dll",
        "nvrtc64_120_0.dll",
    ):
        try:
            return ctypes.CDLL(str(name))
        except OSError:  # noqa: PERF203  # a handful
            continue
    raise NotAvailable("libnvrtc not found (CPU-only torch?)")


def _candidates() -> list[Path]:
    """Of the newest version first. (`builtins` libraries lie beside it and are found by it.)"""
    roots = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages(), *sys.path}
    found = {
        path.resolve()
        for root in roots
        if root
        for pattern in ("nvidia/*/lib/libnvrtc.so.1[0-9]", "nvidia/*/bin/nvrtc64_*.dll", "torch/lib/libnvrtc*.so*")
        for path in Path(root).glob(pattern)
        if "builtins" not in path.name
    }
    return sorted(found, reverse=True)
