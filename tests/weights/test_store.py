"""Checkpoints on disk: ours there and back, broken ones, published ones, and files that carry code."""

import argparse
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_settings

from caffdet_cli.errors import WeightsError
from caffdet_cli.models.build import detector
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import CaffLite, InterleavedEncoder, Model
from caffdet_cli.weights.known import find_weights
from caffdet_cli.weights.load import load_detector
from caffdet_cli.weights.published import looks_like, read_published
from caffdet_cli.weights.remap import to_published
from caffdet_cli.weights.start import start_from_single
from caffdet_cli.weights.store import read_weights, save_weights


@pytest.fixture
def stored(tmp_path):
    """A tiny detector on disk."""
    model = tiny_settings()
    network = detector(model, 2)
    known = Conventions(spectra=model.spectra, classes=("person", None), category_ids=(7, None))
    save_weights(tmp_path / "tiny.safetensors", network.state_dict(), model, known)
    return tmp_path / "tiny.safetensors", network, known


def test_ours_comes_back_as_it_was(stored):
    path, network, known = stored
    loaded = load_detector(str(path))
    assert loaded.conventions == known
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.detector.state_dict()[name], value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_file_is_one_sentence(stored, share):
    path, _, _ = stored
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match="truncated"):
        read_weights(path)


@pytest.mark.parametrize(
    "facts", [None, "{", "[]", "[" * 100_000, json.dumps({"model": {"family": "x"}, "conventions": {}})]
)
def test_a_file_without_our_settings_is_refused(tmp_path, facts):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata=None if facts is None else {"caffdet": facts})
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        read_weights(path)


def test_missing_tensors_and_other_shapes_are_named(stored):
    path, network, known = stored
    state = network.state_dict()
    save_weights(
        path, {name: value for name, value in state.items() if name != "decoder.norm.bias"}, tiny_settings(), known
    )
    with pytest.raises(WeightsError, match=r"decoder\.norm\.bias"):
        load_detector(str(path))
    save_weights(path, state | {"decoder.norm.bias": torch.zeros(3)}, tiny_settings(), known)
    with pytest.raises(WeightsError, match=r"contradicts itself: decoder\.norm\.bias"):
        load_detector(str(path))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    ("key", "value"), [("width", 1 << 30), ("queries", 1 << 40), ("outputs", 1 << 40), ("levels", 1 << 40)]
)
def test_sizes_that_a_hostile_file_names_take_no_memory(stored, key, value):
    path, network, known = stored
    model = tiny_settings().model_dump(mode="json") | {key: value}
    facts = {"format": 1, "model": model, "conventions": known.model_dump(mode="json") | {"classes": []}}
    save_file(dict(network.state_dict()), path, metadata={"caffdet": json.dumps(facts)})
    with pytest.raises(WeightsError, match=r"contradicts itself|settings cannot be read"):
        load_detector(str(path))


def test_half_precision_files_are_computed_in_single(stored):
    path, network, known = stored
    save_weights(path, {name: value.half() for name, value in network.state_dict().items()}, tiny_settings(), known)
    loaded = load_detector(str(path)).detector
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    frozen = [name for name, value in network.named_parameters() if not value.requires_grad]
    assert [name for name, value in loaded.named_parameters() if not value.requires_grad] == frozen


@pytest.mark.parametrize("pair", [False, True])
def test_a_published_file_is_recognised_and_read(tmp_path, pair):
    model = Model(queries=12, outputs=5, **({"spectra": ("ir", "rgb"), "fusion": CaffLite()} if pair else {}))
    network = detector(model, 5)
    state = {f"module.{name}": value for name, value in to_published(network.state_dict(), model).items()}
    torch.save({"model": state, "args": argparse.Namespace(lr=1e-4), "epoch": 3}, tmp_path / "published.pth")
    loaded = load_detector(str(tmp_path / "published.pth"))
    assert loaded.conventions.spectra == model.spectra
    assert (loaded.model.queries, loaded.model.outputs, loaded.conventions.classes) == (12, 5, ())
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.detector.state_dict()[name], value)


@pytest.mark.parametrize("shared_offsets", [False, True])
@pytest.mark.parametrize("project_keys", [False, True])
def test_a_key_aware_file_is_recognised_read_and_starts_a_plain_model(tmp_path, project_keys, shared_offsets):
    options = {"project_keys": project_keys, "shared_offsets": shared_offsets}
    model = Model(queries=4, outputs=3, labels="category_ids", key_aware=True, encoder=InterleavedEncoder(**options))
    network = detector(model, 3)
    torch.save({"model": to_published(network.state_dict(), model)}, tmp_path / "key_aware.pth")
    loaded = load_detector(str(tmp_path / "key_aware.pth"))
    assert loaded.model == model
    assert torch.equal(loaded.detector.state_dict()["decoder.norm.weight"], network.state_dict()["decoder.norm.weight"])
    plain = detector(Model(queries=4, outputs=3), 3).state_dict()
    _, account = start_from_single(plain, loaded.detector.state_dict(), Model(queries=4, outputs=3))
    assert "encoder.layers.0.attention.weights.weight" in account.left
    assert "encoder.layers.0.attention.query.weight" in account.copied


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_file_that_carries_code_is_refused_by_name_and_does_not_run(tmp_path):
    torch.save({"model": {"x": torch.zeros(1)}, "extra": Harmful(tmp_path / "ran")}, tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harmful(tmp_path / "ran"), protocol=2))
    for name in ("bad.pth", "plain.pth"):
        with pytest.raises(WeightsError, match=rf"{name}.*carries code \(.*system"):
            read_published(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x80\x02}q\x00.", b"not a checkpoint at all"])
def test_a_broken_pth_is_one_sentence(tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"broken\.pth"):
        read_published(tmp_path / "broken.pth")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["backbone.0.patch_embed.proj.weight"], "no DINO detector"),
        (["transformer.encoder.layers.0.self_attn.in_proj_weight"], "plain DETR"),
        (["layer1.0.conv1.weight", "fc.weight"], "classification ResNet"),
        (["roi_heads.box_head.fc6.weight"], "R-CNN"),
    ],
)
def test_another_architecture_is_named(keys, words):
    state: Mapping[str, object] = dict.fromkeys(keys)
    assert words in str(looks_like(state))


def test_a_run_folder_stands_for_its_best_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    best = tmp_path / "run" / "checkpoints" / "best"
    best.mkdir(parents=True)
    (best / "model.safetensors").touch()
    assert find_weights(str(tmp_path / "run")) == best / "model.safetensors"
    with pytest.raises(WeightsError, match="did you mean 'lite-dino-r50-coco'"):
        find_weights("lite-dino-r50-coko")
    with pytest.raises(WeightsError, match="caffdet download-weights lite-dino-r50-coco"):
        find_weights("lite-dino-r50-coco")
