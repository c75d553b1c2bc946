"""What a model is called: by papers, and among the shipped configurations."""

import json
import shlex
from typing import Any

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings.files import names
from caffdet_cli.settings.load import flat, load_config
from caffdet_cli.settings.model import CaffHierarchical, CaffLite, DeformableDecoder, InterleavedEncoder, Model, ResNet

_SIZES = {"tiny": "Swin-T", "base": "Swin-B", "large": "Swin-L"}
# What neither changes the tensors of a model nor what it computes in evaluation.
_OF_TRAINING = (
    *("denoising", "costs", "loss", "input", "detections", "nms_iou"),
    "shared_backbone",  # two that are equal are loaded as one
    *("backbone.drop_path", "backbone.checkpointing", "backbone.frozen_stages"),
    *("encoder.dropout", "decoder.dropout", "decoder.look_forward_twice"),
    *("decoder.one_to_many_weight", "decoder.repeats"),
)


_MOST_SAID = 6  # settings: more are not typed but written into a TOML


def title(model: Model) -> str:
    """The name that papers give it: Lite-DINO H3L1-(2+1)x3 with ResNet-50, 4 levels."""
    lite = isinstance(model.encoder, InterleavedEncoder)
    pair = len(model.spectra) == 2
    caff = pair and all(isinstance(one, CaffLite | CaffHierarchical) for one in model.fusions)
    family = f"{'CAFF-' if caff else ''}{'Lite-' if lite else ''}{_family(model)}"
    if pair and (not caff or isinstance(model.fusion, CaffHierarchical) == lite or model.fusion_levels):
        family += f" (fusion {', '.join(dict.fromkeys(one.name for one in model.fusions))})"
    backbone = model.backbone
    body = f"ResNet-{backbone.depth}" if isinstance(backbone, ResNet) else _SIZES[backbone.size]
    attention = ", key-aware" if model.key_aware else ""
    return f"{family}{paper_name(model)} with {body}, {model.levels} levels{attention}"


def _family(model: Model) -> str:
    decoder = model.decoder
    if not isinstance(decoder, DeformableDecoder):
        return "DINO"
    if decoder.one_to_many:
        return "H-DETR"
    return "Deformable-DETR" + (" in two stages" if decoder.two_stage else ", refined" if decoder.refine else "")


def paper_name(model: Model) -> str:
    """` H3L1-(2+1)x3` where the encoder is interleaved: coarse and fine levels, updates of both, blocks."""
    encoder = model.encoder
    if not isinstance(encoder, InterleavedEncoder):
        return ""
    fine = model.levels - encoder.high_levels
    return f" H{encoder.high_levels}L{fine}-({encoder.layers // encoder.blocks}+1)x{encoder.blocks}"


def nearest_shipped(model: Model) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """The shipped model with the fewest other settings, and those; settings of training do not count."""
    best: tuple[str, dict[str, tuple[Any, Any]]] = ("", {})
    for shipped in names():
        if shipped.kind != "model":
            continue
        apart = different(load_config(model=shipped.name).config.model, model)
        if not best[0] or len(apart) < len(best[1]):
            best = (shipped.name, apart)
    return best


def different(first: Model, second: Model) -> dict[str, tuple[Any, Any]]:
    """Settings of the architecture that are not the same: both values."""
    one, other = _compared(first), _compared(second)
    return {key: (one.get(key), other.get(key)) for key in one | other if one.get(key) != other.get(key)}


def _compared(model: Model) -> dict[str, Any]:
    skipped = tuple(f"{part}." for part in _OF_TRAINING) + _OF_TRAINING
    return {key: value for key, value in flat(model).items() if not key.startswith(skipped)}


def whole_configuration(model: Model) -> str:
    """Words after `--model` for a model that takes all tensors of `model`: a shipped one, with a few settings."""
    name, differences = nearest_shipped(model)
    said = [f"model.{key}={json.dumps(here)}" for key, (_, here) in differences.items() if here is not None]
    if len(said) < len(differences) or len(said) > _MOST_SAID:
        return ""
    try:
        found = load_config(model=name, overrides=said).config.model
    except ConfigError:
        return ""
    if different(found, model):
        return ""
    return " ".join([name, *(f"--set {shlex.quote(one)}" for one in said)])
