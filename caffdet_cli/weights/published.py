"""Published checkpoints (.pth): read without running anything from them, and recognised by their keys."""

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from caffdet_cli.errors import WeightsError
from caffdet_cli.settings.model import Dino, Model
from caffdet_cli.weights.pickles import read_pickle

_DEPTHS = {
    (6, True): 50,
    (23, True): 101,
    (36, True): 152,
    (2, False): 18,
    (6, False): 34,
}  # blocks of stage 2, bottleneck

_STAGE = r"conv_corr\.0\.attention_stages\.(\d+)\."
_FIRST = "transformer.encoder.layers.0.self_attn."
_SHARED_OFFSETS = 8 * 4 * 2  # heads, points, x and y: offsets that all levels share
_SIZES = ("transformer.tgt_embed.weight", "transformer.enc_out_class_embed.weight", "transformer.level_embed")


def read_published(path: Path) -> dict[str, Tensor]:
    """The `model` entry of a published file, without a `module.` prefix.

    Raises:
        WeightsError: the file is broken, carries code, or holds no tensors.
    """
    content = read_pickle(path, [argparse.Namespace])
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no tensors under 'model'; it looks like {_kind(content)}")
    return {str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


def published_model(state: Mapping[str, Tensor], source: Path) -> Model:
    """The settings of the model that a published state belongs to, read from its keys and shapes.

    `encoder.high_levels` leaves no trace in a file; the published CAFF value 3 is assumed.

    Raises:
        WeightsError: it is of an architecture that caffdet does not have; says what it looks like.
    """
    pair = any(name.startswith("conv_corr.") for name in state)
    strange = looks_like(state)
    if strange is not None:
        raise WeightsError(
            f"{source} looks like {strange}; this release reads CAFF-Lite-DINO and Lite-DINO with a ResNet"
        )
    body = "backbone_visible.0.body." if pair else "backbone.0.body."
    blocks = _count(state, re.escape(body) + r"layer3\.(\d+)\.")
    depth = _DEPTHS.get((blocks, f"{body}layer3.0.conv3.weight" in state))
    full = _count(state, r"transformer\.encoder\.layers\.(\d+)\.linear12\.", distinct=True)
    layers = _count(state, r"transformer\.encoder\.layers\.(\d+)\.")
    torn = WeightsError(f"{source} has keys of a DINO but not all of them; it is not a whole checkpoint")
    if not 0 < layers <= len(state) or any(name not in state or state[name].dim() != 2 for name in _SIZES):
        raise torn
    facts = {
        "spectra": ("ir", "rgb") if pair else ("rgb",),
        "fusion": {"name": "caff-lite", "stages": _count(state, _STAGE)} if pair else {"name": "none"},
        "outputs": state["transformer.enc_out_class_embed.weight"].shape[0],
        "labels": "category_ids",
        "backbone": {"depth": depth},
        "key_aware": f"{_FIRST}attention_weights.weight" not in state,
        "queries": state["transformer.tgt_embed.weight"].shape[0],
        "levels": state["transformer.level_embed"].shape[0],
        "encoder": {
            "layers": layers,
            "blocks": full or layers,
            "small_feedforward": bool(full),
            "project_keys": f"{_FIRST}key_proj.weight" in state,
            "shared_offsets": len(state.get(f"{_FIRST}sampling_offsets.bias", ())) == _SHARED_OFFSETS,
        },
    }
    try:
        return Dino.model_validate(facts)
    except ValidationError as error:  # no ResNet has so many blocks, no fusion so few stages, ...
        raise torn from error


def looks_like(state: Mapping[str, Any]) -> str | None:
    """Words for an architecture that is not one of ours; None where the keys are those of a (CAFF-)Lite-DINO."""
    signs = [
        ("attention_stages_k1", "CAFF-DINO (hierarchical fusion)"),
        ("patch_embed", "a detector with a Swin backbone"),
        ("rpn.", "Mask R-CNN or Faster R-CNN"),
        ("roi_heads.", "Mask R-CNN or Faster R-CNN"),
        ("transformer.encoder.layers.0.self_attn.in_proj_weight", "plain DETR"),
        ("model.0.conv", "a YOLO"),
    ]
    for sign, words in signs:
        if any(sign in name for name in state):
            return words
    if "transformer.level_embed" not in state:
        return "a classification ResNet" if "layer1.0.conv1.weight" in state else "something that is no DINO detector"
    if not any(f"{_FIRST}{name}.weight" in state for name in ("attention_weights", "query_proj")):
        return "a detector without deformable attention"
    return None


def _count(state: Iterable[str], pattern: str, distinct: bool = False) -> int:
    """One more than the largest number that `pattern` finds; or how many different ones."""
    numbers = {int(found[1]) for name in state if (found := re.match(pattern, name))}
    return len(numbers) if distinct else max(numbers, default=-1) + 1


def _kind(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(content)[:4])) or 'nothing in it'}"
    return f"a {type(content).__name__}"
