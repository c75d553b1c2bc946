"""The CUDA sources through NVRTC, which needs no GPU; and what is kept of its results."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from caffdet_cli.kernels import nvrtc
from caffdet_cli.kernels.choice import NotAvailable
from caffdet_cli.kernels.cuda import Variant

OPERATORS = ("msda", "msda_fused", "kda")
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# The oldest, the first with vector atomics, and the newest: every branch of the sources.
SOME = (75, 90, 120)
OTHERS = (80, 86, 89, 100)
SMALL = Variant(torch.float32, torch.float32, 1).macros(0)  # the fastest to compile


@pytest.fixture(scope="module", autouse=True)
def architectures() -> list[int]:
    try:
        return nvrtc.architectures()
    except NotAvailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled kernels, empty and this test's own."""
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path))
    return tmp_path / "kernels"


def compile_all(jobs: Iterator[tuple[str, Variant, int]] | list[tuple[str, Variant, int]], arch: int) -> None:
    for source, variant, backward in jobs:
        done = nvrtc.compiled(source, variant.macros(backward), arch)
        assert (done.how, done.note) == ("built", "")
        assert done.code.startswith(b"\x7fELF")
        assert done.path.read_bytes() == done.code
        suffix = {0: "forward", 1: "backward", 2: "backward"}[backward]
        kernel = "fixed_point_to_real" if source == "fixed_point" else f"{source}_{suffix}"
        assert kernel.encode() in done.code


def known(arch: int, architectures: list[int]) -> None:
    if arch not in architectures:
        pytest.skip(f"NVRTC {nvrtc.version()} does not know sm_{arch}")


def usual() -> Iterator[tuple[str, Variant, int]]:
    """What the shipped models launch."""
    for dtype in (torch.float32, torch.bfloat16):
        for source in ("msda_fused", "kda"):
            for backward in (0, 1):
                yield source, Variant(dtype, dtype, 32), backward


@pytest.mark.parametrize("arch", SOME)
def test_what_models_launch_compiles(architectures, arch):
    known(arch, architectures)
    compile_all(usual(), arch)


def test_every_source_and_every_kind_of_sum_compiles(architectures):
    double = Variant(torch.float64, torch.float64, 8)
    others = [(source, double, backward) for source in OPERATORS for backward in (1, 2)]
    mixed = Variant(torch.float16, torch.float32, 71, levels=20)
    rest = [("msda", mixed, 0), ("kda", Variant(torch.float16, torch.float16, 6, separate_key=True), 2)]
    fixed = [("fixed_point", Variant(dtype, dtype, 1), 0) for dtype in TYPES]
    compile_all([*others, *rest, *fixed], max(set(SOME) & set(architectures)))


@pytest.mark.slow
@pytest.mark.parametrize("arch", OTHERS)
def test_what_models_launch_compiles_for_the_other_architectures(architectures, arch):
    known(arch, architectures)
    compile_all(usual(), arch)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("arch", sorted(SOME + OTHERS))
def test_everything_compiles_for_every_architecture(architectures, arch, dtype):
    known(arch, architectures)
    for channels in (3, 16, 71):
        plain = Variant(dtype, dtype, channels)
        separate = Variant(dtype, dtype, channels, separate_key=True)
        weighted = Variant(dtype, torch.promote_types(dtype, torch.float32), channels)
        for backward in (0, 1, 2):
            jobs = [(source, variant, backward) for source in OPERATORS[:2] for variant in {plain, weighted}]
            compile_all([*jobs, ("kda", plain, backward), ("kda", separate, backward)], arch)
    compile_all([("fixed_point", variant, 0) for variant in {plain, weighted}], arch)


# What is kept


def test_a_second_call_takes_what_was_kept(kept):
    first = nvrtc.compiled("fixed_point", SMALL, 75)
    second = nvrtc.compiled("fixed_point", SMALL, 75)
    assert (first.how, second.how) == ("built", "cached")
    assert (second.code, second.path, second.note) == (first.code, first.path, "")
    assert list(kept.iterdir()) == [first.path]


def test_another_type_architecture_source_or_header_is_another_file(kept, monkeypatch):
    nvrtc.compiled("fixed_point", SMALL, 75)
    nvrtc.compiled("fixed_point", Variant(torch.float32, torch.float64, 1).macros(0), 75)
    nvrtc.compiled("fixed_point", SMALL, 90)
    text, headers = nvrtc._text, nvrtc._headers
    monkeypatch.setattr(nvrtc, "_text", lambda source: text(source) + b"// changed\n")
    nvrtc.compiled("fixed_point", SMALL, 75)
    monkeypatch.setattr(nvrtc, "_headers", lambda: {**headers(), "numbers.h": headers()["numbers.h"] + b"// changed\n"})
    nvrtc.compiled("fixed_point", SMALL, 75)
    assert len(list(kept.iterdir())) == 5


def test_an_empty_file_is_built_again():
    first = nvrtc.compiled("fixed_point", SMALL, 75)
    first.path.write_bytes(b"")
    again = nvrtc.compiled("fixed_point", SMALL, 75)
    assert (again.how, again.path) == ("built", first.path)
    assert first.path.read_bytes() == first.code


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "file"))
    done = nvrtc.compiled("fixed_point", SMALL, 75)
    assert done.how == "built"
    assert done.code.startswith(b"\x7fELF")
    assert done.note.startswith(f"cache directory not writable ({tmp_path / 'file' / 'kernels'}: ")
    assert tmp_path not in done.path.parents


def test_a_full_disk_costs_only_the_keeping(kept, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = nvrtc.compiled("fixed_point", SMALL, 75)
    assert done.code.startswith(b"\x7fELF")
    assert done.note == f"{done.path} could not be kept: No space left on device"
    assert list(kept.iterdir()) == []  # nothing half-written either


def test_what_fails_says_the_first_error_and_leaves_nothing(kept, monkeypatch):
    with pytest.raises(NotAvailable, match=r"^NVRTC failed: .*gpu-architecture") as unknown:
        nvrtc.compiled("fixed_point", SMALL, 1)
    monkeypatch.setattr(nvrtc, "_text", lambda source: b"\n__global__ void broken() { nonsense(); }\n")
    with pytest.raises(NotAvailable, match=r'^NVRTC failed: fixed_point\.cu\(2\): error: .*"nonsense"') as broken:
        nvrtc.compiled("fixed_point", SMALL, 75)
    assert all("\n" not in str(error.value) for error in (unknown, broken))
    assert not kept.exists() or list(kept.iterdir()) == []


def test_no_nvrtc_is_a_reason(monkeypatch):
    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    nvrtc._library.cache_clear()
    monkeypatch.setattr(nvrtc.ctypes, "CDLL", refuse)
    for call in (nvrtc.architectures, nvrtc.version, lambda: nvrtc.compiled("fixed_point", SMALL, 75)):
        with pytest.raises(NotAvailable, match=r"^libnvrtc not found \(CPU-only torch\?\)$"):
            call()
