"""What runs where, for `caffdet ops info` and `caffdet doctor`."""

import time
from typing import NamedTuple

import torch

from caffdet_cli.kernels import build, choice, reference
from caffdet_cli.kernels.cpu import CpuOperators

_SIZES = ((16, 20), (8, 10))
_POINTS = (4, 4)


class AboutDevice(NamedTuple):
    """One device."""

    device: str
    implementation: str  # "C++ (cached)", "plain PyTorch"
    note: str  # why, compiler, place, ratio against plain PyTorch


def about_operators() -> list[AboutDevice]:
    """Every device of this machine. Builds what was not built yet."""
    places = [torch.device("cpu")]
    if torch.cuda.is_available():
        places += [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        places.append(torch.device("mps"))
    return [_about(place) for place in places]


def _about(device: torch.device) -> AboutDevice:
    if choice.mode() == "reference":
        return AboutDevice(str(device), "plain PyTorch", "CAFFDET_OPS=reference asks for it")
    found = choice.look(device)
    if found.native is None:
        return AboutDevice(str(device), "plain PyTorch", found.reason)
    notes = [f"{_ratio(found.native, device):.0f}x plain PyTorch on a small case"]
    if isinstance(found.native, CpuOperators):
        library = found.native.library
        notes += [torch.backends.cpu.get_cpu_capability(), library.compiler, str(library.path), library.note]
    else:
        notes.append(str(build.folder()))
    return AboutDevice(str(device), found.native.about, "; ".join(filter(None, notes)))


def _ratio(operators: choice.Native, device: torch.device) -> float:
    """Time of plain PyTorch over native time, the fastest of a few calls each."""
    tokens = sum(height * width for height, width in _SIZES)
    value = torch.randn(1, tokens, 8, 32, device=device)
    locations = torch.rand(1, tokens, 8, sum(_POINTS), 2, device=device)
    weights = torch.rand(1, tokens, 8, sum(_POINTS), device=device)
    times = []
    for call in (reference.msda, operators.msda):
        laps = []
        for _ in range(5):
            begun = time.perf_counter()
            call(value, _SIZES, locations, weights, _POINTS)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            laps.append(time.perf_counter() - begun)
        times.append(min(laps))
    return times[0] / times[1]
