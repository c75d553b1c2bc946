"""Our checkpoint file: safetensors with the settings and conventions of its model inside; the file alone is enough."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from caffdet_cli.errors import WeightsError
from caffdet_cli.paths import whole_file
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.pickles import can_be_read

_KEY = "caffdet"
_FORMAT = 1


class Stored(NamedTuple):
    """What a checkpoint holds."""

    model: Model
    conventions: Conventions
    state: dict[str, Tensor]
    entries: Mapping[str, Any] = MappingProxyType({})  # of a published file, beside its weights


def save_weights(path: Path, state: Mapping[str, Tensor], model: Model, conventions: Conventions) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        state: a detector's `state_dict()`.
    """
    facts = {
        "format": _FORMAT,
        "model": model.model_dump(mode="json"),
        "conventions": conventions.model_dump(mode="json"),
    }
    tensors, seen = {}, set()
    for name, tensor in state.items():
        whole = tensor.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        tensors[name] = whole.clone() if place in seen else whole  # the format has no shared memory
        seen.add(place)
    with whole_file(path) as part:
        # Not save_file: on a full disk it may lose the end of the file without a word (safetensors 0.8).
        part.write_bytes(save(tensors, metadata={_KEY: json.dumps(facts)}))


def read_weights(path: Path) -> Stored:
    """Read a checkpoint of ours.

    Raises:
        WeightsError: the file is no safetensors file, is truncated, or was not written by caffdet.
    """
    can_be_read(path)
    try:
        with safe_open(path, framework="pt") as file:
            facts = (file.metadata() or {}).get(_KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"cannot read {path}: {error}; it is truncated or no safetensors file") from error
    if facts is None:
        raise WeightsError(f"{path} was not written by caffdet: it does not say what model it belongs to")
    try:
        known = json.loads(facts)
        if known["format"] != _FORMAT:
            raise ValueError(f"format {known['format']}")
        model, conventions = Model.model_validate(known["model"]), Conventions.model_validate(known["conventions"])
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise WeightsError(
            f"{path}: its settings cannot be read; it was written by another version of caffdet"
        ) from error
    return Stored(model, conventions, state)
