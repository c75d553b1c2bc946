"""A checkpoint from one form into the other: published files to ours, and back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from caffdet_cli.errors import ConfigError, OutputError, WeightsError
from caffdet_cli.paths import whole_file
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Model, Swin
from caffdet_cli.weights.class_names import with_names
from caffdet_cli.weights.known import find_weights
from caffdet_cli.weights.load import beside_released, outputs_of, read_stored, whole_detector
from caffdet_cli.weights.naming import different, title
from caffdet_cli.weights.published import published_model
from caffdet_cli.weights.remap import swin_indices, to_published
from caffdet_cli.weights.store import Stored, save_weights
from caffdet_cli.weights.writing import write_torch

# What a published file tells by its names and shapes; where these come back as others, it would be another model.
_TOLD_BY_TENSORS = ("backbone.", "fusion.stages", "fusion.kernels", "fusion.name", "encoder.layers")

Form = Literal["caffdet", "published"]


class Converted(NamedTuple):
    """What was written."""

    path: Path
    tensors: int
    model: Model
    remarks: tuple[str, ...] = ()  # where it contradicts the released file of its name


def convert_weights(
    weights: str,
    output: str | Path,
    *,
    to: Form = "caffdet",
    average: bool = False,
    classes: Sequence[str] = (),
    overrides: Sequence[str] = (),
    overwrite: bool = False,
) -> Converted:
    """Read a checkpoint of either form and write it in the other one, or in the same with more said about it.

    Args:
        weights: a run folder, a checkpoint folder or file, a released name, or an address.
        output: `.safetensors` for ours, `.pth` for the published form.
        average: of a published file, take its moving average (`ema_model`).
        classes: names of the class slots in their order, `SLOT=NAME` for some of them, or the one word `coco`.
        overrides: `model.key=value` for what a published file does not tell, such as `model.encoder.high_levels=2`.

    Raises:
        WeightsError: not at hand, broken, of an unknown architecture, or the settings do not fit the tensors.
        OutputError: the output exists, or its ending is that of the other form.
    """
    path, target = find_weights(weights), Path(output)
    ending = ".safetensors" if to == "caffdet" else ".pth"
    if target.suffix != ending:
        raise OutputError(f"{target} must end in {ending} (--to {to})")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; choose another --output or add --overwrite")
    stored = read_stored(path, average)
    model = changed(stored.model, overrides)
    stored = stored._replace(model=model, conventions=_following(stored.conventions, model))
    if classes:
        stored = stored._replace(conventions=with_names(stored.conventions, classes, outputs_of(stored)))
    whole_detector(stored, path)
    entry, apart = beside_released(stored.model, path, told=True)
    remarks = tuple(
        f"{path.name} is the released {entry.name!r}, whose {key} is {there}; it is written with {here}"
        for key, (there, here) in apart.items()
        if entry is not None
    )
    if to == "caffdet":
        save_weights(target, stored.state, stored.model, stored.conventions)
        return Converted(target, len(stored.state), stored.model, remarks)
    return Converted(target, write_published(target, stored), stored.model, remarks)


def write_published(target: Path, stored: Stored) -> int:
    """Write a file that the published code loads; the number of tensors under all their names."""
    try:
        published = to_published(stored.state, stored.model)
        again = published_model(published, target)
    except (KeyError, WeightsError) as error:
        raise WeightsError(f"the published code has no form for this model ({title(stored.model)}): {error}") from error
    for key, (own, _) in different(stored.model, again).items():
        if key.startswith(_TOLD_BY_TENSORS):
            raise WeightsError(f"the published code has no form for this model: {key} = {own} would be lost")
    if isinstance(stored.model.backbone, Swin):
        published |= swin_indices(published, stored.model.backbone.window)
    with whole_file(target) as part:
        write_torch({"model": published}, part)
    return len(published)


def _following(conventions: Conventions, model: Model) -> Conventions:
    """How pictures become input is in both; what was changed in the model's settings holds."""
    own = conventions.label_spectrum
    label = own if own in model.spectra else model.spectra[0]
    return conventions.model_copy(update={"input": model.input, "spectra": model.spectra, "label_spectrum": label})


def changed(model: Model, overrides: Sequence[str]) -> Model:
    """The settings with other values.

    Raises:
        ConfigError: no `model.key=value`, or no value that the model takes.
    """
    values = model.model_dump()
    for override in overrides:
        key, equals, text = override.partition("=")
        *path, last = key.split(".")
        table = values
        for word in path[1:]:
            table = table.get(word, {}) if isinstance(table, dict) else {}
        if not equals or path[:1] != ["model"] or not isinstance(table, dict) or last not in table:
            raise ConfigError(f"--set {override}: must be model.KEY=VALUE with a key of this model")
        table[last] = _value(text)
    try:
        return Model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"--set: model.{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
