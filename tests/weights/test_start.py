"""Starting from other weights: what is copied where, and that the account tells it."""

import pytest
import torch
from tiny import tiny_detector, tiny_pair_settings, tiny_settings
from torch import Tensor

from caffdet_cli.models.build import detector
from caffdet_cli.settings import model as schema
from caffdet_cli.weights.start import Account, remarks, start_from_single


def state_of(settings: schema.Model, seed: int, outputs: int = 3) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return detector(settings, outputs).state_dict()


def started(settings: schema.Model, source: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], Account]:
    """The state before, the state after, and the account."""
    before = state_of(settings, seed=1)
    return (before, *start_from_single(before, source, settings))


@pytest.mark.parametrize("shared", [True, False])
def test_backbone_and_neck_go_into_both_streams(shared):
    settings = tiny_pair_settings(shared_backbone=shared)
    source = state_of(tiny_settings(), seed=0)
    _, after, account = started(settings, source)
    for stream in range(1 if shared else 2):
        for name in ("body.conv1.weight", "body.layer4.0.conv2.weight"):
            assert torch.equal(after[f"pyramid.backbones.{stream}.{name}"], source[f"pyramid.backbone.{name}"])
    for stream in range(2):
        name = "projections.2.0.weight"  # the extra level too
        assert torch.equal(after[f"pyramid.necks.{stream}.{name}"], source[f"pyramid.neck.{name}"])
    assert all(name.startswith(("pyramid.backbones.", "pyramid.necks.")) for name in account.to_both_streams)
    assert account.unused == []


def test_the_transformer_is_copied_and_the_fusion_keeps_its_start():
    source = state_of(tiny_settings(), seed=0)
    before, after, account = started(tiny_pair_settings(), source)
    for name in source:
        if not name.startswith("pyramid."):
            assert torch.equal(after[name], source[name])
            assert name in account.copied
    fusion = [name for name in before if name.startswith("pyramid.fusions.")]
    assert account.left == fusion
    assert all(after[name] is before[name] for name in fusion)


def test_every_tensor_is_accounted_for_once():
    _, after, account = started(tiny_pair_settings(), state_of(tiny_settings(queries=20), seed=0))
    told = [*account.copied, *account.to_both_streams, *account.left, *account.mismatched]
    assert sorted(told) == sorted(after)
    assert sum(number for _, number, _ in account.rows()) == len(after) + len(account.unused)


def test_other_classes_and_queries_keep_their_start_and_are_listed():
    source = state_of(tiny_settings(queries=20), seed=0, outputs=91)
    before, after, account = started(tiny_pair_settings(), source)
    assert set(account.mismatched) == {
        "selection.content.weight",
        "selection.class_head.weight",
        "selection.class_head.bias",
        "heads.class_head.weight",
        "heads.class_head.bias",
        "denoising.table.weight",
    }
    assert all(after[name] is before[name] for name in account.mismatched)
    assert account.unused == []


@pytest.mark.parametrize("settings", [tiny_settings(), tiny_pair_settings()], ids=["single", "pair"])
def test_a_detector_of_the_same_kind_is_copied_whole(settings):
    source = state_of(settings, seed=0)
    _, after, account = started(settings, source)
    assert account.copied == list(source)
    assert account.to_both_streams == account.left == account.mismatched == account.unused == []
    assert all(torch.equal(after[name], source[name]) for name in source)


def test_a_smaller_encoder_takes_what_it_has_and_names_the_rest():
    source = state_of(tiny_settings(), seed=0)
    plain = schema.InterleavedEncoder(layers=2, blocks=1, high_levels=2, heads=4, points=2, feedforward=64)
    settings = tiny_settings(encoder=plain.model_copy(update={"small_feedforward": False}))
    _, _, account = started(settings, source)
    assert account.unused
    assert all(".small_feedforward." in name for name in account.unused)


def test_a_started_detector_loads_its_state():
    settings = tiny_pair_settings()
    _, after, _ = started(settings, state_of(tiny_settings(), seed=0))
    tiny_detector(settings).load_state_dict(after)


def test_the_states_that_were_given_are_not_changed():
    source = state_of(tiny_settings(), seed=0)
    before = state_of(tiny_pair_settings(), seed=1)
    copies = [{name: value.clone() for name, value in state.items()} for state in (source, before)]
    start_from_single(before, source, tiny_pair_settings())
    for state, copy in zip((source, before), copies, strict=True):
        assert all(torch.equal(state[name], copy[name]) for name in copy)


def test_rows_say_per_part_what_became_of_it():
    _, _, account = started(tiny_pair_settings(), state_of(tiny_settings(queries=20), seed=0))
    rows = {(part, fate): number for part, number, fate in account.rows()}
    assert rows["pyramid.necks", "copied into both streams"] == 2 * 3 * 4
    assert rows["pyramid.fusions", "initial values: not in the starting weights"] == len(account.left)
    assert rows["selection", "initial values: another shape"] == 1
    assert ("encoder", "copied") in rows


def test_proposals_of_any_class_keep_their_row_whatever_the_classes_are():
    """Deformable-DETR's encoder head says in its first slot that there is an object, of whatever class."""
    decoder = schema.DeformableDecoder(layers=2, heads=4, points=2, feedforward=64, refine=True, two_stage=True)
    chosen = tiny_settings(decoder=decoder, denoising=schema.Denoising(number=0))
    torch.manual_seed(0)
    source, started = (detector(chosen, outputs).state_dict() for outputs in (4, 2))
    new, account = start_from_single(started, source, chosen, ("car", "person"), ("dog", "person", "car", "bus"))
    weight, before = "heads.class_heads.1.weight", "selection.class_head.weight"
    assert torch.equal(new[weight][0], source[weight][2])
    assert torch.equal(new[weight][1], source[weight][1])
    assert torch.equal(new[before][0], source[before][0])
    assert torch.equal(new[before][1], started[before][1])
    assert before in account.copied
    strange, _ = start_from_single(started, source, chosen, ("x", "y"), ("dog", "person", "car", "bus"))
    assert torch.equal(strange[before][0], source[before][0])


def test_heads_of_another_meaning_are_not_taken_though_their_names_are_the_same():
    """DINO's encoder head has a row for each class, Deformable-DETR's one for all."""
    decoder = schema.DeformableDecoder(layers=2, heads=4, points=2, feedforward=64, refine=True, two_stage=True)
    other = tiny_settings(decoder=decoder, denoising=schema.Denoising(number=0))
    for first, second in ((tiny_settings(), other), (other, tiny_settings())):
        source, state = state_of(first, 0), state_of(second, 1)
        new, account = start_from_single(state, source, second, ("a", "b", "c"), ("a", "b", "c"))
        chosen = [name for name in state if name.startswith("selection.")]
        assert set(chosen) <= set(account.left)
        assert all(torch.equal(new[name], state[name]) for name in chosen)
        assert any(name.startswith("decoder.layers") for name in account.copied)
        assert any("decoder.name" in line for line in remarks(first, second))


def test_rows_of_a_pair_say_which_stream():
    source = state_of(tiny_settings(), seed=0)
    spectra = ("ir", "rgb")
    for shared, bodies in ((False, ["ir", "rgb"]), (True, ["both"])):
        _, _, account = started(tiny_pair_settings(shared_backbone=shared), source)
        parts = [part for part, _, _ in account.rows(spectra)]
        assert [part for part in parts if "backbones" in part] == [f"pyramid.backbones ({whose})" for whose in bodies]
        assert [part for part in parts if "necks" in part] == ["pyramid.necks (ir)", "pyramid.necks (rgb)"]
        assert "encoder" in parts
        assert sum(number for _, number, _ in account.rows(spectra)) == sum(number for _, number, _ in account.rows())


@pytest.mark.parametrize("labels", ["category_ids", "names"])
def test_slots_of_no_class_are_copied_in_published_heads_and_start_anew_in_others(labels):
    """`class_embed.*` is copied whole by the published initialisation; classes are found by name besides."""
    settings = tiny_pair_settings(labels=labels, outputs=4)
    source, before = state_of(tiny_settings(outputs=4), seed=0, outputs=4), state_of(settings, seed=1, outputs=4)
    names, known = ("person", None, None, "deer"), (None, "person", "car", "bus")
    after, account = start_from_single(before, source, settings, names, known)
    for name in ("heads.class_head.weight", "selection.class_head.bias", "denoising.table.weight"):
        assert name in account.by_class
        assert torch.equal(after[name][0], source[name][1])
        rest = source if labels == "category_ids" else before
        assert torch.equal(after[name][2], rest[name][2])
        assert torch.equal(after[name][3], before[name][3])  # a class that the source does not know
    assert account.class_lines()[-1] == "classes that start from initial values: deer"
