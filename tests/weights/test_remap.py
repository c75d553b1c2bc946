"""Published names and ours: every key of every recorded checkpoint of our kind, there and back."""

import json
from pathlib import Path

import pytest
import torch
from tiny import OUTPUTS, tiny_detector, tiny_pair_settings, tiny_settings
from torch import Tensor

from caffdet_cli.models.build import detector
from caffdet_cli.settings import model as schema
from caffdet_cli.weights.published import published_model
from caffdet_cli.weights.remap import from_published, rules, swin_indices, to_published

CASES = Path(__file__).resolve().parents[1] / "parity" / "cases"
LAYOUTS = sorted(
    path
    for path in CASES.glob("*_dino/*/*state_dict.json")
    if '"transformer.level_embed"' in path.read_text(encoding="utf-8")
)
layouts = pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: f"{path.parent.name}-{path.stem}")


def state_of(path: Path) -> dict[str, Tensor]:
    """The checkpoint's keys with tensors that have a shape and take no memory."""
    return {name: torch.zeros(()).expand(shape) for name, shape, _ in json.loads(path.read_text(encoding="utf-8"))}


def numbered(names: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.tensor(float(index)) for index, name in enumerate(names)}


def test_checkpoints_of_pairs_and_of_one_spectrum_are_at_hand():
    found = ["conv_corr." in path.read_text(encoding="utf-8") for path in LAYOUTS]
    assert True in found
    assert False in found


@layouts
def test_every_published_key_has_its_place_in_the_detector(path):
    state = state_of(path)
    model = published_model(state, path)
    with torch.device("meta"):
        expected = {name: value.shape for name, value in detector(model, model.outputs).state_dict().items()}
    renamed = from_published(numbered(state), model)  # numbers, since meta tensors cannot be compared
    assert not renamed.unknown
    assert renamed.state.keys() == expected.keys()
    for name, number in renamed.state.items():
        source = list(state)[int(number)]
        assert state[source].shape == expected[name], f"{source} -> {name}"


@layouts
def test_every_key_comes_back_with_its_own_tensor(path):
    state = state_of(path)
    model = published_model(state, path)
    ours = from_published(numbered(state), model).state
    back = to_published(ours, model)
    tables = swin_indices(back, model.backbone.window) if isinstance(model.backbone, schema.Swin) else {}
    assert back.keys() | tables.keys() == state.keys()
    again = from_published(back, model)
    assert again.state == ours
    assert not again.torn


@pytest.mark.parametrize(
    "settings",
    [tiny_settings(), tiny_pair_settings(), tiny_pair_settings(shared_backbone=True)],
    ids=["single", "pair", "shared"],
)
def test_the_state_of_a_detector_survives_the_way_there_and_back(settings):
    state = tiny_detector(settings).state_dict()
    back = from_published(to_published(state, settings), settings)
    assert back.unknown == back.torn == []
    assert back.state.keys() == state.keys()
    assert all(torch.equal(back.state[name], state[name]) for name in state)


def test_streams_keep_their_order():
    published = to_published(tiny_detector(tiny_pair_settings()).state_dict(), tiny_pair_settings())
    renamed = from_published(numbered(published), tiny_pair_settings()).state
    names = list(published)
    expected = {
        "backbone_visible.0.body.conv1.weight": "pyramid.backbones.0.body.conv1.weight",
        "backbone_ir.0.body.conv1.weight": "pyramid.backbones.1.body.conv1.weight",
        "input_proj.2.0.weight": "pyramid.necks.0.projections.2.0.weight",
        "input_proj_ir.2.0.weight": "pyramid.necks.1.projections.2.0.weight",
        "conv_corr.1.attention_stages.0.1.bias": "pyramid.fusions.1.stages.0.key.bias",
        "redim_corr.1.1.bias": "pyramid.fusions.1.join.1.bias",
    }
    for theirs, ours in expected.items():
        assert names[int(renamed[ours])] == theirs


def test_heads_are_written_under_all_their_names():
    published = to_published({"heads.class_head.bias": torch.zeros(OUTPUTS)}, tiny_settings())
    assert sorted(published) == [
        "class_embed.0.bias",
        "class_embed.1.bias",
        "transformer.decoder.class_embed.0.bias",
        "transformer.decoder.class_embed.1.bias",
    ]


def test_a_module_prefix_is_taken_off():
    settings = tiny_settings()
    state = tiny_detector(settings).state_dict()
    wrapped = {f"module.{name}": value for name, value in to_published(state, settings).items()}
    renamed = from_published(wrapped, settings)
    assert renamed.unknown == []
    assert renamed.state.keys() == state.keys()


def test_tied_copies_that_differ_are_reported_and_the_last_one_counts():
    settings = tiny_settings()
    published = to_published(tiny_detector(settings).state_dict(), settings)
    published["class_embed.1.weight"] = torch.full_like(published["class_embed.1.weight"], 7.0)
    for order in (published, dict(reversed(published.items()))):
        renamed = from_published(order, settings)
        assert renamed.torn == ["heads.class_head.weight"]
        assert (renamed.state["heads.class_head.weight"] == 7).all()


def test_backbones_that_differ_are_torn_in_a_model_that_shares_one():
    separate, shared = tiny_pair_settings(), tiny_pair_settings(shared_backbone=True)
    published = to_published(tiny_detector(separate).state_dict(), separate)
    assert from_published(published, separate).torn == []
    torn = from_published(published, shared).torn
    assert torn
    assert all(name.startswith("pyramid.backbones.0.") for name in torn)


def test_names_without_a_rule_are_reported():
    settings = tiny_settings()
    renamed = from_published({"criterion.empty_weight": torch.zeros(1), "input_projection.0": torch.zeros(1)}, settings)
    assert renamed.unknown == ["criterion.empty_weight", "input_projection.0"]
    assert renamed.state == {}


def test_a_part_without_a_published_form_is_an_error():
    with pytest.raises(KeyError, match=r"mask_head\.weight has no published name"):
        to_published({"mask_head.weight": torch.zeros(1)}, tiny_settings())


@pytest.mark.parametrize("layers", [1, 6])
def test_there_are_rules_for_the_heads_of_every_decoder_layer(layers):
    settings = tiny_settings(decoder=schema.DinoDecoder(layers=layers, heads=4, points=2))
    theirs = [source for source, _ in rules(settings) if source.startswith("class_embed.")]
    assert theirs == [f"class_embed.{layer}" for layer in range(layers)]
