"""A detector from a checkpoint: one of ours, or a published one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from caffdet_cli.errors import ConfigError, WeightsError
from caffdet_cli.models.build import detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.released.registry import Entry, entry_of_file
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

    detector: Detector
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
    network = whole_detector(stored, path)
    own = network.state_dict()
    state = {name: value.to(own[name].dtype) for name, value in stored.state.items()}
    network.load_state_dict(state, assign=True)
    return Loaded(network.eval(), stored.model, stored.conventions, path)


def whole_detector(stored: Stored, path: Path) -> Detector:
    """The detector of a checkpoint, not yet filled: no memory and no random numbers before the tensors fit.

    Raises:
        WeightsError: tensors are missing, unknown, of other shapes, or hold numbers that are none.
    """
    with torch.device("meta"):
        network = detector(stored.model, outputs_of(stored))
    check_shapes(network, stored, path)
    own = network.state_dict().keys()
    missing, unexpected = sorted(own - stored.state.keys()), sorted(stored.state.keys() - own)
    if missing or unexpected:
        first = ", ".join([*missing, *unexpected][:3])
        raise WeightsError(f"{path}: {len(missing)} tensors are missing and {len(unexpected)} are unknown: {first}")
    check_numbers(stored, path)
    return network


def read_stored(path: Path, average: bool = False) -> Stored:
    """The content of a checkpoint file under our names, whoever wrote it.

    Args:
        average: of a published file, the moving average beside its weights.

    Raises:
        WeightsError: broken, of an unknown architecture, or another than a released file of this name.
    """
    if path.suffix == ".safetensors":
        if average:
            raise WeightsError(f"{path} is a file of caffdet, which keeps the moving average as its weights")
        return read_weights(path)
    state, entries = read_published(path, average)
    args = said_args(entries)
    model = published_model(state, path, args)
    if "enc_scale" not in args:
        model = as_released(model, path)
    renamed = from_published(_with_own_labels(state, model), model)
    if renamed.unknown:
        raise WeightsError(
            f"{path}: {len(renamed.unknown)} tensors have no place in the model: {', '.join(renamed.unknown[:3])}"
        )
    if torn := [name for name in renamed.torn if not name.startswith("pyramid.backbones.")]:
        raise WeightsError(
            f"{path}: copies of one tensor differ ({torn[0]}): its decoder layers have heads of their own, which this "
            "release has not"
        )
    reference = "ir" if "ir" in model.spectra else "rgb"
    conventions = Conventions(input=model.input, spectra=model.spectra, label_spectrum=reference)
    return Stored(model, conventions, renamed.state, entries)


def said_args(entries: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration beside published weights; empty where there is none."""
    args = entries.get("args")
    return args if isinstance(args, Mapping) else {}


def assumed_in(stored: Stored, path: Path) -> tuple[str, ...]:
    """Settings of the encoder that neither a published file nor its name tells."""
    if path.suffix == ".safetensors" or "enc_scale" in said_args(stored.entries):
        return ()
    entry, apart = beside_released(stored.model, path)
    return () if entry is not None and not apart else ("high_levels",)


def _with_own_labels(state: Mapping[str, torch.Tensor], model: Model) -> dict[str, torch.Tensor]:
    """Without rows of the denoising table that no class slot has: upstream's may be larger than the head.

    Its last row is not a class.
    """
    name, rows = "label_enc.weight", model.outputs + 1
    table = state.get(name)
    if table is None or table.dim() != 2 or len(table) <= rows:
        return dict(state)
    return {**state, name: torch.cat([table[: model.outputs], table[-1:]])}


def as_released(model: Model, path: Path) -> Model:
    """With what the released file of this name was trained with and a file does not tell: `encoder.high_levels`.

    A file of the same name and another architecture is left as it is.
    """
    entry, contradictions = beside_released(model, path)
    if entry is None or contradictions:
        return model
    own, theirs = model.encoder, _released(entry).encoder
    if isinstance(own, InterleavedEncoder) and isinstance(theirs, InterleavedEncoder):
        own = own.model_copy(update={"high_levels": theirs.high_levels})
        return model.model_copy(update={"encoder": own})
    return model


def beside_released(model: Model, path: Path, told: bool = False) -> tuple[Entry | None, dict[str, tuple[Any, Any]]]:
    """The released file of this name, and in which settings a model contradicts it: (released, here).

    Args:
        told: `encoder.high_levels`, which leaves no trace in tensors, was said and not assumed.
    """
    entry = entry_of_file(path)
    if entry is None or not entry.configuration:
        return None, {}
    apart = different(_released(entry), model)
    if not told:
        apart.pop("encoder.high_levels", None)
    return entry, apart


def _released(entry: Entry) -> Model:
    try:
        return load_config(model=entry.configuration, overrides=list(entry.settings)).config.model
    except ConfigError as error:
        raise ConfigError(f"the entry {entry.name!r} of the list of released files: {error}") from error


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
