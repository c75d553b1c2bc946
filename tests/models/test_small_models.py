"""The models for machines without a GPU: what they may cost, and that they run from weights and pictures on disk."""

import json

import cv2
import numpy as np
import pytest
import torch
import torchvision

from caffdet_cli.benchmark.counting import count_operations, count_parameters
from caffdet_cli.data.images import read_picture
from caffdet_cli.inference.folded import can_fold
from caffdet_cli.inference.predict import predict
from caffdet_cli.models.build import detector
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.load import load_config
from caffdet_cli.weights.backbone_files import check_backbone, read_backbone
from caffdet_cli.weights.start import start_from_single
from caffdet_cli.weights.store import save_weights

PAIR, ONE = "caff-lite-dino-small", "lite-dino-small"
LIMITS = {PAIR: (28.0, 25.0), ONE: (15.0, 13.5)}  # GFLOPs by fvcore of 512x640, parameters in millions
CLASSES = ("person", "car")


def settings(name: str):
    return load_config(model=name).config.model


@pytest.mark.parametrize("name", LIMITS)
def test_they_cost_no_more_than_two_cores_can_do(name):
    gflops, millions = LIMITS[name]
    model = settings(name)
    assert 0.9 * gflops < count_operations(model, 512, 640).total() / 1e9 < gflops
    assert 0.9 * millions < sum(count_parameters(model).values()) / 1e6 < millions


@pytest.mark.parametrize("name", LIMITS)
def test_they_build_without_memory_and_fold_at_inference(name):
    with torch.device("meta"):
        network = detector(settings(name), len(CLASSES))
    assert all(each.is_meta for each in network.parameters())
    streams = network.pyramid.backbones if name == PAIR else [network.pyramid.backbone]
    assert len(streams) == len(settings(name).spectra)
    assert all(can_fold(each) for each in streams)


def test_the_two_are_one_but_for_the_spectra():
    pair, one = settings(PAIR).model_dump(), settings(ONE).model_dump()
    assert {key for key in pair if pair[key] != one[key]} == {"spectra", "fusion"}


@pytest.mark.parametrize(("name", "prefixes"), [(PAIR, ("backbones.0", "backbones.1")), (ONE, ("backbone",))])
def test_they_start_from_a_resnet18_of_torchvision(tmp_path, name, prefixes):
    classifier = torchvision.models.resnet18().state_dict()
    torch.save(classifier, tmp_path / "resnet18.pth")
    model = settings(name)
    found, own = read_backbone(tmp_path / "resnet18.pth", model), detector(model, 2).state_dict()
    check_backbone(found, own, model, tmp_path / "resnet18.pth")
    started, account = start_from_single(own, found, model)
    assert not account.mismatched
    assert not account.unused
    for prefix in prefixes:
        for tensor in ("conv1.weight", "layer4.1.bn2.running_var", "layer4.1.bn2.bias"):
            assert torch.equal(started[f"pyramid.{prefix}.body.{tensor}"], classifier[tensor])


@pytest.mark.parametrize("name", LIMITS)
def test_they_find_and_draw_in_pictures_of_512x640(tmp_path, name):
    torch.manual_seed(0)
    model, random = settings(name), np.random.default_rng(0)
    known = Conventions(
        input=model.input, spectra=model.spectra, label_spectrum="rgb", classes=CLASSES, category_ids=(0, 1)
    )
    save_weights(tmp_path / "w.safetensors", detector(model, 2).state_dict(), model, known)
    for spectrum in model.spectra:
        (tmp_path / spectrum).mkdir()
        cv2.imwrite(str(tmp_path / spectrum / "a.png"), random.integers(0, 256, (512, 640, 3), np.uint8))

    given = {spectrum: tmp_path / spectrum for spectrum in model.spectra}
    done = predict(str(tmp_path / "w.safetensors"), tmp_path / "out", **given, score=0, device="cpu")

    assert done.pictures == 1
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(found) == model.detections
    boxes = np.array([each["bbox"] for each in found])
    assert np.isfinite(boxes).all()
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert (centres >= 0).all()
    assert (centres <= (640.01, 512.01)).all()
    assert read_picture(next((tmp_path / "out" / "pictures").glob("*.jpg"))).shape[0] >= 512
