"""Files of a backbone alone, as they were trained for classification: torchvision's ResNets, Microsoft's Swins.

A detector that is trained from such a file starts everything else from initial values.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from caffdet_cli.errors import WeightsError
from caffdet_cli.settings.model import Model, NoFusion
from caffdet_cli.weights.published import read_published
from caffdet_cli.weights.remap import from_published

_OF_CLASSIFICATION = re.compile(r"(fc|head|norm)\.|.*(num_batches_tracked|attn_mask|relative_position_index)$")
_SIGNS = {"resnet": "layer1.0.conv1.weight", "swin": "layers.0.blocks.0.attn.qkv.weight"}


def read_backbone(path: Path, model: Model) -> dict[str, Tensor] | None:
    """The backbone in a file, under our names; None where the file is no classifier.

    Raises:
        WeightsError: it is broken, or of another kind than the model's backbone.
    """
    if path.suffix == ".safetensors":
        return None
    state = read_published(path).state
    return backbone_state(state, model, path) if any(sign in state for sign in _SIGNS.values()) else None


def backbone_state(state: Mapping[str, Tensor], model: Model, source: Path) -> dict[str, Tensor]:
    """The backbone under our names, as that of a detector of one spectrum.

    Raises:
        WeightsError: it is of another kind or size than the model's.
    """
    kind = next(kind for kind, sign in _SIGNS.items() if sign in state)
    if kind != model.backbone.name:
        raise WeightsError(
            f"{source} is a backbone of the kind {kind}, the model has model.backbone.name = {model.backbone.name!r}"
        )
    prefix = "backbone.0.body." if kind == "resnet" else "backbone.0."
    used = {f"{prefix}{name}": value for name, value in state.items() if not _OF_CLASSIFICATION.match(name)}
    alone = model.model_copy(update={"spectra": ("rgb",), "fusion": NoFusion()})
    renamed = from_published(used, alone)
    if renamed.unknown:
        raise WeightsError(f"{source} has tensors that no backbone has: {', '.join(renamed.unknown[:3])}")
    return renamed.state


def check_backbone(found: Mapping[str, Tensor], state: Mapping[str, Tensor], model: Model, source: Path) -> None:
    """Refuse a file of another depth or size, of which a part would fit.

    Args:
        found: of the file.
        state: of the detector that is to start.

    Raises:
        WeightsError: not all of either has its place.
    """
    own = "pyramid.backbone." if len(model.spectra) == 1 else "pyramid.backbones.0."
    shapes = {name.removeprefix(own): value.shape for name, value in state.items() if name.startswith(own)}
    given = {name.removeprefix("pyramid.backbone."): value.shape for name, value in found.items()}
    own_alone = [name for name in shapes if name.startswith("norms.") or name.endswith("num_batches_tracked")]
    wrong = [name for name in shapes if name not in own_alone and given.get(name) != shapes[name]]
    last = max(model.backbone.levels)
    beyond = re.compile(rf"(body\.layer[{last + 2}-9]|stages\.[{last + 1}-9])\.")
    wrong += [name for name in given if name not in shapes and not beyond.match(name)]
    if wrong:
        raise WeightsError(
            f"{source} is a backbone of another size than the model's ({len(wrong)} tensors do not fit, among them "
            f"{wrong[0]}); choose model.backbone.{'depth' if model.backbone.name == 'resnet' else 'size and window'} "
            "to fit, or another file"
        )
