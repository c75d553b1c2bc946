"""What makes a training step fast changes neither its numbers nor what is saved."""

import copy

import torch
from tiny import tiny_batch, tiny_detector, tiny_pair_settings, tiny_settings

from caffdet_cli.inference.folded import FoldedResNet
from caffdet_cli.inference.prepare import fold_frozen, prepare
from caffdet_cli.models.backbones.resnet import ResNet
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings import model as schema

FROZEN = schema.ResNet(depth=18, levels=(2, 3), normalisation="frozen", frozen_stages=2)


def frozen() -> Detector:
    torch.manual_seed(3)
    detector = tiny_detector(tiny_settings(backbone=FROZEN))
    detector.pyramid.backbone.requires_grad_(False)
    return detector


def gradients(detector: Detector) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    levels = detector.train().pyramid(tiny_batch([(128, 160)]).spectra)
    sum((level * torch.randn(level.shape)).sum() for level in levels.features).backward()
    return {name: each.grad for name, each in detector.named_parameters() if each.grad is not None}


def test_frozen_backbones_compute_folded_and_are_saved_as_they_are():
    plain, folded = frozen(), frozen()
    before = {name: each.clone() for name, each in folded.state_dict().items()}
    fold_frozen(folded)
    assert isinstance(folded.pyramid.backbone.forward.__self__, FoldedResNet)
    expected, found = gradients(plain), gradients(folded)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm()) <= 1e-3 * float(gradient.norm()) + 1e-6, name
    assert before.keys() == folded.state_dict().keys()
    assert all(torch.equal(each, before[name]) for name, each in folded.state_dict().items())
    assert isinstance(prepare(copy.deepcopy(folded)).pyramid.backbone, FoldedResNet)


def test_backbones_that_are_trained_stay_as_they_are():
    detector = tiny_detector(tiny_pair_settings(backbone=FROZEN))
    fold_frozen(detector)
    assert all(type(each.forward.__self__) is ResNet for each in detector.pyramid.backbones)


def test_autocast_is_not_bypassed():
    detector = frozen()
    fold_frozen(detector)
    with torch.autocast("cpu", torch.bfloat16):
        stem = detector.pyramid.backbone.forward.__self__.stem
        assert stem(torch.randn(1, 3, 32, 32)).dtype == torch.bfloat16
