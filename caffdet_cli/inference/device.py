"""Where a detector computes, and in which numbers: the words of `--device` and `--precision`."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch

from caffdet_cli.errors import ConfigError
from caffdet_cli.kernels.choice import CaffdetPerformanceWarning

HALF_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Types of numbers that multiplications take under autocast; sums, fusions' logits and boxes stay in float32."""

_PROCESSOR_FLAGS = {"bf16": {"amx_bf16", "avx512_bf16", "bf16"}, "fp16": {"amx_fp16", "avx512_fp16", "asimdhp"}}


class How(NamedTuple):
    """How a detector computes."""

    device: torch.device
    precision: str = "fp32"
    batch: int = 1
    workers: int = 0


def choose_device(device: str, precision: str = "fp32") -> torch.device:
    """`auto`: CUDA, else MPS, else the CPU; or a device by name. Warns of a precision that is slow there.

    Raises:
        ConfigError: it does not exist here, or does not compute in this precision.
    """
    place = _found(device)
    if precision != "fp32":
        if place.type == "mps":
            raise ConfigError(f"--precision {precision}: mps does not compute in it; take --precision fp32")
        is_fast, why = about_precision(precision, place)
        if not is_fast:
            warnings.warn(f"caffdet: --precision {precision}: {why}", CaffdetPerformanceWarning, stacklevel=2)
    return place


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Multiplications inside take numbers of this precision."""
    kind = HALF_TYPES.get(precision)
    return nullcontext() if kind is None else torch.autocast(device.type, kind)


def about_precision(precision: str, device: torch.device) -> tuple[bool, str]:
    """Whether a CPU or a GPU is fast in "bf16" or "fp16", and what there is to say about it."""
    if device.type == "cuda":
        is_fast = precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
        return is_fast, "on cuda" if is_fast else "this GPU emulates it; take fp16 or fp32 to detect, fp32 to train"
    flags = sorted(_PROCESSOR_FLAGS[precision] & _flags())
    return bool(flags), f"on this CPU ({', '.join(flags)})" if flags else "this CPU emulates it; fp32 is faster"


def _found(device: str) -> torch.device:
    if device == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"--device {device}: unknown; use auto, cpu, cuda, cuda:1 or mps") from error
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(
        chosen.type, 0
    )
    if (chosen.index or 0) >= found:
        raise ConfigError(f"--device {device}: there are {found} of this kind here; `caffdet doctor` shows the devices")
    return chosen


def _flags() -> set[str]:
    """What the processor can do, as Linux lists it; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return {flag for line in text.splitlines() if line.startswith(("flags", "Features")) for flag in line.split()}
