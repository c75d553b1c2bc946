"""Saving and continuing a run exactly: weights, optimiser, random generators, and where it was.

`checkpoints/last` holds all of it, `checkpoints/best` weights only. A checkpoint is one folder that gets its name when
it is whole; the one before is kept under another name until then: a kill at any moment leaves one to go on from.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from caffdet_cli.errors import WeightsError
from caffdet_cli.paths import friendly_writes
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.pickles import read_pickle
from caffdet_cli.weights.store import read_weights, save_weights
from caffdet_cli.weights.writing import write_torch

_WEIGHTS, _STATE = "model.safetensors", "training.pt"


class Position(NamedTuple):
    """Where a run is: everything that the loop counts."""

    epoch: int  # from 0
    step: int  # finished steps of this epoch
    totals: dict[str, float]  # sums of the logged losses over these steps
    best: float | None  # AP of the best validation, None before the first
    metrics: int  # bytes of metrics.jsonl that belong to it
    fingerprint: str  # of the training data


class Saved(NamedTuple):
    """A checkpoint that was read."""

    source: Path  # of the weights
    position: Position
    model: Model
    conventions: Conventions
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    average: dict[str, Any]
    generators: dict[str, Any]


def save_last(
    folder: Path,
    detector: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Any],
    position: Position,
    model: Model,
    conventions: Conventions,
) -> None:
    """Write `checkpoints/last`; `average` is the state of a moving average, or empty."""

    def fill(part: Path) -> None:
        save_weights(part / _WEIGHTS, detector.state_dict(), model, conventions)
        content = {
            "position": position._asdict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "generators": generator_states(),
        }
        write_torch(content, part / _STATE)

    _switch(folder / "checkpoints" / "last", fill)


def save_best(folder: Path, detector: torch.nn.Module, model: Model, conventions: Conventions) -> None:
    """Write `checkpoints/best`."""
    _switch(
        folder / "checkpoints" / "best",
        lambda part: save_weights(part / _WEIGHTS, detector.state_dict(), model, conventions),
    )


def last_of(folder: Path) -> Path | None:
    """The whole checkpoint of a run, also where the run was killed between two renames."""
    last = folder / "checkpoints" / "last"
    return next((place for place in (last, _before(last)) if place.is_dir()), None)


def read_last(folder: Path) -> Saved | None:
    """The checkpoint to go on from; None where the run was stopped before its first.

    Raises:
        WeightsError: it is there and cannot be read.
    """
    place = last_of(folder)
    if place is None:
        return None
    stored = read_weights(place / _WEIGHTS)
    content = read_pickle(place / _STATE)
    try:
        position = Position(**content["position"])
        return Saved(
            place / _WEIGHTS,
            position,
            stored.model,
            stored.conventions,
            stored.state,
            content["optimizer"],
            content.get("average", {}),  # runs of before there was one
            content["generators"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"cannot read {place / _STATE}: it is broken; start the run again") from error


def generator_states() -> dict[str, Any]:
    """The generators that denoising, dropout and drop path draw from."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_generators(states: dict[str, Any]) -> None:
    """The reverse of `generator_states`."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])


def _switch(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `target` and let it take the name; the one before has another name in between."""
    part, before = target.with_name(f".{target.name}.part"), _before(target)
    with friendly_writes(target):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            fill(part)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        if target.is_dir():
            shutil.rmtree(before, ignore_errors=True)
            target.rename(before)
        part.rename(target)
        shutil.rmtree(before, ignore_errors=True)


def _before(target: Path) -> Path:
    return target.with_name(f".{target.name}.before")
