"""Names of published checkpoints and ours, both ways, by rules.

A rule is a pair of name prefixes; `#` stands for a number and is carried over. Published files write one tensor under
several names (heads of all decoder layers, the shared backbone of CAFF-Lite-DINO); ours under one.

Source: `state_dict` of IDEA-Research/DINO, IDEA-Research/Lite-DETR, kevinhelvig/CAFF-DETR,
fundamentalvision/Deformable-DETR and HDETR/H-Deformable-DETR.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from caffdet_cli.models.backbones.swin import offset_index
from caffdet_cli.settings.model import DeformableDecoder, DinoDecoder, Model

Rule = tuple[str, str]  # published prefix, our prefix

_ATTENTION = {
    "sampling_offsets": "offsets",
    "attention_weights": "weights",
    "value_proj": "value",
    "query_proj": "query",
    "key_proj": "key",
    "output_proj": "output",
}
_ENCODER = {
    **{f"self_attn.{theirs}": f"attention.{ours}" for theirs, ours in _ATTENTION.items()},
    "norm1": "norm",
    "linear1": "feedforward.expand",
    "linear2": "feedforward.contract",
    "norm2": "feedforward.norm",
    "linear12": "small_feedforward.expand",
    "linear22": "small_feedforward.contract",
    "norm22": "small_feedforward.norm",
}
_DECODER = {
    **{f"cross_attn.{theirs}": f"cross_attention.{ours}" for theirs, ours in _ATTENTION.items()},
    "self_attn": "self_attention",
    "norm1": "cross_norm",
    "norm2": "self_norm",
    "linear1": "feedforward.expand",
    "linear2": "feedforward.contract",
    "norm3": "feedforward.norm",
}
_TRANSFORMER: list[Rule] = [
    ("transformer.level_embed", "flatten.level_embedding"),
    *((f"transformer.encoder.layers.#.{theirs}", f"encoder.layers.#.{ours}") for theirs, ours in _ENCODER.items()),
    *((f"transformer.decoder.layers.#.{theirs}", f"decoder.layers.#.{ours}") for theirs, ours in _DECODER.items()),
]
_DINO: list[Rule] = [
    ("transformer.decoder.norm", "decoder.norm"),
    ("transformer.decoder.ref_point_head.layers.#", "decoder.position_head.layers.#"),
    ("transformer.tgt_embed", "selection.content"),
    ("transformer.enc_output", "selection.transform"),
    ("transformer.enc_output_norm", "selection.norm"),
    ("transformer.enc_out_class_embed", "selection.class_head"),
    ("transformer.enc_out_bbox_embed.layers.#", "selection.box_head.layers.#"),
    ("label_enc", "denoising.table"),
]
_LEARNED: list[Rule] = [  # Deformable-DETR in one stage
    ("query_embed", "selection.embedding"),
    ("transformer.reference_points", "selection.reference"),
]
_PROPOSED: list[Rule] = [  # in two stages, and H-DETR
    ("transformer.enc_output", "selection.transform"),
    ("transformer.enc_output_norm", "selection.norm"),
    ("transformer.pos_trans", "selection.position"),
    ("transformer.pos_trans_norm", "selection.position_norm"),
    ("query_embed", "selection.content"),
]
_SWIN = {
    "patch_embed.proj": "patches",
    "patch_embed.norm": "patch_norm",
    "layers.#.blocks.#.norm1": "stages.#.blocks.#.attention_norm",
    "layers.#.blocks.#.attn.qkv": "stages.#.blocks.#.attention.qkv",
    "layers.#.blocks.#.attn.proj": "stages.#.blocks.#.attention.output",
    "layers.#.blocks.#.attn.relative_position_bias_table": "stages.#.blocks.#.attention.position_bias",
    "layers.#.blocks.#.norm2": "stages.#.blocks.#.feedforward_norm",
    "layers.#.blocks.#.mlp.fc1": "stages.#.blocks.#.expand",
    "layers.#.blocks.#.mlp.fc2": "stages.#.blocks.#.contract",
    "layers.0.downsample": "stages.1.merge",  # theirs ends a stage, ours begins the next
    "layers.1.downsample": "stages.2.merge",
    "layers.2.downsample": "stages.3.merge",
    "norm#": "norms.#",
}
_SWIN_INDEX = ".attn.relative_position_index"  # follows from the window; ours do not carry it
_BACKBONES = {"resnet": {"body": "body"}, "swin": _SWIN}
_ROW_ATTENTION = ("query", "key", "value")
_HIERARCHICAL = ("attention_stages_k1", "attention_stages_k3", "attention_stages_k7")  # "k3" has kernels of 5
_PAIR: list[Rule] = [
    ("input_proj.#", "pyramid.necks.0.projections.#"),
    ("input_proj_ir.#", "pyramid.necks.1.projections.#"),
    *(
        (f"conv_corr.#.attention_stages.#.{number}", f"pyramid.fusions.#.stages.#.{part}")
        for number, part in enumerate(_ROW_ATTENTION)
    ),
    *(
        (f"conv_corr.#.{theirs}.#.{number}", f"pyramid.fusions.#.stages.#.branches.{branch}.{part}")
        for branch, theirs in enumerate(_HIERARCHICAL)
        for number, part in enumerate(_ROW_ATTENTION)
    ),
    ("conv_corr.#.compression_convs.#.0", "pyramid.fusions.#.stages.#.compress"),
    ("conv_corr.#.proj", "pyramid.fusions.#.reduce"),
    ("redim_corr.#", "pyramid.fusions.#.join"),
]


class Renamed(NamedTuple):
    """A published state with our names."""

    state: dict[str, Tensor]
    unknown: list[str]  # published names that no rule knows
    torn: list[str]  # our names whose published copies differ; the last copy was taken, as upstream does


def rules(model: Model) -> list[Rule]:
    """All rules for one model. Where several published names have one of ours, the last is the one that counts."""
    queries = _dino(model) if isinstance(model.decoder, DinoDecoder) else _deformable(model.decoder)
    if len(model.spectra) == 1:
        neck = ("input_proj.#", "pyramid.neck.projections.#")
        return [*_TRANSFORMER, *_backbone("backbone.0", "pyramid.backbone", model), neck, *queries]
    second = "pyramid.backbones.0" if model.shared_backbone else "pyramid.backbones.1"
    backbones = [
        *_backbone("backbone_visible.0", "pyramid.backbones.0", model),
        *_backbone("backbone_ir.0", second, model),
    ]
    return [*_TRANSFORMER, *backbones, *_PAIR, *queries]


def _dino(model: Model) -> list[Rule]:
    """What follows the encoder, and the heads, which all layers share."""
    heads: list[Rule] = []
    for prefix in ("transformer.decoder.", ""):
        for layer in range(model.decoder.layers):
            heads.append((f"{prefix}class_embed.{layer}", "heads.class_head"))
            heads.append((f"{prefix}bbox_embed.{layer}.layers.#", "heads.box_head.layers.#"))
    return [*_DINO, *heads]


def _deformable(decoder: DeformableDecoder) -> list[Rule]:
    """The same of Deformable-DETR: heads are also listed under the decoder as far as it uses them."""
    rules = [*(_PROPOSED if decoder.two_stage else _LEARNED)]
    prefixes = {
        "class": ("transformer.decoder.", "") if decoder.two_stage else ("",),
        "box": ("transformer.decoder.", "") if decoder.refine else ("",),
    }
    for layer in range(decoder.layers):
        ours = layer if decoder.refine else 0
        rules += [(f"{prefix}class_embed.{layer}", f"heads.class_heads.{ours}") for prefix in prefixes["class"]]
        rules += [
            (f"{prefix}bbox_embed.{layer}.layers.#", f"heads.box_heads.{ours}.layers.#") for prefix in prefixes["box"]
        ]
    if decoder.two_stage:
        last = decoder.layers
        rules += [(f"{prefix}class_embed.{last}", "selection.class_head") for prefix in prefixes["class"]]
        rules += [(f"{prefix}bbox_embed.{last}.layers.#", "selection.box_head.layers.#") for prefix in prefixes["box"]]
    return rules


def _backbone(theirs: str, ours: str, model: Model) -> list[Rule]:
    return [(f"{theirs}.{one}", f"{ours}.{other}") for one, other in _BACKBONES[model.backbone.name].items()]


def from_published(state: Mapping[str, Tensor], model: Model) -> Renamed:
    """Rename a published `model` entry; a `module.` prefix of every name is taken off."""
    table = _compiled(rules(model), backwards=False)
    renamed: dict[str, Tensor] = {}
    unknown, torn = [], []
    for key, value in _in_rule_order(state, table):
        if key.endswith(_SWIN_INDEX):
            continue
        names = _translate(key.removeprefix("module."), table)
        if not names:
            unknown.append(key)
            continue
        if (earlier := renamed.get(names[0])) is not None and not (
            earlier.shape == value.shape and bool((earlier == value).all())
        ):
            torn.append(names[0])
        renamed[names[0]] = value
    return Renamed(renamed, unknown, sorted(set(torn)))


def to_published(state: Mapping[str, Tensor], model: Model) -> dict[str, Tensor]:
    """Rename one of our states; tied tensors get all their published names again.

    Raises:
        KeyError: if a name of ours has no published form (the model is not of a published kind).
    """
    table = _compiled(rules(model), backwards=True)
    published = {}
    for key, value in state.items():
        if not (names := _translate(key, table)):
            raise KeyError(f"{key} has no published name")
        published.update(dict.fromkeys(names, value))
    return published


def swin_indices(published: Mapping[str, Tensor], window: int) -> dict[str, Tensor]:
    """The entries that published files of a Swin have beside its parameters: one table of numbers for each block."""
    table = "relative_position_bias_table"
    return {
        name.removesuffix(table) + "relative_position_index": offset_index(window)
        for name in published
        if name.endswith(table)
    }


def _compiled(pairs: list[Rule], backwards: bool) -> list[tuple[re.Pattern[str], str]]:
    """Rules as patterns; the rest of a name behind the prefix is the last group."""
    table = []
    for theirs, ours in pairs:
        source, goal = (ours, theirs) if backwards else (theirs, ours)
        pattern = re.escape(source).replace(r"\#", r"(\d+)")
        table.append((re.compile(pattern + r"((?:\..*)?)$"), goal))
    return table


def _translate(key: str, table: list[tuple[re.Pattern[str], str]]) -> list[str]:
    """Every name that the rules give for `key`."""
    names = []
    for pattern, goal in table:
        if found := pattern.match(key):
            *numbers, rest = found.groups()
            name = goal
            for number in numbers:
                name = name.replace("#", number, 1)
            names.append(name + rest)
    return names


def _in_rule_order(
    state: Mapping[str, Tensor], table: list[tuple[re.Pattern[str], str]]
) -> Iterable[tuple[str, Tensor]]:
    """Items sorted so that of several copies the one that counts comes last, whatever the order in the file."""

    def place(key: str) -> int:
        return next((i for i, (pattern, _) in enumerate(table) if pattern.match(key.removeprefix("module."))), -1)

    return sorted(state.items(), key=lambda item: place(item[0]))
