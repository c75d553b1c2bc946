"""What the configuration inside a published file decides, and which options of upstream are refused by name."""

import argparse
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_batch, tiny_detector, tiny_settings

from caffdet_cli.errors import WeightsError
from caffdet_cli.models.build import detector
from caffdet_cli.settings.model import DinoDecoder, InterleavedEncoder, Model, ResNet
from caffdet_cli.weights.convert import convert_weights
from caffdet_cli.weights.inspect import describe
from caffdet_cli.weights.load import assumed_in, load_detector, read_stored
from caffdet_cli.weights.published import published_model
from caffdet_cli.weights.published_args import unknown_option
from caffdet_cli.weights.remap import to_published
from caffdet_cli.weights.start import remarks

OUTPUTS = 3
RELEASED = {  # as such files have it
    "dilation": False,
    "pre_norm": False,
    "value_proj_after": False,
    "position_embedding": "v2",
    "transformer_activation": "relu",
    "decoder_module_seq": ["sa", "ca", "ffn"],
    "two_stage_type": "standard",
    "embed_init_tgt": True,
    "num_patterns": 0,
    "pe_temperatureH": 20,
    "pe_temperatureW": 20,
}


def lite(levels: int = 4, **encoder: object) -> Model:
    facts = {"layers": 2, "blocks": 1, "feedforward": 64, **encoder}
    return Model(
        backbone=ResNet(depth=18, levels=(1, 2, 3)),
        width=64,
        levels=levels,
        encoder=InterleavedEncoder(**facts),
        decoder=DinoDecoder(layers=1, feedforward=64, points=facts.get("points", 4), heads=facts.get("heads", 8)),
        queries=7,
        outputs=OUTPUTS,
        labels="category_ids",
    )


def file(path: Path, model: Model, args: dict[str, object] | None, **changes: torch.Tensor) -> Path:
    torch.manual_seed(0)
    state = to_published(detector(model, OUTPUTS).state_dict(), model) | changes
    torch.save({"model": state, "args": argparse.Namespace(**args)} if args is not None else {"model": state}, path)
    return path


@pytest.mark.parametrize(
    ("levels", "scale", "expected"), [(4, 3, 3), (4, 2, 2), (4, 1, 1), (4, None, 3), (5, 3, 4), (5, None, 4), (5, 2, 3)]
)
def test_coarse_levels_are_counted_as_upstream_does(tmp_path, levels, scale, expected):
    said = None if scale is None else {**RELEASED, "enc_scale": scale}
    path = file(tmp_path / "w.pth", lite(levels, high_levels=expected), said)
    stored = read_stored(path)
    assert stored.model.encoder.high_levels == expected
    assert assumed_in(stored, path) == (() if scale else ("high_levels",))
    told = [remark for remark in describe(str(path)).remarks if "does not tell encoder.high_levels" in remark]
    assert bool(told) == (scale is None)


def test_one_coarse_level_is_not_h2l2(tmp_path):
    path = file(tmp_path / "w.pth", lite(high_levels=1), {**RELEASED, "enc_scale": 1})
    assert any("enc_scale = 1, which is not H2L2" in remark for remark in describe(str(path)).remarks)


@pytest.mark.parametrize("key_aware", [False, True])
@pytest.mark.parametrize(("heads", "points"), [(8, 4), (4, 8), (8, 8), (4, 4), (2, 1)])
def test_heads_and_points_are_those_of_the_training(tmp_path, heads, points, key_aware):
    model = lite(heads=heads, points=points).model_copy(update={"key_aware": key_aware})
    said = {**RELEASED, "nheads": heads, "enc_n_points": points, "dec_n_points": points}
    read = read_stored(file(tmp_path / "w.pth", model, said)).model
    for part in (read.encoder, read.decoder):
        assert (part.heads, part.points) == (heads, points)
    assert not read.encoder.shared_offsets


def test_shared_offsets_are_seen_with_any_number_of_points(tmp_path):
    model = lite(points=2, shared_offsets=True)
    read = read_stored(file(tmp_path / "w.pth", model, {**RELEASED, "enc_n_points": 2, "dec_n_points": 2})).model
    assert (read.encoder.points, read.encoder.shared_offsets) == (2, True)


def test_points_that_nobody_says_are_counted(tmp_path):
    read = read_stored(file(tmp_path / "w.pth", lite(points=6), None)).model
    assert (read.encoder.points, read.decoder.points) == (6, 6)


def test_blocks_without_small_networks_boxes_kept_and_places_come_from_there(tmp_path):
    model = lite(layers=4, blocks=2, small_feedforward=False)
    said = {**RELEASED, "num_expansion": 2, "num_select": 20, "nms_iou_threshold": 0.7}
    said |= {"pe_temperatureH": 10000, "pe_temperatureW": 10000}
    read = read_stored(file(tmp_path / "w.pth", model, said)).model
    assert (read.encoder.blocks, read.detections, read.nms_iou, read.position_temperature) == (2, 20, 0.7, 10000)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"dilation": True}, r"dilation = True \(DC5\)"),
        ({"pre_norm": True}, "pre_norm = True"),
        ({"value_proj_after": True}, "value_proj_after = True"),
        ({"two_stage_type": "no"}, r"two_stage_type = 'no' \(one stage\)"),
        ({"embed_init_tgt": False}, "embed_init_tgt = False"),
        ({"position_embedding": "learned"}, "position_embedding = 'learned'"),
        ({"transformer_activation": "gelu"}, "transformer_activation = 'gelu'"),
        ({"decoder_module_seq": ["ca", "sa", "ffn"]}, r"decoder_module_seq = \['ca', 'sa', 'ffn'\]"),
        ({"dec_layer_number": [300, 200]}, r"dec_layer_number = \[300, 200\]"),
        ({"dec_pred_bbox_embed_share": False}, "dec_pred_bbox_embed_share = False"),
        ({"pe_temperatureH": 20, "pe_temperatureW": 40}, "pe_temperatureH = 20 and pe_temperatureW = 40"),
    ],
)
def test_options_that_are_not_here_are_refused_by_name(tmp_path, option, words):
    path = file(tmp_path / "w.pth", lite(), {**RELEASED, **option})
    with pytest.raises(WeightsError, match=f"looks like a DINO with {words}"):
        read_stored(path)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ("transformer.refpoint_embed.weight", "two_stage_type = 'no'"),
        ("transformer.encoder.norm.weight", "pre_norm = True"),
        ("transformer.two_stage_wh_embedding.weight", "two_stage_learn_wh = True"),
        ("backbone.0.downsample_layers.0.0.weight", "a ConvNeXt backbone"),
        ("transformer.patterns.weight", "num_patterns"),
    ],
)
def test_tensors_of_such_options_are_refused_by_name_too(tmp_path, tensor, words):
    path = file(tmp_path / "w.pth", lite(), None, **{tensor: torch.zeros(1, 64)})
    with pytest.raises(WeightsError, match=f"looks like a DINO with .*{words}"):
        read_stored(path)


def test_a_larger_table_of_labels_is_cut_to_the_heads_classes(tmp_path):
    model = lite()
    table = torch.arange(11 * 64, dtype=torch.float32).view(11, 64)
    path = file(tmp_path / "w.pth", model, RELEASED, **{"label_enc.weight": table})
    network = load_detector(str(path)).detector
    kept = network.state_dict()["denoising.table.weight"]
    assert torch.equal(kept, torch.cat([table[:OUTPUTS], table[-1:]]))


def test_a_smaller_table_of_labels_is_still_a_contradiction(tmp_path):
    path = file(tmp_path / "w.pth", lite(), RELEASED, **{"label_enc.weight": torch.zeros(2, 64)})
    with pytest.raises(WeightsError, match="contradicts itself"):
        load_detector(str(path))


def test_the_read_model_computes_what_was_written(tmp_path):
    """Heads and levels change no shape: a wrong guess would only show in what comes out."""
    model = lite(high_levels=2, heads=4, points=8)
    said = {**RELEASED, "nheads": 4, "enc_scale": 2, "enc_n_points": 8, "dec_n_points": 8}
    read = load_detector(str(file(tmp_path / "w.pth", model, said))).detector
    torch.manual_seed(0)
    own = detector(model, OUTPUTS).eval()
    batch = tiny_batch([(96, 128)])
    with torch.inference_mode():
        assert torch.equal(read(batch).matching.logits, own(batch).matching.logits)


def test_what_a_file_does_not_tell_is_not_said_as_a_fact():
    source, model = lite(high_levels=3), lite(high_levels=2)
    (assumed,) = remarks(source, model, assumed=("high_levels",))
    assert "are read with encoder.high_levels = 3 (their file does not tell it), the model has 2" in assumed
    (known,) = remarks(source, model)
    assert "were trained with encoder.high_levels = 3, the model has 2" in known


def test_converting_a_released_name_against_what_it_is_is_told(tmp_path, capsys):
    from caffdet_cli.main import main

    path = file(tmp_path / "r50_s3ex3_50.4.pth", lite(), None)
    done = convert_weights(str(path), tmp_path / "w.safetensors", overrides=["model.encoder.high_levels=2"])
    assert any("encoder.high_levels is 3; it is written with 2" in remark for remark in done.remarks)
    assert main(["weights", "convert", str(path), "-o", str(tmp_path / "again.safetensors")]) == 0
    assert "encoder.high_levels" not in capsys.readouterr().err


values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
options = ("nheads", "enc_n_points", "dec_n_points", "enc_scale", "num_expansion", "num_select", "nms_iou_threshold")


@given(st.dictionaries(st.sampled_from([*options, "pe_temperatureH", "dilation"]), values))
def test_any_configuration_is_a_model_or_one_sentence(said):
    model = tiny_settings(encoder=InterleavedEncoder(layers=2, blocks=1, feedforward=64), outputs=OUTPUTS)
    with torch.device("meta"):
        state = to_published(tiny_detector(model).state_dict(), model)
    try:
        found = published_model(state, Path("w.pth"), said)
    except WeightsError:
        return
    assert unknown_option(said) is None
    assert found.width == 64
