"""A case's `model` (upstream's options) and weights as a detector of ours; an option we do not have ends the case."""

import re
from typing import Any

import torch
from harness import Case
from torch import Tensor

from caffdet_cli.models.build import detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings import model as schema
from caffdet_cli.weights.remap import from_published

ONLY = {  # the one value that exists here, of options that change what is computed
    "value_proj_after": False,
    "pre_norm": False,
    "dilation": False,
    "two_stage_type": "standard",
    "two_stage_learn_wh": False,
    "two_stage_bbox_embed_share": False,
    "two_stage_class_embed_share": False,
    "two_stage_keep_all_tokens": False,
    "embed_init_tgt": True,
    "dec_pred_bbox_embed_share": True,
    "dec_pred_class_embed_share": True,
    "use_detached_boxes_dec_out": False,
    "no_interm_box_loss": False,
    "position_embedding": "sine",
    "transformer_activation": "relu",
    "batch_norm_type": "FrozenBatchNorm2d",
    "decoder_sa_type": "sa",
    "decoder_module_seq": ["sa", "ca", "ffn"],
    "matcher_type": "HungarianMatcher",
    "num_patterns": 0,
    "query_dim": 4,
    "masks": False,
}
READ = (  # options that `settings_of` translates
    *("backbone", "return_interm_indices", "num_feature_levels", "num_classes", "num_queries", "num_select"),
    *("hidden_dim", "nheads", "enc_layers", "dec_layers", "enc_n_points", "dec_n_points", "dropout"),
    *("dim_feedforward", "dim_feedforward_enc", "dim_feedforward_dec", "pe_temperatureH", "pe_temperatureW"),
    *("nms_iou_threshold", "num_expansion", "enc_scale", "small_expand", "dn_labelbook_size"),
    *("key_aware", "proj_key", "same_loc"),
    *("use_dn", "dn_number", "dn_box_noise_scale", "dn_label_noise_ratio"),
    *("set_cost_class", "set_cost_bbox", "set_cost_giou", "focal_alpha"),
    *("cls_loss_coef", "bbox_loss_coef", "giou_loss_coef", "interm_loss_coef"),
)
SWINS = {
    "swin_T_224_1k": ("tiny", 7),
    "swin_B_224_22k": ("base", 7),
    "swin_B_384_22k": ("base", 12),
    "swin_L_224_22k": ("large", 7),
    "swin_L_384_22k": ("large", 12),
}
WITHOUT_EFFECT = ("use_checkpoint", "use_pytorch_version", "deformable_use_checkpoint")  # speed and memory only


def settings_of(case: Case) -> schema.Model:
    """The settings of a detector case."""
    options, pair = case.facts["model"], _is_pair(case)
    if missing := _missing(case, options):
        case.not_built(", ".join(missing))
    return schema.Model(
        spectra=("ir", "rgb") if pair else ("rgb",),
        outputs=options["num_classes"],
        labels="category_ids",
        backbone=_backbone(options),
        shared_backbone=_backbones_are_tied(case),
        key_aware=options.get("key_aware", False),
        width=options["hidden_dim"],
        levels=options["num_feature_levels"],
        fusion=_fusion(case) if pair else schema.NoFusion(),
        encoder=_encoder(options),
        decoder=schema.DinoDecoder(
            layers=options["dec_layers"],
            heads=options["nheads"],
            points=options["dec_n_points"],
            feedforward=options.get("dim_feedforward_dec", options["dim_feedforward"]),
            dropout=options["dropout"],
        ),
        queries=options["num_queries"],
        detections=options["num_select"],
        nms_iou=max(0, options.get("nms_iou_threshold", -1)),
        position_temperature=options["pe_temperatureH"],
        denoising=schema.Denoising(
            number=options["dn_number"] if options["use_dn"] else 0,
            label_noise=options["dn_label_noise_ratio"],
            box_noise=options["dn_box_noise_scale"],
        ),
        costs=_costs(options),
        loss=_loss_weights(case, options),
    )


def filled(case: Case, settings: schema.Model) -> Detector:
    """The detector with the case's weights; every published tensor must find its place."""
    network = detector(settings, settings.outputs)
    network.load_state_dict(ours(case.weights(), settings))
    return network


def ours(weights: dict[str, Any], settings: schema.Model) -> dict[str, Tensor]:
    """Recorded weights under our names."""
    renamed = from_published({name: torch.from_numpy(value) for name, value in weights.items()}, settings)
    assert not renamed.unknown, f"no rule for {renamed.unknown[:5]}"
    assert not renamed.torn, f"tied, but not equal: {renamed.torn[:5]}"
    return renamed.state


def keys_of(case: Case) -> dict[str, list[int]]:
    """Published names and shapes of the case's checkpoint, in its order."""
    return {name: shape for name, shape, _ in case.file("state_dict.json")}


def _missing(case: Case, options: dict[str, Any]) -> list[str]:
    """What the case asks for and this project does not have."""
    missing = []
    if not re.fullmatch(r"resnet(18|34|50|101|152)", options["backbone"]) and options["backbone"] not in SWINS:
        missing.append(f"backbone {options['backbone']}")
    for key, value in options.items():
        if key in ONLY and value != ONLY[key]:
            missing.append(f"{key} = {value!r}")
        elif key not in ONLY and key not in READ and key not in WITHOUT_EFFECT:
            missing.append(f"option {key}")
    if options["pe_temperatureH"] != options["pe_temperatureW"]:
        missing.append("different temperatures of the position code in y and x")
    if options["dn_labelbook_size"] != options["num_classes"]:
        missing.append("a label table of another size than the head")
    return missing


def _is_pair(case: Case) -> bool:
    return any(key.startswith("conv_corr.") for key in keys_of(case))


def _backbones_are_tied(case: Case) -> bool:
    """Whether the names of both backbones stand for one tensor."""
    groups = [group["keys"] if isinstance(group, dict) else group for group in case.facts["tied_keys"]]
    return any(key.startswith("backbone_ir.") for group in groups for key in group)


def _backbone(options: dict[str, Any]) -> schema.ResNet | schema.Swin:
    name, levels = options["backbone"], tuple(options["return_interm_indices"])
    if name in SWINS:
        size, window = SWINS[name]
        return schema.Swin(size=size, window=window, levels=levels)
    return schema.ResNet(depth=int(name.removeprefix("resnet")), levels=levels)


def _fusion(case: Case) -> schema.CaffLite | schema.CaffHierarchical:
    """Stages and widths as the shapes of the first level tell them."""
    keys = keys_of(case)
    pattern = r"conv_corr\.0\.attention_stages(_k1)?\.(\d+)\."
    stages = [found for key in keys if (found := re.match(pattern, key))]
    kind = schema.CaffHierarchical if stages[0][1] else schema.CaffLite
    return kind(stages=len({found[2] for found in stages}), reduced=keys["conv_corr.0.proj.weight"][0])


def _encoder(options: dict[str, Any]) -> schema.InterleavedEncoder | schema.DeformableEncoder:
    """Upstream counts coarse levels as if there were four: the number of fine ones is fixed by `enc_scale`."""
    if "num_expansion" not in options:
        return schema.DeformableEncoder(
            layers=options["enc_layers"],
            heads=options["nheads"],
            points=options["enc_n_points"],
            feedforward=options["dim_feedforward"],
            dropout=options["dropout"],
        )
    return schema.InterleavedEncoder(
        layers=options["enc_layers"],
        blocks=options["num_expansion"],
        high_levels=options["num_feature_levels"] - (4 - options["enc_scale"]),
        small_feedforward=options["small_expand"],
        shared_offsets=options.get("same_loc", False),
        project_keys=options.get("proj_key", False),
        heads=options["nheads"],
        points=options["enc_n_points"],
        feedforward=options.get("dim_feedforward_enc", options["dim_feedforward"]),
        dropout=options["dropout"],
    )


def _costs(options: dict[str, Any]) -> schema.Costs:
    names = {"classification": "set_cost_class", "box": "set_cost_bbox", "giou": "set_cost_giou"}
    return schema.Costs(**{ours: options[theirs] for ours, theirs in names.items() if theirs in options})


def _loss_weights(case: Case, options: dict[str, Any]) -> schema.LossWeights:
    """From the options, else from the recorded weights, else as published."""
    names = {
        "classification": ("cls_loss_coef", "loss_ce"),
        "box": ("bbox_loss_coef", "loss_bbox"),
        "giou": ("giou_loss_coef", "loss_giou"),
        "proposals": ("interm_loss_coef", ""),
        "focal_alpha": ("focal_alpha", ""),
    }
    known = {
        ours: options.get(option, case.loss_weights.get(term))
        for ours, (option, term) in names.items()
        if option in options or term in case.loss_weights
    }
    return schema.LossWeights(**known)
