"""What detectors cost: parameters and operations of their parts, time, memory; and each fusion on the same detector."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import torch

from caffdet_cli.benchmark.counting import (
    PARTS,
    Count,
    count_operations,
    count_parameters,
    parameters_by_part,
)
from caffdet_cli.benchmark.timing import Latency, Memory, end_to_end, measure, network_alone, noise_batch
from caffdet_cli.data.transforms import resize_size
from caffdet_cli.errors import CaffdetError, ConfigError
from caffdet_cli.inference.predictor import Given, Predictor, choose_device
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.models.build import detector
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.load import load_detector

_LARGEST_SIDE = 16384
_ROOMY = 1024  # pixels; a network that does not run at this size is broken, not fed with too small pictures
_CAMERA = (1024, 1280)  # height and width of LLVIP's pictures, as of many thermal cameras


@dataclass(frozen=True)
class Subject:
    """What is measured."""

    name: str
    model: Model
    weights: str | None = None
    fusion: str = ""  # where fusions are compared: which one

    @property
    def title(self) -> str:
        return f"{self.name}, {self.fusion}" if self.fusion else self.name


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
            "fusion": subject.fusion or subject.model.fusion.name,
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
) -> list[Measured]:
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
    """
    progress = progress or Bars()
    shape = None if size is None else parsed_size(size)
    place = choose_device(device)
    check_precision(precision, place)
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
    return [run(plan, progress) for plan in plans]


def subjects(models: Sequence[str], weights: str | None, overrides: Sequence[str], fusions: bool) -> Iterator[Subject]:
    """What was asked for, in that order."""
    if weights is not None:
        if models or overrides or fusions:
            raise ConfigError("--weights brings its own model: leave out --model, --set and --fusions")
        yield Subject(weights, load_detector(weights).model, weights)
    for name in models:
        model = load_config(model=name, overrides=overrides).config.model
        if not fusions:
            yield Subject(name, model)
            continue
        if len(model.spectra) == 1:
            raise ConfigError(f"--fusions: {name} looks at one spectrum and has no fusion; take a pair model")
        for fusion in fusion_names():
            own = [] if fusion == model.fusion.name else [f"model.fusion.name={fusion}"]
            yield Subject(name, load_config(model=name, overrides=[*overrides, *own]).config.model, fusion=fusion)
        alone = [*overrides, "model.fusion.name=none", f'model.spectra=["{model.spectra[0]}"]']
        single = load_config(model=name, overrides=alone).config.model
        yield Subject(name, single, fusion=f"none, {model.spectra[0]} alone")


def fusion_names() -> list[str]:
    """Every fusion that the settings know, without the one that stands for a single spectrum."""
    kinds = get_args(get_args(schema.Fusion)[0])
    return [kind.model_fields["name"].default for kind in kinds if kind is not schema.NoFusion]


def parsed_size(text: str) -> tuple[int, int]:
    """`512x640` -> (512, 640).

    Raises:
        ConfigError: it is not two whole numbers from 1 to 16384.
    """
    pieces = text.lower().split("x")
    if len(pieces) != 2 or not all(piece.isascii() and piece.isdigit() and len(piece) < 6 for piece in pieces):
        raise ConfigError(f"--size {text}: write height and width in pixels as HxW, for example 512x640")
    height, width = map(int, pieces)
    if not (1 <= height <= _LARGEST_SIDE and 1 <= width <= _LARGEST_SIDE):
        raise ConfigError(f"--size {text}: sides are from 1 to {_LARGEST_SIDE} pixels")
    return height, width


def usual_size(model: Model) -> tuple[int, int]:
    """Height and width that a picture of a usual camera has after the model's resizing."""
    height, width = resize_size(*_CAMERA, model.input.short_side, model.input.max_side)
    return height, width


def spectra_given(subject: Subject, spectrum: Given | None) -> Given:
    """What the detector is shown.

    Raises:
        ConfigError: it has no such spectrum.
    """
    own = subject.model.spectra
    usual: Given = "pair" if len(own) == 2 else own[0]
    if spectrum is None or spectrum == usual or subject.fusion.startswith("none"):
        return usual
    if len(own) == 1:
        raise ConfigError(f"--spectrum {spectrum}: {subject.name} looks at {own[0]} pictures alone")
    return spectrum


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse numbers that a device does not compute in.

    Raises:
        ConfigError: names both.
    """
    if precision == "fp32" or device.type == "cpu":
        return
    if device.type != "cuda" or not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(f"--precision {precision}: {device} does not compute in it; take --precision fp32")


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
    subject, model, device = plan.subject, plan.subject.model, plan.device
    progress.say(f"{subject.title}: {'x'.join(map(str, plan.size))}, batch {plan.batch}, {plan.precision}, {device}")
    memory = Memory(device)
    torch.manual_seed(0)
    if subject.weights is None:
        network = detector(model, model.outputs or 1)
    else:
        network = load_detector(subject.weights).detector
    predictor = Predictor(prepare(network, plan.precision), model.spectra, device, plan.precision)
    alone = network_alone(predictor, noise_batch(len(model.spectra), *plan.size, plan.batch), plan.given)
    calls = (device, plan.batch, plan.repetitions, 10 if device.type == "cuda" else 2, progress)
    network_times = measure(alone, *calls, "network alone")
    peak = memory.peak_of(alone)
    with tempfile.TemporaryDirectory(prefix="caffdet-benchmark-") as folder:
        whole = end_to_end(predictor, model, Path(folder), plan.size, plan.batch, plan.given)
        whole_times = measure(whole, *calls, "end to end")
    parameters = parameters_by_part(count_parameters(model))
    return Measured(plan, parameters, network_times, whole_times, peak)


def in_own_process(plan: Plan, progress: Progress) -> Measured:
    """`measured` where nothing is left of what ran before: the peak of resident memory would not show."""
    progress.say(f"{plan.subject.title}: in a process of its own")
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (torch.get_num_threads(),)) as pool:
        return pool.submit(measured, plan, Progress()).result()
