"""What the configuration inside a published file says and its tensors do not.

`args` of DINO, Lite-DETR and CAFF-DETR checkpoints holds every value that they were trained with; files of others lack
it, and some of its values.

Source: config/DINO of IDEA-Research/DINO and IDEA-Research/Lite-DETR, config of kevinhelvig/CAFF-DETR.
"""

from collections.abc import Mapping
from typing import Any

_SCALES = 4  # Lite-DETR counts high-level maps as if there were four levels, whatever there are

# Option -> values under which it is the model that we have; any other is another one.
_ONLY: Mapping[str, tuple[object, ...]] = {
    "dilation": (False,),
    "pre_norm": (False,),
    "value_proj_after": (False,),
    "use_deformable_box_attn": (False,),
    "add_channel_attention": (False,),
    "position_embedding": ("sine", "v2"),  # two words for one
    "transformer_activation": ("relu",),
    "decoder_module_seq": (["sa", "ca", "ffn"],),
    "dec_layer_number": (None,),
    "two_stage_type": ("standard",),
    "two_stage_keep_all_tokens": (False,),
    "two_stage_learn_wh": (False,),
    "two_stage_pat_embed": (0,),
    "two_stage_add_query_num": (0,),
    "num_patterns": (0,),
    "embed_init_tgt": (True,),
    "decoder_sa_type": ("sa",),
    "dec_pred_class_embed_share": (True,),
    "dec_pred_bbox_embed_share": (True,),
}
_WORDS = {"dilation": "dilation = True (DC5)", "two_stage_type": "two_stage_type = {!r} (one stage)"}


def unknown_option(args: Mapping[str, Any]) -> str | None:
    """An option of a DINO whose model is not here, in words; None where there is none."""
    for name, known in _ONLY.items():
        if name in args and args[name] not in known:
            return _WORDS.get(name, f"{name} = {{!r}}").format(args[name])
    vertical, horizontal = args.get("pe_temperatureH"), args.get("pe_temperatureW")
    if vertical != horizontal:
        return f"pe_temperatureH = {vertical} and pe_temperatureW = {horizontal}"
    return None


def high_levels(args: Mapping[str, Any], levels: int) -> int:
    """`enc_scale`, the coarse levels of Lite-DETR's encoder; 3 of 4, as most have, where a file does not say it."""
    scale = _whole(args, "enc_scale", 1, _SCALES)
    return max(1, levels - (_SCALES - (3 if scale is None else scale)))


def heads(args: Mapping[str, Any]) -> int:
    """Of all attention."""
    return _whole(args, "nheads", 1, 1024) or 8


def points(args: Mapping[str, Any], part: str) -> int | None:
    """That each head samples per level: `part` is enc or dec."""
    return _whole(args, f"{part}_n_points", 1, 1024)


def blocks(args: Mapping[str, Any]) -> int | None:
    """`num_expansion`, which leaves no trace where full layers have one feed-forward network."""
    return _whole(args, "num_expansion", 1, 1024)


def after_the_decoder(args: Mapping[str, Any]) -> dict[str, object]:
    """How many boxes are kept, and which of those that overlap; how places are coded."""
    facts: dict[str, object] = {}
    if (kept := _whole(args, "num_select", 1, 1_000_000)) is not None:
        facts["detections"] = kept
    threshold = args.get("nms_iou_threshold")
    if isinstance(threshold, float) and 0 < threshold <= 1:
        facts["nms_iou"] = threshold
    temperature = args.get("pe_temperatureH")
    if isinstance(temperature, int | float) and not isinstance(temperature, bool) and 0 < temperature < 1e9:
        facts["position_temperature"] = float(temperature)
    return facts


def _whole(args: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = args.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None
