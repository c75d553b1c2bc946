"""Files of others: settings read from keys, what they look like, torn ones, other formats; the command that fetches."""

import json
import shlex

import pytest
import torch
from safetensors.torch import save_file

from caffdet_cli.errors import WeightsError
from caffdet_cli.models.build import detector
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import CaffLite, Model
from caffdet_cli.weights.known import find_weights
from caffdet_cli.weights.published import looks_like, published_model, read_published
from caffdet_cli.weights.remap import to_published
from caffdet_cli.weights.store import read_weights


@pytest.fixture(scope="module")
def pair_state():
    """A published CAFF-Lite-DINO with few queries; tensors without memory."""
    model = Model(spectra=("ir", "rgb"), fusion=CaffLite(stages=2), queries=7, outputs=4)
    with torch.device("meta"):
        return to_published(detector(model, 4).state_dict(), model)


def test_settings_are_read_from_keys_and_shapes(pair_state, tmp_path):
    model = published_model(pair_state, tmp_path)
    assert (model.spectra, model.queries, model.outputs, model.levels) == (("ir", "rgb"), 7, 4, 4)
    assert model.fusion == CaffLite(stages=2)
    assert (model.encoder.layers, model.encoder.blocks, model.encoder.small_feedforward) == (6, 3, True)
    assert model.backbone.depth == 50


@pytest.mark.parametrize(
    "lost",
    [
        "transformer.enc_out_class_embed.weight",
        "transformer.tgt_embed.weight",
        "backbone_visible.0.body.layer3.",
        "conv_corr.0.attention_stages.",
    ],
)
def test_a_torn_file_is_one_sentence(pair_state, tmp_path, lost):
    state = {name: value for name, value in pair_state.items() if not name.startswith(lost)}
    with pytest.raises(WeightsError, match="not a whole checkpoint"):
        published_model(state, tmp_path / "torn.pth")


def test_a_name_with_a_huge_number_builds_nothing(pair_state, tmp_path):
    state = {**pair_state, "transformer.encoder.layers.999999.norm1.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match="not a whole checkpoint"):
        published_model(state, tmp_path / "hostile.pth")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_one_sentence(tmp_path, share):
    path = tmp_path / "cut.pth"
    torch.save({"model": {"x": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match=r"cut\.pth"):
        read_published(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, {"model": {}}, [1, 2], torch.zeros(2), {"model": {"x": 1}}])
def test_a_file_without_tensors_says_what_it_holds(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_published(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("caff_dino/lite_r50_4scale", None),
        ("caff_dino/hier_r50_4scale", None),
        ("caff_dino/hier_swinL_5scale", None),
        ("lite_dino/layout_dino_swinl_4scale", None),
        ("lite_dino/layout_lite_r50_h3l1_6p1x1", None),
        ("detr_wsod/detr_r50_eval", "plain DETR"),
    ],
)
def test_recorded_keys_of_published_models_are_told_apart(shared, case, words):
    path = shared / "parity" / case / "state_dict.json"
    if not path.is_file():
        pytest.skip(f"{path} is not at hand")
    content = json.loads(path.read_text())
    names = content if isinstance(content, dict) else [entry[0] for entry in content]
    found = looks_like(dict.fromkeys(names))
    assert found is None if words is None else words in str(found)


def test_another_format_of_ours_is_refused(tmp_path):
    facts = {"model": Model().model_dump(mode="json"), "conventions": Conventions().model_dump(mode="json")}
    for number, readable in ((1, True), (2, False)):
        path = tmp_path / f"{number}.safetensors"
        save_file({"x": torch.zeros(1)}, path, metadata={"caffdet": json.dumps({"format": number, **facts})})
        if readable:
            assert read_weights(path).model == Model()
        else:
            with pytest.raises(WeightsError, match="another version of caffdet"):
                read_weights(path)


def test_the_command_that_fetches_is_told_until_the_file_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "my cache"))
    with pytest.raises(WeightsError) as caught:
        find_weights("lite-dino-r50-coco")
    assert shlex.split(str(caught.value).splitlines()[1]) == ["caffdet", "download-weights", "lite-dino-r50-coco"]
    place = tmp_path / "my cache" / "weights" / "r50_s3ex3_50.4.pth"
    place.parent.mkdir(parents=True)
    place.touch()
    assert find_weights("lite-dino-r50-coco") == place
