"""A detector from a checkpoint: one of ours, or a published one."""

from pathlib import Path
from typing import NamedTuple

import torch

from caffdet_cli.errors import WeightsError
from caffdet_cli.models.build import detector
from caffdet_cli.models.dino import Dino
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.known import find_weights
from caffdet_cli.weights.published import published_model, read_published
from caffdet_cli.weights.remap import from_published
from caffdet_cli.weights.store import Stored, read_weights


class Loaded(NamedTuple):
    """A detector in evaluation mode, and what must be known to use it."""

    detector: Dino
    model: Model
    conventions: Conventions  # of a published file without class names: its data set has them
    source: Path


def load_detector(weights: str) -> Loaded:
    """Build and fill a detector.

    Args:
        weights: a run folder, a checkpoint folder or file, or a published name.

    Raises:
        WeightsError: not at hand, broken, of an unknown architecture, or not whole.
    """
    path = find_weights(weights)
    stored = read_stored(path)
    with torch.device("meta"):  # no memory and no random numbers before the tensors are known to fit
        network = detector(stored.model, outputs_of(stored))
    check_shapes(network, stored, path)
    own = network.state_dict()
    state = {name: value.to(own[name].dtype) if name in own else value for name, value in stored.state.items()}
    missing, unexpected = network.load_state_dict(state, strict=False, assign=True)
    if missing or unexpected:
        first = ", ".join([*missing, *unexpected][:3])
        raise WeightsError(f"{path}: {len(missing)} tensors are missing and {len(unexpected)} are unknown: {first}")
    return Loaded(network.eval(), stored.model, stored.conventions, path)


def read_stored(path: Path) -> Stored:
    """The content of a checkpoint file under our names, whoever wrote it."""
    if path.suffix == ".safetensors":
        return read_weights(path)
    state = read_published(path)
    model = published_model(state, path)
    renamed = from_published(state, model)
    if renamed.unknown:
        raise WeightsError(
            f"{path}: {len(renamed.unknown)} tensors have no place in the model: {', '.join(renamed.unknown[:3])}"
        )
    reference = "ir" if "ir" in model.spectra else "rgb"
    return Stored(model, Conventions(input=model.input, spectra=model.spectra, label_spectrum=reference), renamed.state)


def outputs_of(stored: Stored) -> int:
    """Class slots of a stored detector."""
    return len(stored.conventions.classes) or stored.model.outputs


def check_shapes(network: torch.nn.Module, stored: Stored, path: Path) -> None:
    """Say what `load_state_dict` would report with a traceback.

    Raises:
        WeightsError: a tensor has another shape than the settings in the file ask for.
    """
    own = network.state_dict()
    for name, value in stored.state.items():
        if name in own and own[name].shape != value.shape:
            raise WeightsError(
                f"{path} contradicts itself: {name} has the shape {list(value.shape)}, "
                f"its settings ask for {list(own[name].shape)}"
            )
