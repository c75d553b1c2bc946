"""What detectors cost: parameters and operations of their parts, time, memory; and each fusion on the same detector."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from caffdet_cli.benchmark.child import ask_child
from caffdet_cli.benchmark.counting import (
    PARTS,
    Count,
    count_operations,
    count_parameters,
    parameters_by_part,
)
from caffdet_cli.benchmark.request import Subject, parsed_size, spectra_given, subjects
from caffdet_cli.benchmark.timing import Latency, Memory, end_to_end, machine, measure, network_alone, noise_batch
from caffdet_cli.data.geometry import resize_size
from caffdet_cli.errors import CaffdetError, ConfigError
from caffdet_cli.inference.device import choose_device
from caffdet_cli.inference.predictor import Given, Predictor
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.models.build import detector
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.load import load_detector

_PREFIX = "caffdet-benchmark-"
_ROOMY = 1024  # pixels; a network that does not run at this size is broken, not fed with too small pictures
_CAMERA = (1024, 1280)  # height and width of LLVIP's pictures, as of many thermal cameras


@dataclass(frozen=True)
class Plan:
    """How it is measured."""

    subject: Subject
    size: tuple[int, int]
    batch: int
    precision: str
    device: torch.device
    given: Given
    repetitions: int
    operations: Count


@dataclass(frozen=True)
class Measured:
    """The cost of one detector. Operations are those of one picture or pair, as this package computes it."""

    plan: Plan
    parameters: dict[str, int]  # by part
    network: Latency
    end_to_end: Latency
    peak_MB: float | None

    def json(self) -> dict[str, Any]:
        """One row of `caffdet benchmark --json`: parameters in millions, operations in 1e9, memory in MB."""
        plan, subject = self.plan, self.plan.subject
        gflops, gmacs = plan.operations.by_part("fvcore"), plan.operations.by_part("multiply-adds")
        parts = {
            part: {
                "params_M": self.parameters[part] / 1e6,
                "gflops": gflops[part] / 1e9,
                "gmacs": gmacs[part] / 1e9,
            }
            for part in PARTS
        }
        return {
            "model": subject.name,
            "weights": subject.weights,
            "fusion": subject.fusion or subject.model.fusion_words,
            "size": "x".join(map(str, plan.size)),
            "batch": plan.batch,
            "precision": plan.precision,
            "device": str(plan.device),
            "spectrum": plan.given,
            "params_M": sum(self.parameters.values()) / 1e6,
            "gflops": sum(gflops.values()) / 1e9,
            "gmacs": sum(gmacs.values()) / 1e9,
            "parts": parts,
            "network": self.network.json(),
            "end_to_end": self.end_to_end.json(),
            "peak_MB": self.peak_MB,
        }


@dataclass(frozen=True)
class Report:
    """The cost of detectors on this machine."""

    machine: dict[str, Any]  # what times were taken on
    rows: tuple[Measured, ...]

    def json(self) -> dict[str, Any]:
        """As `caffdet benchmark --json` writes it."""
        return {"machine": self.machine, "rows": [row.json() for row in self.rows]}


def benchmark(
    models: Sequence[str] = (),
    *,
    weights: str | None = None,
    overrides: Sequence[str] = (),
    size: str | None = None,
    batch: int = 1,
    precision: str = "fp32",
    device: str = "auto",
    spectrum: Given | None = None,
    fusions: bool = False,
    repetitions: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure detectors, prepared for inference as `caffdet predict` runs them.

    Args:
        models: shipped configurations or TOML files; their weights are random, which does not change the cost.
        weights: a checkpoint in their place.
        size: height and width in pixels, "512x640"; None: what the model makes of a picture of 1024x1280.
        batch: pictures or pairs at a time.
        spectrum: which spectra a pair model is given.
        fusions: measure each pair model with every fusion there is, and with one spectrum alone.
        repetitions: timed calls; None: 10, on a GPU 50.

    Raises:
        ConfigError, WeightsError: a model, size, spectrum, device or precision that does not exist or does not fit.
        RunError: a process that measured was killed.
    """
    progress = progress or Bars()
    shape = None if size is None else parsed_size(size)
    place = choose_device(device, precision)
    repeated = repetitions or (50 if place.type == "cuda" else 10)
    plans = []
    for subject in subjects(models, weights, overrides, fusions):
        at = shape or usual_size(subject.model)
        given = spectra_given(subject, spectrum)
        try:
            operations = operations_of(subject, *at)
        except ConfigError as error:
            if not subject.fusion:
                raise
            progress.warn(f"{subject.title} is left out: {error}")
            continue
        plans.append(Plan(subject, at, batch, precision, place, given, repeated, operations))
    run = in_own_process if len(plans) > 1 and place.type == "cpu" else measured
    rows = tuple(run(plan, progress) for plan in plans)
    return Report(machine(place), rows)


def usual_size(model: Model) -> tuple[int, int]:
    """Height and width that a picture of a usual camera has after the model's resizing."""
    height, width = resize_size(*_CAMERA, model.input.short_side, model.input.max_side)
    return height, width


def operations_of(subject: Subject, height: int, width: int) -> Count:
    """Operations of one picture or pair.

    Raises:
        ConfigError: the pictures are too small for the network.
    """
    try:
        return count_operations(subject.model, height, width)
    except CaffdetError as error:  # the network's own word about small pictures
        raise ConfigError(f"--size {height}x{width} does not suit {subject.title}: {error}") from error
    except (RuntimeError, ValueError) as error:
        count_operations(subject.model, _ROOMY, _ROOMY)  # if this fails too, it is not for the size
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ConfigError(f"--size {height}x{width} is too small for {subject.title}: {reason}") from error


def measured(plan: Plan, progress: Progress) -> Measured:
    """Run what was planned."""
    subject, size = plan.subject, "x".join(map(str, plan.size))
    progress.say(f"{subject.title}: {size}, batch {plan.batch}, {plan.precision}, {plan.device}")
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        found = _times(plan, Path(folder), progress)
    return Measured(plan, parameters_by_part(count_parameters(subject.model)), *found)


def in_own_process(plan: Plan, progress: Progress) -> Measured:
    """`measured` where nothing is left of what ran before: the peak of resident memory would not show."""
    subject = plan.subject
    progress.say(f"{subject.title}: in a process of its own")
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        request = {
            "name": subject.name,
            "model": subject.model.model_dump(mode="json"),
            "weights": subject.weights,
            "size": plan.size,
            "batch": plan.batch,
            "precision": plan.precision,
            "device": str(plan.device),
            "given": plan.given,
            "repetitions": plan.repetitions,
            "threads": torch.get_num_threads(),
            "folder": folder,
        }
        found = ask_child(request, subject.title)
    network, whole = Latency(**found["network"]), Latency(**found["end_to_end"])
    return Measured(plan, parameters_by_part(count_parameters(subject.model)), network, whole, found["peak_MB"])


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What the process of `in_own_process` does."""
    torch.set_num_threads(request["threads"])
    plan = Plan(
        Subject(request["name"], Model.model_validate(request["model"]), request["weights"]),
        (request["size"][0], request["size"][1]),
        request["batch"],
        request["precision"],
        torch.device(request["device"]),
        request["given"],
        request["repetitions"],
        Count(()),
    )
    network, whole, peak = _times(plan, Path(request["folder"]), Progress())
    return {"network": network.json(), "end_to_end": whole.json(), "peak_MB": peak}


def _times(plan: Plan, folder: Path, progress: Progress) -> tuple[Latency, Latency, float | None]:
    """Of the network alone and end to end, and the peak of memory in MB. `folder` is empty, for pictures."""
    subject, model, device = plan.subject, plan.subject.model, plan.device
    memory = Memory(device)
    torch.manual_seed(0)
    if subject.weights is None:
        network = detector(model, model.outputs or 1)
    else:
        network = load_detector(subject.weights).detector
    predictor = Predictor(
        prepare(network, plan.precision), Conventions(input=model.input, spectra=model.spectra), device, plan.precision
    )
    alone = network_alone(predictor, noise_batch(len(model.spectra), *plan.size, plan.batch), plan.given)
    calls = (device, plan.batch, plan.repetitions, 10 if device.type == "cuda" else 2, progress)
    network_times = measure(alone, *calls, "network alone")
    peak = memory.peak_of(alone)
    whole = end_to_end(predictor, model, folder, plan.size, plan.batch, plan.given)
    return network_times, measure(whole, *calls, "end to end"), peak
