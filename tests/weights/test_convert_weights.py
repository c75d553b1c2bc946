"""Checkpoints from one form into the other, what they are called, and other classes."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from caffdet_cli.errors import ConfigError, OutputError, WeightsError
from caffdet_cli.models.build import detector
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import (
    CaffHierarchical,
    CaffLite,
    DeformableDecoder,
    DeformableEncoder,
    Denoising,
    DinoDecoder,
    InterleavedEncoder,
    LossWeights,
    Model,
    ResNet,
    Swin,
)
from caffdet_cli.weights.coco_slots import coco_slots
from caffdet_cli.weights.convert import convert_weights
from caffdet_cli.weights.inspect import describe
from caffdet_cli.weights.load import as_released, beside_released, load_detector, read_stored
from caffdet_cli.weights.naming import nearest_shipped, title
from caffdet_cli.weights.published import published_model, read_published
from caffdet_cli.weights.remap import swin_indices, to_published
from caffdet_cli.weights.start import remarks, same_classes, start_from_single
from caffdet_cli.weights.store import save_weights

SMALL = {
    "width": 64,
    "backbone": ResNet(depth=18),
    "encoder": InterleavedEncoder(feedforward=64),
    "decoder": DinoDecoder(feedforward=64),
    "queries": 7,
    "outputs": 91,
    "labels": "category_ids",
}
PAIR = {**SMALL, "spectra": ("ir", "rgb"), "fusion": CaffLite(stages=2, reduced=8)}


def deformable(**more: bool | int) -> dict[str, object]:
    """A Deformable-DETR, with what is told of published ones besides their tensors."""
    dropout = 0.0 if more.get("mixed_selection") else 0.1
    return {
        **SMALL,
        "encoder": DeformableEncoder(feedforward=64, dropout=dropout),
        "decoder": DeformableDecoder(feedforward=64, dropout=dropout, **more),
        "denoising": Denoising(number=0),
        "detections": 100,
        "position_temperature": 10000,
        "position_shift": -0.5,
        "loss": LossWeights(classification=2.0),
    }


KINDS = {
    "lite": SMALL,
    "key-aware": {**SMALL, "key_aware": True},
    "dino": {
        **SMALL,
        "encoder": DeformableEncoder(feedforward=64),
        "levels": 5,
        "backbone": ResNet(depth=18, levels=(0, 1, 2, 3)),
    },
    "caff-lite": PAIR,
    "caff": {
        **PAIR,
        "encoder": DeformableEncoder(feedforward=64),
        "fusion": CaffHierarchical(stages=1, reduced=8),
        "shared_backbone": False,
    },
    "one feed-forward": {**SMALL, "encoder": InterleavedEncoder(feedforward=64, small_feedforward=False, blocks=6)},
    "swin": {**SMALL, "backbone": Swin(size="tiny", window=7)},
    "deformable": deformable(),
    "refined": deformable(refine=True),
    "two stages": {**deformable(refine=True, two_stage=True), "queries": 300},  # which leave no trace
    "h-detr": {
        **deformable(refine=True, two_stage=True, mixed_selection=True, look_forward_twice=True, one_to_many=1500),
        "queries": 300,
    },
    "lite-h-detr": {
        **deformable(refine=True, two_stage=True, mixed_selection=True, look_forward_twice=True, one_to_many=1500),
        "queries": 300,
        "encoder": InterleavedEncoder(feedforward=64),
        "key_aware": True,
    },
    "caff-deformable": {**deformable(refine=True), "spectra": ("ir", "rgb"), "fusion": CaffLite(stages=2, reduced=8)},
}


@pytest.fixture(scope="module", params=KINDS)
def released(request, tmp_path_factory) -> tuple[Path, Model]:
    """A file in the published form, and its model."""
    model = Model(**KINDS[request.param])
    torch.manual_seed(0)
    published = to_published(detector(model, 91).state_dict(), model)
    if isinstance(model.backbone, Swin):
        published |= swin_indices(published, model.backbone.window)
    path = tmp_path_factory.mktemp(request.param) / "released.pth"
    torch.save({"model": published, "epoch": 11, "args": argparse.Namespace(num_classes=91)}, path)
    return path, model


def test_there_and_back_every_tensor_is_the_same(released, tmp_path):
    path, model = released
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    published = {"detections": 300} if isinstance(model.decoder, DinoDecoder) else {}
    assert convert_weights(str(path), ours).model == model.model_copy(update=published)
    convert_weights(str(ours), back, to="published")
    first, second = (torch.load(each, weights_only=False)["model"] for each in (path, back))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert load_detector(str(ours)).detector.outputs == 91


def test_what_a_file_is(released):
    path, model = released
    found = describe(str(path))
    assert (found.written_by, found.model) == ("published code", model)
    assert found.entries == {"epoch": 11, "args": {"num_classes": 91}}
    assert json.dumps(found.facts(), default=str)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lite-dino-r50-h2l2", "Lite-DINO H2L2-(2+1)x3 with ResNet-50, 4 levels, key-aware"),
        ("lite-dino-swin-t-h3l1-6p1x1", "Lite-DINO H3L1-(6+1)x1 with Swin-T, 4 levels, key-aware"),
        ("lite-dino-r50-h3l1-3p1x2", "Lite-DINO H3L1-(3+1)x2 with ResNet-50, 4 levels, key-aware"),
        ("caff-lite-dino-r50", "CAFF-Lite-DINO H3L1-(2+1)x3 with ResNet-50, 4 levels"),
        ("caff-dino-swin-l-5scale", "CAFF-DINO with Swin-L, 5 levels"),
        ("dino-r50", "DINO with ResNet-50, 4 levels"),
        ("add-dino-r50", "DINO (fusion add) with ResNet-50, 4 levels"),
        ("deformable-detr-r50", "Deformable-DETR with ResNet-50, 4 levels"),
        ("deformable-detr-r50-refine", "Deformable-DETR, refined with ResNet-50, 4 levels"),
        ("deformable-detr-r50-two-stage", "Deformable-DETR in two stages with ResNet-50, 4 levels"),
        ("lite-h-deformable-detr-r50", "Lite-H-DETR H3L1-(2+1)x3 with ResNet-50, 4 levels, key-aware"),
        ("caff-h-deformable-detr-r50", "CAFF-H-DETR (fusion caff-lite) with ResNet-50, 4 levels"),
    ],
)
def test_models_have_the_names_of_the_papers(name, words):
    model = load_config(model=name).config.model
    assert title(model) == words
    assert nearest_shipped(model) == (name, {})


def test_a_moving_average_is_read_where_asked(tmp_path):
    model = Model(**SMALL)
    one, other = (to_published(detector(model, 91).state_dict(), model) for _ in range(2))
    path = tmp_path / "both.pth"
    wrapped = {f"module.module.{name}": value for name, value in other.items()}
    torch.save({"model": one, "ema_model": wrapped}, path)
    name = "transformer.tgt_embed.weight"
    assert torch.equal(read_published(path).state[name], one[name])
    assert torch.equal(read_published(path, average=True).state[name], other[name])
    torch.save({"model": one}, path)
    with pytest.raises(WeightsError, match="has no moving average"):
        convert_weights(str(path), tmp_path / "out.safetensors", average=True)
    assert not (tmp_path / "out.safetensors").exists()


def test_tied_names_may_be_missing(tmp_path):
    model = Model(**PAIR)
    state = to_published(detector(model, 91).state_dict(), model)
    lost = ("backbone_ir.", "class_embed.3", "transformer.decoder.bbox_embed")
    less = {name: value for name, value in state.items() if not name.startswith(lost)}
    torch.save({"model": less}, tmp_path / "less.pth")
    assert load_detector(str(tmp_path / "less.pth")).detector.outputs == 91


def test_equal_backbones_become_one(tmp_path):
    model = Model(**KINDS["caff"])
    network = detector(model, 91)
    network.pyramid.backbones[1].load_state_dict(network.pyramid.backbones[0].state_dict())
    torch.save({"model": to_published(network.state_dict(), model)}, tmp_path / "equal.pth")
    assert len(load_detector(str(tmp_path / "equal.pth")).detector.pyramid.backbones) == 1


def test_what_a_file_does_not_tell_can_be_said(tmp_path):
    model = Model(**SMALL)
    torch.save({"model": to_published(detector(model, 91).state_dict(), model)}, tmp_path / "a.pth")
    target = tmp_path / "a.safetensors"
    words = ["model.encoder.high_levels=2"]
    assert (
        convert_weights(str(tmp_path / "a.pth"), target, overrides=words, classes=["coco"]).model.encoder.high_levels
        == 2
    )
    assert read_stored(target).conventions.classes == coco_slots()
    for override, said in [
        ("model.queries=9", "contradicts itself"),
        ("model.encoder.blocks=4", "does not divide"),
        ("model.nothing=1", "must be model.KEY=VALUE"),
        ("train.epochs=1", "must be model.KEY=VALUE"),
    ]:
        with pytest.raises((ConfigError, WeightsError), match=said):
            convert_weights(str(tmp_path / "a.pth"), tmp_path / "b.safetensors", overrides=[override])
    with pytest.raises(ConfigError, match="names 2 classes, the head has 91 slots"):
        convert_weights(str(tmp_path / "a.pth"), tmp_path / "b.safetensors", classes=["one", "two"])
    with pytest.raises(OutputError, match="exists"):
        convert_weights(str(tmp_path / "a.pth"), target)
    with pytest.raises(OutputError, match=r"must end in \.pth"):
        convert_weights(str(tmp_path / "a.pth"), tmp_path / "b.safetensors", to="published")
    assert not (tmp_path / "b.safetensors").exists()


def test_a_file_with_the_name_of_a_released_one_is_read_as_that():
    same = load("lite-dino-r50-h3l1-2p1x3")  # three blocks as well: only the coarse levels differ
    assert as_released(same, Path("r50_s2ex3_49.9.pth")).encoder.high_levels == 2
    assert as_released(same, Path("mine.pth")) is same
    other = Path("r50_s3ex1_50.2.pth")
    assert as_released(same, other) is same
    entry, apart = beside_released(same, other)
    assert entry.name.startswith("lite-dino-r50-h3l1-6")
    assert apart == {"encoder.blocks": (1, 3)}


def load(name: str) -> Model:
    return load_config(model=name).config.model


def meta(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return detector(load(name), 91).state_dict()


def test_infinite_numbers_do_not_hide(tmp_path):
    model = Model(**SMALL)
    state = to_published(detector(model, 91).state_dict(), model)
    state["transformer.level_embed"] = torch.full_like(state["transformer.level_embed"], torch.nan)
    torch.save({"model": state}, tmp_path / "nan.pth")
    for use in (load_detector, describe, lambda path: convert_weights(path, tmp_path / "out.safetensors")):
        with pytest.raises(WeightsError, match=r"nan\.pth.*flatten.level_embedding.*not finite"):
            use(str(tmp_path / "nan.pth"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transformer.encoder.layers.0.linear1.weight", torch.tensor(1.0)),
        ("transformer.level_embed", torch.zeros(1, 1).expand(200_000, 200_000)),
        ("transformer.level_embed", torch.zeros(4, 256).to_sparse()),
        ("transformer.level_embed", torch.zeros(4, 256, dtype=torch.complex64)),
        (f"transformer.encoder.layers.{'9' * 5000}.norm1.weight", torch.zeros(1)),
        ("class_embed.0.bias", torch.ones(91)),
    ],
)
def test_hostile_tensors_are_one_sentence(tmp_path, name, value):
    model = Model(**SMALL)
    state = to_published(detector(model, 91).state_dict(), model)
    torch.save({"model": {**state, name: value}}, tmp_path / "hostile.pth")
    for use in (load_detector, describe):
        with pytest.raises(WeightsError, match=r"hostile\.pth"):
            use(str(tmp_path / "hostile.pth"))


def test_what_the_published_code_has_no_form_for_is_refused(tmp_path):
    for changes in (
        {"backbone": ResNet(depth=18, normalisation="batch")},
        {"fusion": CaffHierarchical(kernels=(1, 3, 5, 7))},
    ):
        model = Model(**{**PAIR, **changes})
        conventions = Conventions(input=model.input, spectra=model.spectra, label_spectrum="ir")
        save_weights(tmp_path / "a.safetensors", detector(model, 91).state_dict(), model, conventions)
        with pytest.raises(WeightsError, match="the published code has no form for this model"):
            convert_weights(str(tmp_path / "a.safetensors"), tmp_path / "a.pth", to="published")
        assert not (tmp_path / "a.pth").exists()


def test_what_the_published_form_does_not_tell_is_no_reason_to_refuse(tmp_path):
    model = Model(**{**SMALL, "encoder": InterleavedEncoder(feedforward=64, small_feedforward=False, high_levels=2)})
    conventions = Conventions(input=model.input, spectra=model.spectra)
    save_weights(tmp_path / "a.safetensors", detector(model, 91).state_dict(), model, conventions)
    convert_weights(str(tmp_path / "a.safetensors"), tmp_path / "a.pth", to="published")
    assert any("does not tell encoder.blocks" in remark for remark in describe(str(tmp_path / "a.pth")).remarks)


def test_tensors_that_share_memory_are_written_apart(tmp_path):
    model = Model(**SMALL)
    state = detector(model, 91).state_dict()
    state["selection.class_head.bias"] = state["heads.class_head.bias"]
    save_weights(tmp_path / "a.safetensors", state, model, Conventions(input=model.input))
    assert torch.equal(
        read_stored(tmp_path / "a.safetensors").state["selection.class_head.bias"], state["heads.class_head.bias"]
    )


def test_changed_streams_and_sizes_hold_for_inference_too(tmp_path):
    model = Model(**PAIR)
    torch.save({"model": to_published(detector(model, 91).state_dict(), model)}, tmp_path / "a.pth")
    words = ['model.spectra=["rgb", "ir"]', "model.input.short_side=640"]
    convert_weights(str(tmp_path / "a.pth"), tmp_path / "a.safetensors", overrides=words)
    conventions = read_stored(tmp_path / "a.safetensors").conventions
    assert (conventions.spectra, conventions.input.short_side) == (("rgb", "ir"), 640)
    with pytest.raises(WeightsError, match="keeps the moving average as its weights"):
        convert_weights(str(tmp_path / "a.safetensors"), tmp_path / "b.safetensors", average=True)
    with pytest.raises(ConfigError, match="a name twice"):
        convert_weights(str(tmp_path / "a.safetensors"), tmp_path / "b.safetensors", classes=["a"] * 91)


# Other classes


def test_classes_go_by_name():
    names = ("Traffic-Light", None, "deer", "person")
    assert same_classes(names, coco_slots()) == {0: 10, 3: 1}


def test_heads_of_other_classes_get_the_rows_of_the_same_names():
    small = Model(**{**SMALL, "outputs": 0, "labels": "names"})
    torch.manual_seed(0)
    source, target = detector(Model(**SMALL), 91).state_dict(), detector(small, 2).state_dict()
    state, account = start_from_single(target, source, small, ("deer", "dog"), coco_slots())
    for name in ("heads.class_head.weight", "selection.class_head.bias", "denoising.table.weight"):
        assert torch.equal(state[name][1], source[name][18])
        assert torch.equal(state[name][0], target[name][0])
        assert name in account.by_class
    assert not account.mismatched
    assert account.class_lines() == [
        "classes that the starting weights know: dog",
        "classes that start from initial values: deer",
    ]


def test_the_same_number_of_other_classes_goes_by_name_too():
    small = Model(**{**SMALL, "outputs": 0, "labels": "names"})
    source, target = detector(small, 3).state_dict(), detector(small, 3).state_dict()
    state, account = start_from_single(target, source, small, ("car", "person", "deer"), ("person", "car", "dog"))
    weight = "heads.class_head.weight"
    assert torch.equal(state[weight][0], source[weight][1])
    assert torch.equal(state[weight][1], source[weight][0])
    assert torch.equal(state[weight][2], target[weight][2])
    assert account.classes == [("car", "car"), ("person", "person"), ("deer", None)]


def test_the_one_backbone_of_a_pair_goes_into_both_of_another():
    shared, apart = Model(**PAIR), Model(**{**PAIR, "shared_backbone": False})
    source, target = detector(shared, 91).state_dict(), detector(apart, 91).state_dict()
    state, account = start_from_single(target, source, apart)
    name = "body.layer2.0.conv1.weight"
    for stream in range(2):
        assert torch.equal(state[f"pyramid.backbones.{stream}.{name}"], source[f"pyramid.backbones.0.{name}"])
    assert not account.left


def test_without_names_they_keep_their_initial_values():
    small = Model(**{**SMALL, "outputs": 0, "labels": "names"})
    source, target = detector(Model(**SMALL), 91).state_dict(), detector(small, 2).state_dict()
    state, account = start_from_single(target, source, small)
    assert torch.equal(state["heads.class_head.weight"], target["heads.class_head.weight"])
    assert len(account.mismatched) == 5
    assert not account.class_lines()


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("lite-dino-r50-h3l1-2p1x3", "caff-lite-dino-r50", "key-aware attention and the model is plain"),
        ("lite-dino-r50", "caff-lite-dino-r50-key-aware", "plain attention and the model is key-aware"),
        ("lite-dino-r50-h2l2", "lite-dino-r50-h3l1-2p1x3", "encoder.high_levels = 2, the model has 3"),
        ("dino-r50", "lite-dino-r50", "encoder.name = 'deformable'"),
        ("dino-swin-l", "dino-r50", "have swin large (window 12) as backbone, the model resnet 50"),
        ("caff-dino-r50", "caff-lite-dino-r50", "fusion.name = 'caff-hierarchical', the model 'caff-lite'"),
    ],
)
def test_what_would_be_computed_in_another_way_is_said(source, target, words):
    found = remarks(load(source), load(target), "some-model")
    assert any(words in remark and "--model some-model takes the whole file" in remark for remark in found)
    assert not remarks(load(source), load(source))


def test_settings_are_read_from_a_file_of_another_width():
    model = Model(**SMALL)
    with torch.device("meta"):
        state = to_published(detector(model, 91).state_dict(), model)
    assert published_model(state, Path("a.pth")).decoder.feedforward == 64


def test_our_own_file_tells_its_classes(tmp_path):
    model = Model(**{**SMALL, "outputs": 0, "labels": "names"})
    conventions = Conventions(input=model.input, classes=("person", "car"), category_ids=(1, 2))
    save_weights(tmp_path / "a.safetensors", detector(model, 2).state_dict(), model, conventions)
    found = describe(str(tmp_path / "a.safetensors"))
    assert (found.written_by, found.conventions.classes) == ("caffdet", ("person", "car"))
    assert found.configuration == ""
    assert found.differences["width"] == (256, 64)
