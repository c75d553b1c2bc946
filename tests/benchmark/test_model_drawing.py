"""Drawings of detectors: every model can be drawn, shapes are those of the real network, nothing lies on anything."""

from functools import cache
from itertools import combinations

import cv2
import numpy as np
import pytest
import torch
from tiny import OUTPUTS, tiny_batch, tiny_pair_settings, tiny_settings

from caffdet_cli.benchmark.model_drawing import draw_model, outline, save_model_drawing
from caffdet_cli.errors import ConfigError, OutputError
from caffdet_cli.main import main
from caffdet_cli.models.build import detector
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.load import load_config, names
from caffdet_cli.values import Group
from caffdet_cli.visualization.architecture import draw_outline, lay_out
from caffdet_cli.visualization.blocks import Box, Diagram
from caffdet_cli.visualization.outline import EncoderStep, Map, Outline

MODELS = [one.name for one in names() if one.kind == "model"]
TRIED = ["caff-lite-dino-r50", "dino-swin-l", "h-deformable-detr-r50"]
SIZE = (136, 168)
FUSIONS = [{"name": "caff-lite"}, {"name": "concat"}, {"name": "add"}]
ONE_STAGE = {
    "decoder": schema.DeformableDecoder(layers=2, heads=4, points=2, feedforward=64),
    "denoising": schema.Denoising(number=0),
}
HYBRID = {
    "decoder": schema.DeformableDecoder(
        layers=3, heads=4, points=2, feedforward=64, refine=True, two_stage=True, one_to_many=8, repeats=3
    ),
    "denoising": schema.Denoising(number=0),
}
TINY = {
    "one": tiny_settings(),
    "pair": tiny_pair_settings(fusion_levels=FUSIONS),
    "one stage": tiny_settings(**ONE_STAGE),
    "hybrid": tiny_pair_settings(**HYBRID),
}


@cache
def tiny_outline(kind: str) -> Outline:
    return outline(TINY[kind], SIZE)


def overlapping(diagram: Diagram) -> list[tuple[str, str]]:
    """Words that lie on each other."""
    return [(a.words, b.words) for a, b in combinations(diagram.labels, 2) if share(a.box, b.box)]


def share(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def inside(a: Box, b: Box) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]


def check_geometry(drawn: Outline) -> None:
    diagram, height = lay_out(drawn)
    assert overlapping(diagram) == []
    assert [label for label in diagram.labels if not inside(label.box, (0, 0, diagram.width, height))] == []
    assert [label for label in diagram.labels if not label.words or label.words.endswith("..")] == []
    for label in diagram.labels:
        crossed = [block for block in diagram.blocks if share(label.box, block.box)]
        assert all(inside(label.box, block.box) for block in crossed), f"{label.words!r} crosses the edge of a box"
        for image in diagram.images:
            high, wide = image.picture.shape[:2]
            assert not share(label.box, (image.left, image.top, image.left + wide, image.top + high))
    for a, b in combinations(diagram.blocks, 2):
        assert not share(a.box, b.box) or inside(a.box, b.box) or inside(b.box, a.box), f"{a.box} {b.box}"


@pytest.mark.parametrize("name", TRIED)
def test_a_shipped_model_is_drawn_without_overlaps(name):
    drawn = outline(load_config(model=name).config.model, (512, 640), title=name)
    check_geometry(drawn)
    picture = draw_outline(drawn)
    assert picture.shape[1] == 1200
    assert picture.dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_model_is_drawn_without_overlaps(name):
    drawn = outline(load_config(model=name).config.model, (1024, 768), title=name)
    check_geometry(drawn)
    draw_outline(drawn)


def test_every_kind_of_part_is_among_those_tried_every_time():
    settings = [load_config(model=name).config.model for name in TRIED]
    assert {type(each.encoder) for each in settings} == {schema.DeformableEncoder, schema.InterleavedEncoder}
    assert {type(each.decoder) for each in settings} == {schema.DinoDecoder, schema.DeformableDecoder}
    assert {type(each.backbone) for each in settings} == {schema.ResNet, schema.Swin}


@pytest.mark.parametrize("kind", TINY)
def test_shapes_are_those_of_the_real_network(kind):
    settings = TINY[kind]
    network = detector(settings, OUTPUTS).eval()
    batch = tiny_batch([SIZE], len(settings.spectra))
    drawn = tiny_outline(kind)
    with torch.no_grad():
        levels = network.pyramid(batch.spectra)
        tokens = network.flatten(levels)
        memory = network.encoder(tokens)
        queries, _ = network.selection(memory, tokens)
        states, _ = network.decoder(queries, memory, tokens, network.heads)
        found = network(batch)
        backbone = network.pyramid.backbone if len(settings.spectra) == 1 else network.pyramid.backbones[0]
        maps = backbone(batch.spectra[0].pixels)
    assert drawn.maps == tuple(Map(*each.shape[1:]) for each in maps)
    assert drawn.levels == tuple(Map(*each.shape[1:]) for each in levels.features)
    assert drawn.tokens == tuple(each.shape[2] * each.shape[3] for each in levels.features)
    assert (sum(drawn.tokens), drawn.width) == memory.shape[1:]
    assert drawn.queries == queries.content.shape[1]
    assert drawn.states == tuple(each.shape[1] for each in states)
    assert drawn.boxes == found.matching.boxes.shape[2:]
    assert drawn.logits[0] == found.matching.logits.shape[2]
    for level, stride in zip(drawn.levels, drawn.strides, strict=True):
        assert (level.height, level.width) == (-(-SIZE[0] // stride), -(-SIZE[1] // stride))
    check_geometry(drawn)


def test_the_strip_tells_which_tokens_an_encoder_layer_updates():
    drawn = tiny_outline("one")
    fine, coarse = drawn.tokens[0], sum(drawn.tokens[1:])
    assert drawn.steps == (EncoderStep(coarse, 0), EncoderStep(fine + coarse, fine))


def test_queries_of_training_are_counted_as_training_makes_them():
    settings = TINY["hybrid"]
    network = detector(settings, OUTPUTS).train()
    with torch.no_grad():
        tokens = network.flatten(network.pyramid(tiny_batch([SIZE], 2).spectra))
        groups: tuple[Group, ...] = network.selection(network.encoder(tokens), tokens)[0].groups
    (extra,) = tiny_outline("hybrid").extra
    assert extra.name == f"{groups[1].size} one-to-many queries"
    assert extra.about == "each object is wanted 3 times"
    assert tiny_outline("one").extra[0].name == "about 20 denoising queries for each object"
    assert tiny_outline("one stage").extra == ()


def test_each_level_is_drawn_with_its_own_fusion():
    diagram, _ = lay_out(tiny_outline("pair"))
    words = [label.words for label in diagram.labels]
    assert [word for word in words if word in ("caff-lite", "caff-hierarchical", "concat", "add")] == [
        "caff-lite",
        "concat",
        "add",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": schema.InterleavedEncoder(layers=24, blocks=12, heads=4, points=2, high_levels=1, feedforward=64)},
        {"levels": 1, "backbone": schema.ResNet(depth=10, levels=(3,), normalisation="group", frozen_stages=0)},
        {"levels": 7, "queries": 100_000, "outputs": 999_999, "detections": 1_000_000},
    ],
    ids=["24 layers", "one level", "large numbers"],
)
def test_unusual_models_keep_their_words_apart(changes):
    plain = {"encoder": schema.DeformableEncoder(layers=2, heads=4, points=2, feedforward=64)}
    settings = tiny_pair_settings(**{**plain, **changes})
    check_geometry(outline(settings, (160, 96), title="a title that is too long " * 3))


def test_a_drawing_is_the_same_every_time():
    assert np.array_equal(draw_model(TINY["pair"], SIZE), draw_outline(tiny_outline("pair")))


def test_a_picture_too_small_for_the_network_is_told():
    settings = tiny_pair_settings(fusion=schema.CaffHierarchical(reduced=8))
    with pytest.raises(ConfigError, match=r"pictures of 64x64 do not suit this model: a picture is too small"):
        outline(settings, (64, 64))


def test_the_command_writes_a_small_picture_and_says_so(tmp_path, capsys):
    target = tmp_path / "drawn.png"
    words = ["config", "show", "lite-dino-demo", "--size", "96x128", "--draw", str(target)]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{target}: the model, and its shapes for pictures of 96x128\n"
    stored = cv2.cvtColor(cv2.imread(str(target)), cv2.COLOR_BGR2RGB).astype(int)
    drawn = draw_model(load_config(model="lite-dino-demo").config.model, (96, 128), title="lite-dino-demo").astype(int)
    assert np.abs(stored - drawn).mean() < 1  # the file has few colours
    assert target.stat().st_size < 150_000
    assert main(words) == 2
    assert "exists; choose another file or add --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json"]) == 0
    assert '"size": "96x128"' in capsys.readouterr().out


def test_without_a_size_the_model_says_what_it_makes_of_a_camera_picture(tmp_path):
    model = load_config(model="lite-dino-demo").config.model
    assert save_model_drawing(model, tmp_path / "drawn.jpg") == (128, 160)
    assert (tmp_path / "drawn.jpg").read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--size", "96x128"], "--size and --overwrite are for --draw FILE.png"),
        (["--draw", "drawn.png", "--size", "96"], "write height and width in pixels as HxW"),
        (["--draw", "drawn.gif"], "drawings are written as .png or .jpg"),
    ],
)
def test_a_drawing_that_cannot_be_made_is_one_sentence(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["config", "show", "lite-dino-demo", *words]) == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_ending_is_checked_before_anything_is_computed(tmp_path):
    with pytest.raises(OutputError, match=r"\.png or \.jpg"):
        save_model_drawing(tiny_settings(), tmp_path / "drawn")
