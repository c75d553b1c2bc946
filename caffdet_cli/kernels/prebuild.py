"""Building ahead of the first use: for containers, clusters and machines without a network."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from caffdet_cli.errors import ConfigError, OutputError, RunError
from caffdet_cli.kernels import build, choice, nvrtc
from caffdet_cli.kernels.compiler import NotAvailable
from caffdet_cli.kernels.cuda import Variant
from caffdet_cli.progress import Progress

_WIDTHS = (16, 32)  # channels per head of the shipped models


class Built(NamedTuple):
    """One library or piece of machine code."""

    target: str  # "cpu", "sm_90"
    how: str
    path: Path


def prebuild(
    architectures: Sequence[str] | None = None, *, cpu_only: bool = False, progress: Progress | None = None
) -> list[Built]:
    """Build the CPU library, and the kernels of the shipped models for CUDA architectures.

    Args:
        architectures: `sm_80`, `80` or `8.0`; None: those of the GPUs of this machine.

    Raises:
        ConfigError: an architecture is unknown. RunError: a compiler is missing or failed.
    """
    progress = progress or Progress()
    chosen = [] if cpu_only else _chosen(architectures)
    built: list[Built] = []
    try:
        if architectures is None or cpu_only:
            library = build.build(progress.say)
            built.append(Built("cpu", library.how, library.path))
        jobs = [(arch, job) for arch in chosen for job in _jobs()]
        for arch, (source, variant, backward) in progress.track(jobs, "compiling for CUDA"):
            done = nvrtc.compiled(source, variant.macros(backward), arch)
            built.append(Built(f"sm_{arch}", done.how, done.path))
    except NotAvailable as reason:
        raise RunError(f"the operators cannot be built: {reason}") from reason
    choice.forget()
    return built


def clear() -> tuple[int, Path]:
    """Remove what was built; how many files, and where they were."""
    folder, removed = build.folder(), 0
    for pattern in ("cpu-*.so", "cpu-*.lock", "*.cubin", ".*.part"):
        for path in sorted(folder.glob(pattern)):
            try:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except OSError as error:
                raise OutputError(f"cannot remove {path}: {error.strerror or error}") from error
            removed += 1
    choice.forget()
    return removed, folder


def _chosen(architectures: Sequence[str] | None) -> list[int]:
    if architectures is None:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return sorted({major * 10 + minor for major, minor in map(torch.cuda.get_device_capability, range(count))})
    try:
        known = nvrtc.architectures()
    except NotAvailable as reason:
        raise RunError(f"the operators cannot be built for CUDA: {reason}") from reason
    chosen = []
    for word in architectures:
        digits = word.strip().lower().removeprefix("sm_").replace(".", "")
        if not digits.isdecimal() or int(digits) not in known:
            names = ", ".join(f"sm_{arch}" for arch in known)
            raise ConfigError(f"--arch {word}: NVRTC {nvrtc.version()} does not know it; it knows {names}")
        chosen.append(int(digits))
    return chosen


def _jobs() -> list[tuple[str, Variant, int]]:
    """What the shipped models launch, in float32 and under autocast; float16 is not trained in."""
    jobs = []
    for value in (torch.float32, torch.bfloat16, torch.float16):
        for channels in _WIDTHS:
            plain = Variant(value, value, channels)
            weighted = Variant(value, torch.float32, channels)
            for variant in dict.fromkeys((plain, weighted)):
                jobs += [("msda_fused", variant, 0), ("msda_fused", variant.for_backward(), 1)]
            jobs += [("kda", plain, 0), ("kda", plain.for_backward(), 1)]
    return [(name, variant, way) for name, variant, way in jobs if not (way and variant.value == torch.float16)]
