"""How long a detector takes and how much memory it needs, on this machine."""

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from caffdet_cli.data.batches import collate, to_device
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.inference.device import autocast
from caffdet_cli.inference.predictor import Given, Predictor, only
from caffdet_cli.inference.sources import picture_set
from caffdet_cli.progress import Progress
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Model
from caffdet_cli.values import Batch

Call = Callable[[], object]


@dataclass(frozen=True)
class Latency:
    """Times of one call, repeated; in milliseconds."""

    median_ms: float
    min_ms: float
    p10_ms: float
    p90_ms: float
    repetitions: int
    per_second: float  # pictures or pairs, at the median

    def json(self) -> dict[str, float]:
        """For --json."""
        return asdict(self)


def measure(
    call: Call, device: torch.device, batch: int, repetitions: int, warm_up: int, progress: Progress, label: str
) -> Latency:
    """Time a call, wall time of the whole of it: on a GPU until it has finished.

    Args:
        batch: pictures or pairs in a call.
    """
    times = []
    for number in progress.track(range(warm_up + repetitions), label):
        synchronize(device)
        begun = time.perf_counter()
        call()
        synchronize(device)
        if number >= warm_up:
            times.append(1000 * (time.perf_counter() - begun))
    return latency(times, batch)


def latency(times: list[float], batch: int) -> Latency:
    """What there is to say about times in milliseconds."""
    median = statistics.median(times)
    low, high = (float(np.percentile(times, share)) for share in (10, 90))
    return Latency(median, min(times), low, high, len(times), 1000 * batch / median)


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def network_alone(predictor: Predictor, batch: Batch, given: Given) -> Call:
    """One forward pass on pictures that are on the device already."""
    shown = to_device(only(batch, predictor.spectra, given), predictor.device, predictor.input)

    def call() -> object:
        with torch.inference_mode(), autocast(predictor.device, predictor.precision):
            return predictor.detector(shown)

    return call


def end_to_end(
    predictor: Predictor, model: Model, folder: Path, size: tuple[int, int], batch: int, given: Given
) -> Call:
    """From pictures in files to detections in their pixels, one step after the other in one process.

    Args:
        folder: an empty one, for the pictures.
        size: height and width of the pictures, and of what the network sees.
    """
    height, width = size
    seen = model.input.model_copy(update={"short_side": min(size), "max_side": max(size)})
    spectra = model.spectra if given == "pair" else (given,)
    conventions = Conventions(
        input=seen, spectra=model.spectra, label_spectrum="ir" if "ir" in spectra else "rgb", classes=()
    )
    places = {
        spectrum: write_pictures(folder / spectrum, height, width, batch, spectrum == "ir") for spectrum in spectra
    }
    pictures = picture_set(places.get("rgb"), places.get("ir"), conventions).pictures
    dataset = PairDataset(pictures, conventions, augment=None, seed=0)

    def call() -> object:
        loaded, _ = collate([dataset[number] for number in range(batch)], conventions.reference)
        return predictor(loaded, given)

    return call


def write_pictures(folder: Path, height: int, width: int, count: int, grey: bool) -> Path:
    """Soft noise as JPEG files, which take as long to read as photographs of that size do."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 256, (max(2, height // 16), max(2, width // 16), 1 if grey else 3), np.uint8)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:04}.jpg"), picture)
    return folder


def noise_batch(spectra: int, height: int, width: int, count: int) -> Batch:
    """Random pictures without padding."""
    from caffdet_cli.benchmark.counting import blank_batch

    blank = blank_batch(spectra, height, width, count)
    random = torch.Generator().manual_seed(0)
    pixels = [torch.randn(count, 3, height, width, generator=random) for _ in range(spectra)]
    streams = (each._replace(pixels=drawn) for each, drawn in zip(blank.spectra, pixels, strict=True))
    return blank._replace(spectra=tuple(streams))


class Memory:
    """Peak memory above what was taken before: of a GPU what torch has allocated, else resident memory of the process.

    The second needs Linux; elsewhere there is no figure.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._before = self._taken()

    def peak_of(self, call: Call) -> float | None:
        """In MB, with the weights if they were loaded since; None where it cannot be told."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            call()
            return max(0, torch.cuda.max_memory_allocated(self._device) - self._before) / 2**20
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            call()
            return max(0, _resident("VmHWM") - self._before) / 2**20
        except OSError:
            return None

    def _taken(self) -> int | None:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        if self._device.type != "cpu":
            return None
        try:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # memory that is kept for later would not be seen
            return _resident("VmRSS")
        except (OSError, AttributeError, TypeError):
            return None


def _resident(name: str) -> int:
    """Bytes, from Linux's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def machine(device: torch.device) -> dict[str, Any]:
    """What times were taken on."""
    from caffdet_cli.kernels import choice

    found = choice.look(device).native if choice.mode() != "reference" else None
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "operators": found.about if found else "plain PyTorch",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
