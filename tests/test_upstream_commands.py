"""The page for people who come from the original repositories: what it says is ours exists, and nothing is left out."""

import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from caffdet_cli.errors import ConfigError
from caffdet_cli.main import app
from caffdet_cli.settings.load import flat, load_config, names

PAGE = Path(__file__).resolve().parent.parent / "docs/upstream-commands.md"
MODELS = ("lite-dino-r50-h3l1-2p1x3", "dino-swin-l", "caff-lite-dino-r50", "caff-dino-swin-l-5scale")
SCHEDULES = ("step", "multi-step", "one-cycle", "linear")
SETTING = re.compile(r"((?:model|data|train)\.[a-z_.]+)(?:=(.+))?")
SPAN = re.compile(r"`([^`]+)`")

OPTIONS = """
    -c --config_file --options --dataset_file --coco_path --fix_size --output_dir --note --device --seed --resume
    --pretrain_model_path --pretrain_model_coco --finetune_ignore --start_epoch --eval --num_workers --test --debug
    --find_unused_params --save_results --save_log --world_size --dist_url --rank --local_rank --amp --remove_difficult
    --frozen_weights --benchmark --benchmark_only --annotation_path --json_save_path --images_dir --annotation_file
    --mode
"""
KEYS = """
    modelname num_classes dn_labelbook_size backbone backbone_dir use_checkpoint return_interm_indices batch_norm_type
    dilation num_feature_levels hidden_dim nheads enc_layers dec_layers dim_feedforward dim_feedforward_enc
    dim_feedforward_dec dropout enc_n_points dec_n_points pe_temperatureH pe_temperatureW position_embedding query_dim
    transformer_activation pre_norm num_queries num_select nms_iou_threshold two_stage_type embed_init_tgt
    two_stage_bbox_embed_share two_stage_class_embed_share two_stage_learn_wh two_stage_keep_all_tokens
    two_stage_pat_embed two_stage_add_query_num two_stage_default_hw num_patterns dec_pred_bbox_embed_share
    dec_pred_class_embed_share decoder_sa_type decoder_module_seq dec_layer_number use_detached_boxes_dec_out
    use_deformable_box_attn add_channel_attention unic_layers add_pos_value num_topk match_unstable_error num_expansion
    enc_scale small_expand key_aware proj_key same_loc value_proj_after use_pytorch_version deformable_use_checkpoint
    use_dn dn_number dn_box_noise_scale dn_label_noise_ratio matcher_type set_cost_class set_cost_bbox set_cost_giou
    cls_loss_coef bbox_loss_coef giou_loss_coef interm_loss_coef no_interm_box_loss enc_loss_coef focal_alpha masks lr
    lr_backbone param_dict_type lr_backbone_names lr_linear_proj_names lr_linear_proj_mult ddetr_lr_param batch_size
    weight_decay epochs lr_drop multi_step_lr lr_drop_list onecyclelr drop_lr_now clip_max_norm use_ema ema_decay
    ema_epoch save_checkpoint_interval data_aug_scales data_aug_max_size data_aug_scales2_resize data_aug_scales2_crop
    data_aug_scale_overlap strong_aug
"""


def table() -> list[tuple[str, str, str]]:
    """The rows of all tables: upstream, here, remark."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert all(len(row) == 3 for row in rows)
    return [row for row in rows if row[0] not in ("upstream", "---")]  # type: ignore[misc]


ROWS = table()


def ids(row: object) -> str:
    return str(row[0]) if isinstance(row, tuple) else str(row)


@cache
def known() -> frozenset[str]:
    """Every setting that `caffdet config show` prints of some suitable model and schedule."""
    shown = [
        flat(load_config(model=model, overrides=[f"train.schedule.name={schedule}"]).config)
        for model in MODELS
        for schedule in SCHEDULES
    ]
    return frozenset().union(*shown)


def settings(text: str) -> list[tuple[str, str | None]]:
    """Names of ours in a cell, with the values that they are given."""
    found = [SETTING.fullmatch(span) for span in SPAN.findall(text)]
    return [(one[1], one[2]) for one in found if one]


def commands(text: str) -> list[list[str]]:
    return [shlex.split(span)[1:] for span in SPAN.findall(text) if span.split()[0] == "caffdet"]


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_every_line_names_something_of_ours_or_says_why_there_is_nothing(row):
    upstream, here, remark = row
    assert SPAN.search(upstream) or upstream
    if here == "-":
        assert remark
        return
    spans = SPAN.findall(here)
    assert spans
    assert len(spans) == len(settings(here)) + len(commands(here)), "neither a setting nor a command"


@pytest.mark.parametrize("row", [row for row in ROWS if settings(row[1] + row[2])], ids=ids)
def test_every_setting_of_ours_exists(row):
    assert {key for key, _ in settings(row[1] + row[2])} <= known()


@pytest.mark.parametrize("row", [row for row in ROWS if settings(row[1])], ids=ids)
def test_some_model_takes_the_values_of_a_line(row):
    said = [f"{key}={value}" for key, value in settings(row[1]) if value is not None]
    problems = [problem(model, said) for model in MODELS]
    assert None in problems, problems


def problem(model: str, said: list[str]) -> str | None:
    try:
        load_config(model=model, overrides=said)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("row", [row for row in ROWS if commands(row[1] + row[2])], ids=ids)
def test_every_command_of_ours_and_its_options_exist(row):
    shipped = {(one.kind, one.name) for one in names()}
    for words in commands(row[1] + row[2]):
        command: Any = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        assert not hasattr(command, "commands"), f"no command {words}"
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options
        for option, value in pairwise(words):
            kind = option.removeprefix("--")
            if kind in ("model", "recipe", "dataset") and value != "NAME":
                assert (kind, value) in shipped


def test_lone_options_in_remarks_are_words_of_ours():
    every = {
        option
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
        if name in ("train", "eval", "convert")
        for parameter in command.params
        for option in parameter.opts
    }
    lone = {span for _, _, remark in ROWS for span in SPAN.findall(remark) if span.startswith("--")}
    assert lone <= every


@pytest.mark.parametrize("words", [OPTIONS, KEYS], ids=["options", "keys"])
def test_nothing_of_upstream_is_left_out(words):
    said = {word for upstream, _, _ in ROWS for span in SPAN.findall(upstream) for word in re.split(r"[\s=,]+", span)}
    assert set(words.split()) - said == set()
