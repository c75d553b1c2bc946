"""The page for people who come from the original repositories: what it says is ours exists, and nothing is left out."""

import re
import shlex
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import typer

from caffdet_cli.errors import ConfigError
from caffdet_cli.main import app
from caffdet_cli.settings.base import Settings
from caffdet_cli.settings.config import Config
from caffdet_cli.settings.load import load_config, names

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/upstream-commands.md"
MODELS = ("lite-dino-r50-h3l1-2p1x3", "dino-swin-l", "caff-lite-dino-r50", "caff-dino-swin-l-5scale")
SETTING = re.compile(r"((?:model|data|train)\.[^=\s]+)(?:=(.+))?")
VARIABLE = re.compile(r"(CAFFDET_[A-Z]+)=\w+")
SPAN = re.compile(r"`([^`]+)`")

OPTIONS = """
    -c --config_file --options --dataset_file --coco_path --fix_size --output_dir --note --device --seed --resume
    --pretrain_model_path --pretrain_model_coco --finetune_ignore --start_epoch --eval --num_workers --test --debug
    --find_unused_params --save_results --save_log --world_size --dist_url --rank --local_rank --amp --remove_difficult
    --frozen_weights --benchmark --benchmark_only --coco_panoptic_path --local-rank --nproc_per_node --annotation_path
    --json_save_path --images_dir --secondary_images_dir --annotation_file --mode
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
    data_aug_scale_overlap strong_aug _base_ backbone_freeze_keywords random_refpoints_xy fix_refpoints_hw box_attn_type
    decoder_layer_noise dln_xy_noise dln_hw_noise aux_loss mask_loss_coef dice_loss_coef
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


WITHOUT = [row for row in ROWS if row[1] == "-"]


@cache
def known() -> frozenset[str]:
    """Every setting there is, in whatever model and schedule."""
    return frozenset(keys_of(Config))


def keys_of(kind: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        yield prefix + name
        for deeper, inner in tables_in(field.annotation, f"{prefix}{name}."):
            yield from keys_of(inner, deeper)


def tables_in(annotation: Any, prefix: str) -> Iterator[tuple[str, type[Settings]]]:
    """The tables that a setting of this type may be, and what their keys begin with."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield prefix, annotation
    elif get_origin(annotation) is dict:
        key, value = get_args(annotation)
        for word in get_args(key):
            yield from tables_in(value, f"{prefix}{word}.")
    elif get_origin(annotation) is not tuple:  # entries of lists have no dotted name
        for part in get_args(annotation):
            yield from tables_in(part, prefix)


@cache
def options() -> frozenset[str]:
    """Every option of every command of ours."""
    return frozenset(options_of(typer.main.get_command(app)))


def options_of(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from (option for option in parameter.opts if option.startswith("--"))
    for inner in getattr(command, "commands", {}).values():
        yield from options_of(inner)


def ours_in(text: str) -> set[str]:
    """Settings, options and commands of ours in a cell; also a setting's last word alone, in whatever span."""
    last = {key.rpartition(".")[2] for key in known() if "_" in key.rpartition(".")[2]}
    spans = SPAN.findall(text)
    words = {word for span in spans for word in re.split(r"[^\w.-]+", span)}
    settings = {key for key, _ in settings_in(text)} | words & known() | words & last
    return settings | words & options() | {span for span in spans if span.split()[0] == "caffdet"}


def settings_in(text: str) -> list[tuple[str, str | None]]:
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
    variables = [span for span in spans if VARIABLE.fullmatch(span)]
    assert len(spans) == len(settings_in(here)) + len(commands(here)) + len(variables), "neither of ours"


@pytest.mark.parametrize("row", WITHOUT, ids=ids)
def test_a_line_without_counterpart_names_nothing_that_exists(row):
    assert ours_in(row[2]) == set()


@pytest.mark.parametrize("row", WITHOUT, ids=ids)
def test_nothing_of_ours_is_called_as_what_has_no_counterpart(row):
    elsewhere = {word for _, here, remark in ROWS for key, _ in settings_in(here + remark) for word in key.split(".")}
    last = {key.rpartition(".")[2] for key in known()} - elsewhere
    here = sorted(last | {option.removeprefix("--").replace("-", "_") for option in options()})
    upstream = {re.split(r"[\s=]", span)[0].lstrip("-") for span in SPAN.findall(row[0])}
    within = {(word, name) for word in upstream for name in here if "_" in name and name in word}
    near = {(word, name) for word in upstream for name in get_close_matches(word, here, cutoff=0.8)}
    assert within | near == set()


@pytest.mark.parametrize("row", WITHOUT, ids=ids)
def test_a_line_without_counterpart_says_more_than_what_is_always_so(row):
    assert len(row[2].split()) >= 6
    assert not re.match(r"(always|never|not there|not supported|experiments?)\b", row[2])


def test_a_setting_that_is_said_to_be_none_is_noticed():
    assert ours_in("no suppression; in Python `best_detections(nms_iou=...)`") == {"nms_iou"}
    assert ours_in("write `model.input.short_side`, or `--workers 2`") == {"model.input.short_side", "--workers"}
    assert ours_in("all published weights are of `'sine'`") == set()
    assert {"model.nms_iou", "train.schedule.drops", "data.splits.val.ir", "model.fusion.reduced"} <= known()


def test_variables_of_the_environment_are_read():
    source = (ROOT / "caffdet_cli/kernels/choice.py").read_text(encoding="utf-8")
    found = {one[1] for row in ROWS for span in SPAN.findall(row[1]) if (one := VARIABLE.fullmatch(span))}
    assert found == {"CAFFDET_OPS"}
    assert all(f'environ.get("{name}"' in source for name in found)


def test_every_setting_that_the_page_names_exists():
    page = PAGE.read_text(encoding="utf-8")
    named = {key for key, _ in settings_in(page)} | set(re.findall(r"--set ([a-z]\S+)=", page))
    assert len(named) > 60
    assert named - known() == set()


@pytest.mark.parametrize("row", [row for row in ROWS if settings_in(row[1])], ids=ids)
def test_some_model_takes_the_values_of_a_line(row):
    said = [f"{key}={value}" for key, value in settings_in(row[1]) if value is not None]
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
