"""Published checkpoints (.pth): read without running anything from them, and recognised by their keys."""

import argparse
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor

from caffdet_cli.errors import WeightsError
from caffdet_cli.settings.model import Model
from caffdet_cli.weights import published_args
from caffdet_cli.weights.pickles import read_pickle
from caffdet_cli.weights.published_deformable import deformable_facts, deformable_sizes, is_deformable_detr

_DEPTHS = {
    (6, True): 50,
    (23, True): 101,
    (36, True): 152,
    (2, False): 18,
    (6, False): 34,
}  # blocks of stage 2, bottleneck

_SWINS = {96: "tiny", 128: "base", 192: "large"}  # by the channels of the first stage
_BIAS_TABLE = "layers.0.blocks.0.attn.relative_position_bias_table"  # (2 * window - 1)^2 rows
_FIRST = "transformer.encoder.layers.0.self_attn."
_CROSS = "transformer.decoder.layers.0.cross_attn."
_POINTS = 4  # as published
_FEW = 16  # entries of a list in a configuration
_DIGITS = 6  # of a number in a name; longer ones are nobody's
_LEVELS, _QUERIES, _CLASSES = (
    "transformer.level_embed",
    "transformer.tgt_embed.weight",
    "transformer.enc_out_class_embed.weight",
)


# Beginnings of names, and the option of upstream that makes such tensors.
_OPTIONS = {
    "backbone.0.downsample_layers.": "a ConvNeXt backbone",
    "backbone_visible.0.downsample_layers.": "a ConvNeXt backbone",
    "transformer.refpoint_embed.": "learned boxes as queries (two_stage_type = 'no')",
    "transformer.encoder.norm.": "pre_norm = True",
    "transformer.two_stage_wh_embedding.": "two_stage_learn_wh = True",
    "transformer.pat_embed": "two_stage_pat_embed",
    "transformer.patterns.": "num_patterns",
}


class Published(NamedTuple):
    """A published file."""

    state: dict[str, Tensor]  # without a `module.` prefix
    entries: dict[str, Any]  # what lies beside the weights: plain values as they are, else what it is


def read_published(path: Path, average: bool = False) -> Published:
    """The `model` entry of a published file; with `average`, its `ema_model`.

    Raises:
        WeightsError: the file is broken, carries code, or holds no tensors there.
    """
    content = read_pickle(path, [argparse.Namespace])
    if average:
        state = content.get("ema_model") if isinstance(content, Mapping) else None
        if state is None:
            raise WeightsError(f"{path} has no moving average (no entry 'ema_model'); leave --ema out")
    else:
        state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no tensors under 'model'; it looks like {_kind(content)}")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    for name, value in tensors.items():
        if not _is_plain(value):
            raise WeightsError(f"{path}: {name[:100]} is no plain tensor of numbers ({value.dtype}, {value.layout})")
    # `ema_model` of upstream wraps the model in its own module, `module.`, and so may data-parallel training.
    for _ in range(2):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    beside = {} if state is content else {str(name): value for name, value in content.items() if name != "model"}
    return Published(tensors, {name: _plain(value) for name, value in beside.items()})


def _is_plain(value: Tensor) -> bool:
    """Stored whole, in a type that models have: no view that is larger than what the file holds."""
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return False
    if value.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32):
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _plain(value: object) -> Any:
    """A value that can be printed; of the rest, what it is."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, argparse.Namespace):
        return {name: each for name, each in vars(value).items() if _is_said(each)}
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, Mapping | list) else type(value).__name__


def _is_said(value: object) -> bool:
    """A word, a number, or a few of them."""
    if isinstance(value, list):
        return len(value) <= _FEW and all(isinstance(each, bool | int | float | str) for each in value)
    return isinstance(value, bool | int | float | str)


def published_model(state: Mapping[str, Tensor], source: Path, args: Mapping[str, Any] | None = None) -> Model:
    """The settings of the model that a published state belongs to, read from its keys and shapes.

    Args:
        args: the configuration beside the weights, for what leaves no trace in tensors, such as `encoder.high_levels`;
            where it says nothing, the published values are assumed.

    Raises:
        WeightsError: it is of an architecture that caffdet does not have; says what it looks like.
    """
    args, deformable = args or {}, is_deformable_detr(state)
    strange = looks_like(state)
    if strange is None and not deformable and (option := published_args.unknown_option(args)):
        strange = f"a DINO with {option}"
    if strange is not None:
        raise WeightsError(
            f"{source} looks like {strange}; this release reads DINO, Lite-DINO, CAFF-DINO, CAFF-Lite-DINO, "
            "Deformable-DETR and H-DETR"
        )
    called = "Deformable-DETR" if deformable else "DINO"
    torn = WeightsError(f"{source} has keys of a {called} but not all of them; it is not a whole checkpoint")
    layers = _count(state, r"transformer\.encoder\.layers\.(\d+)\.")
    needed = (_LEVELS, *deformable_sizes(state)) if deformable else (_LEVELS, _QUERIES, _CLASSES)
    if not 0 < layers <= len(state) or any(name not in state or state[name].dim() != 2 for name in needed):
        raise torn
    pair = any(name.startswith("conv_corr.") for name in state)
    width = state[_LEVELS].shape[1]
    facts: dict[str, Any] = {
        "spectra": ("ir", "rgb") if pair else ("rgb",),
        "fusion": _fusion(state) if pair else {"name": "none"},
        "labels": "category_ids",
        "backbone": _backbone(state, "backbone_visible.0." if pair else "backbone.0."),
        "shared_backbone": _same_backbones(state),
        "key_aware": f"{_FIRST}attention_weights.weight" not in state,
        "width": width,
        "levels": state[_LEVELS].shape[0],
        "encoder": _encoder(state, layers, {} if deformable else args) | _feedforward(state, "encoder"),
    }
    decoder = {"layers": _count(state, r"transformer\.decoder\.layers\.(\d+)\.")} | _feedforward(state, "decoder")
    if deformable:
        facts |= deformable_facts(state, decoder)
        facts["encoder"] |= {"dropout": facts["decoder"]["dropout"]}
    else:
        decoder |= _sampling(state, _CROSS, "dec", facts["levels"], args)
        facts |= {"outputs": len(state[_CLASSES]), "queries": len(state[_QUERIES]), "decoder": decoder}
        facts |= published_args.after_the_decoder(args)
    try:
        return Model.model_validate(facts)
    except ValidationError as error:  # no ResNet has so many blocks, no fusion so few stages, ...
        raise torn from error


def _encoder(state: Mapping[str, Tensor], layers: int, args: Mapping[str, Any]) -> dict[str, object]:
    """Lite-DETR's has projections that DINO's has not, whether it uses them or not."""
    levels = state[_LEVELS].shape[0]
    sampled = _sampling(state, _FIRST, "enc", levels, args)
    if f"{_FIRST}query_proj.weight" not in state:
        return {"name": "deformable", "layers": layers, **sampled}
    full = _count(state, r"transformer\.encoder\.layers\.(\d+)\.linear12\.", distinct=True)
    offsets = _rows(state, f"{_FIRST}sampling_offsets.bias")
    return {
        "name": "interleaved",
        "layers": layers,
        "blocks": full or published_args.blocks(args) or layers,
        "high_levels": published_args.high_levels(args, levels),
        "small_feedforward": bool(full),
        "project_keys": f"{_FIRST}key_proj.weight" in state,
        "shared_offsets": levels > 1 and offsets == sampled["heads"] * sampled["points"] * 2,
        **sampled,
    }


def _sampling(
    state: Mapping[str, Tensor], attention: str, part: str, levels: int, args: Mapping[str, Any]
) -> dict[str, int]:
    """Heads, and points of each on a level. Heads leave no trace; 8, as published, unless `args` says it.

    Offsets have two rows for each point: of every level, or of one where all levels share them. Plain attention has a
    weight for each point; of key-aware attention with few rows, shared offsets of 4 points are meant.
    """
    heads = published_args.heads(args)
    offsets, weights = (_rows(state, f"{attention}{name}.bias") for name in ("sampling_offsets", "attention_weights"))
    said = published_args.points(args, part)
    if weights:
        found = weights // (heads * levels)
    elif said is not None:
        found = said
    elif offsets == heads * _POINTS * 2:
        found = _POINTS
    else:
        found = (offsets or 0) // (heads * levels * 2)
    return {"heads": heads, "points": found or _POINTS}


def _feedforward(state: Mapping[str, Tensor], part: str) -> dict[str, object]:
    rows = _rows(state, f"transformer.{part}.layers.0.linear1.weight")
    return {} if rows is None else {"feedforward": rows}


def _backbone(state: Mapping[str, Tensor], prefix: str) -> dict[str, object]:
    """A Swin tells its stages by its norms, a ResNet by how many projections look at single pixels."""
    patches, table = _rows(state, f"{prefix}patch_embed.proj.weight"), _rows(state, f"{prefix}{_BIAS_TABLE}")
    if patches is not None and table is not None:
        levels = sorted(
            int(found[1]) for name in state if (found := re.match(re.escape(prefix) + r"norm(\d{1,2})\.w", name))
        )
        window = (math.isqrt(table) + 1) // 2
        return {"name": "swin", "size": _SWINS.get(patches), "window": window, "levels": levels}
    blocks = _count(state, re.escape(prefix) + r"body\.layer3\.(\d+)\.")
    maps = sum(
        1
        for name, value in state.items()
        if re.fullmatch(r"input_proj\.\d+\.0\.weight", name) and value.dim() == 4 and value.shape[-1] == 1
    )
    return {
        "name": "resnet",
        "depth": _DEPTHS.get((blocks, f"{prefix}body.layer3.0.conv3.weight" in state)),
        "levels": list(range(4))[-maps:],
    }


def _fusion(state: Mapping[str, Tensor]) -> dict[str, object]:
    reduced = _rows(state, "conv_corr.0.proj.weight")
    if stages := _count(state, r"conv_corr\.0\.attention_stages\.(\d+)\."):
        return {"name": "caff-lite", "stages": stages, "reduced": reduced}
    names = [f"conv_corr.0.attention_stages_{branch}.0.0.weight" for branch in ("k1", "k3", "k7")]
    return {
        "name": "caff-hierarchical",
        "stages": _count(state, r"conv_corr\.0\.attention_stages_k1\.(\d+)\."),
        "kernels": [state[name].shape[-1] for name in names if name in state and state[name].dim() == 4],
        "reduced": reduced,
    }


def _rows(state: Mapping[str, Tensor], name: str) -> int | None:
    value = state.get(name)
    return None if value is None or not value.dim() else len(value)


def _same_backbones(state: Mapping[str, Tensor]) -> bool:
    """Whether both streams' backbones are equal, so that one in memory is enough; also where there is one only."""
    for name, value in state.items():
        other = state.get(name.replace("backbone_visible.", "backbone_ir.", 1))
        if other is None or other is value:
            continue
        if other.shape != value.shape or not bool((other == value).all()):
            return False
    return True


def looks_like(state: Mapping[str, Any]) -> str | None:
    """Words for an architecture that is not one of ours; None where the keys are those of a DINO."""
    signs = [
        ("rpn.", "Mask R-CNN or Faster R-CNN"),
        ("roi_heads.", "Mask R-CNN or Faster R-CNN"),
        ("transformer.encoder.layers.0.self_attn.in_proj_weight", "plain DETR"),
        ("model.0.conv", "a YOLO"),
    ]
    for sign, words in signs:
        if any(sign in name for name in state):
            return words
    for sign, option in _OPTIONS.items():
        if any(name.startswith(sign) for name in state):
            return f"a DINO with {option}"
    if "transformer.level_embed" not in state:
        return "a classification ResNet" if "layer1.0.conv1.weight" in state else "something that is no DINO detector"
    if not any(f"{_FIRST}{name}.weight" in state for name in ("attention_weights", "query_proj")):
        return "a detector without deformable attention"
    return None


def _count(state: Iterable[str], pattern: str, distinct: bool = False) -> int:
    """One more than the largest number that `pattern` finds; or how many different ones."""
    found = (re.match(pattern, name) for name in state)
    numbers = {int(each[1]) for each in found if each and len(each[1]) <= _DIGITS}
    return len(numbers) if distinct else max(numbers, default=-1) + 1


def _kind(content: object) -> str:
    if isinstance(content, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(content)[:4])) or 'nothing in it'}"
    return f"a {type(content).__name__}"
