"""A detector from a checkpoint: one of ours, or a published one."""

from pathlib import Path
from typing import NamedTuple

import torch

from caffdet_cli.errors import WeightsError
from caffdet_cli.models.build import detector
from caffdet_cli.models.dino import Dino
from caffdet_cli.released.registry import registry
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import InterleavedEncoder, Model
from caffdet_cli.weights.known import find_weights
from caffdet_cli.weights.naming import different
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
    check_numbers(stored, path)
    own = network.state_dict()
    state = {name: value.to(own[name].dtype) if name in own else value for name, value in stored.state.items()}
    missing, unexpected = network.load_state_dict(state, strict=False, assign=True)
    if missing or unexpected:
        first = ", ".join([*missing, *unexpected][:3])
        raise WeightsError(f"{path}: {len(missing)} tensors are missing and {len(unexpected)} are unknown: {first}")
    return Loaded(network.eval(), stored.model, stored.conventions, path)


def read_stored(path: Path, average: bool = False) -> Stored:
    """The content of a checkpoint file under our names, whoever wrote it.

    Args:
        average: of a published file, the moving average beside its weights.

    Raises:
        WeightsError: broken, of an unknown architecture, or another than a released file of this name.
    """
    if path.suffix == ".safetensors":
        return read_weights(path)
    state, entries = read_published(path, average)
    model = as_released(published_model(state, path), path)
    renamed = from_published(state, model)
    if renamed.unknown:
        raise WeightsError(
            f"{path}: {len(renamed.unknown)} tensors have no place in the model: {', '.join(renamed.unknown[:3])}"
        )
    reference = "ir" if "ir" in model.spectra else "rgb"
    conventions = Conventions(input=model.input, spectra=model.spectra, label_spectrum=reference)
    return Stored(model, conventions, renamed.state, entries)


def as_released(model: Model, path: Path) -> Model:
    """What the released file of this name was trained with, where a file does not tell: `encoder.high_levels`.

    Raises:
        WeightsError: it has the name of a released file and is of another model.
    """
    entry = next((each for each in registry().values() if each.file == path.name and each.configuration), None)
    if entry is None:
        return model
    released = load_config(model=entry.configuration, overrides=list(entry.settings)).config.model
    own, theirs = model.encoder, released.encoder
    if isinstance(own, InterleavedEncoder) and isinstance(theirs, InterleavedEncoder):
        own = own.model_copy(update={"high_levels": theirs.high_levels})
        model = model.model_copy(update={"encoder": own})
    for key, (there, here) in different(released, model).items():
        if key == "shared_backbone":  # two that are equal are loaded as one
            continue
        raise WeightsError(
            f"{path} has the name of the released {entry.name!r}, but its {key} is {here} and not {there}; "
            "rename it if it is another file, else fetch it again"
        )
    return model


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


def check_numbers(stored: Stored, path: Path) -> None:
    """Refuse weights with numbers that are none: whatever is computed with them is none either.

    Raises:
        WeightsError: names the first such tensor.
    """
    for name, value in stored.state.items():
        if value.is_floating_point() and not torch.isfinite(value.sum()) and not torch.isfinite(value).all():
            raise WeightsError(f"{path}: {name} holds numbers that are not finite; the training that made it diverged")
