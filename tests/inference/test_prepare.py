"""A prepared detector gives the results of the one that was loaded."""

import copy

import pytest
import torch
from tiny import tiny_batch, tiny_detector, tiny_pair_settings, tiny_settings
from torchvision.ops.misc import FrozenBatchNorm2d

from caffdet_cli.inference.folded import FoldedResNet, can_fold
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.kernels import choice
from caffdet_cli.models import build
from caffdet_cli.models.backbones.resnet import ResNet
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.load import load_config

FROZEN = schema.ResNet(depth=18, levels=(2, 3), normalisation="frozen", frozen_stages=2)


def with_statistics(module: torch.nn.Module) -> torch.nn.Module:
    """Statistics and scales that change something."""
    torch.manual_seed(5)
    for each in module.modules():
        if isinstance(each, FrozenBatchNorm2d | torch.nn.BatchNorm2d):
            for name, low, high in (
                ("running_mean", -1, 1),
                ("running_var", 0.5, 2),
                ("weight", 0.5, 2),
                ("bias", -1, 1),
            ):
                getattr(each, name).data.uniform_(low, high)
    return module


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("normalisation", ["frozen", "batch"])
@pytest.mark.parametrize("fused", [True, False])
def test_folded_backbones_give_the_same_maps(depth, normalisation, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr("caffdet_cli.inference.folded._has_fused_form", lambda features: False)
    backbone = with_statistics(ResNet(depth, (1, 2, 3), normalisation)).eval()
    folded = FoldedResNet(backbone)
    pictures = torch.randn(2, 3, 75, 101)
    with torch.inference_mode():
        expected, found = backbone(pictures), folded(pictures)
    assert can_fold(backbone)
    for first, second in zip(expected, found, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-4 * float(first.abs().max()))


def test_trainable_group_norms_stay_as_they_are():
    assert not can_fold(ResNet(10, (3,), "group"))
    detector = tiny_detector(tiny_settings())
    before = detector.pyramid.backbone
    assert prepare(detector).pyramid.backbone is before


@pytest.mark.parametrize("settings", [tiny_settings(backbone=FROZEN), tiny_pair_settings(backbone=FROZEN)])
def test_boxes_and_scores_are_those_of_the_plain_detector(settings):
    plain = with_statistics(tiny_detector(settings)).eval()
    prepared = prepare(copy.deepcopy(plain))
    batch = tiny_batch([(96, 128), (80, 128)], spectra=len(settings.spectra))
    chosen = []
    plain.selection.choose, choose = lambda scores: chosen.append(choose(scores)) or chosen[0], plain.selection.choose
    prepared.selection.choose = lambda scores: chosen[0]  # near-equal scores have no order
    with torch.inference_mode():
        expected, found = plain(batch), prepared(batch)
    assert found.matching.logits.shape[0] == 1
    torch.testing.assert_close(found.matching.logits[-1], expected.matching.logits[-1], rtol=0, atol=1e-3)
    torch.testing.assert_close(found.matching.boxes[-1], expected.matching.boxes[-1], rtol=0, atol=1e-3)
    for first, second in zip(plain.postprocess(expected, batch), prepared.postprocess(found, batch), strict=True):
        torch.testing.assert_close(second.scores, first.scores, rtol=0, atol=1e-3)


def test_preparing_twice_changes_nothing_more_and_nothing_is_trained():
    detector = prepare(tiny_detector(tiny_pair_settings(backbone=FROZEN, shared_backbone=True)))
    backbone = detector.pyramid.backbones[0]
    assert prepare(detector).pyramid.backbones[0] is backbone
    assert not any(parameter.requires_grad for parameter in detector.parameters())


def test_bf16_backbones_stay_close():
    plain = with_statistics(tiny_detector(tiny_settings(backbone=FROZEN))).eval()
    pictures = tiny_batch([(96, 128)]).spectra[0].pixels
    with torch.inference_mode():
        expected = plain.pyramid.backbone(pictures)
        found = prepare(plain, "bf16").pyramid.backbone(pictures)
    assert {each.dtype for each in found} == {torch.bfloat16}
    for first, second in zip(expected, found, strict=True):
        torch.testing.assert_close(second.float(), first, rtol=0.05, atol=0.05 * float(first.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("key_aware", [False, True])
def test_the_published_architecture_natively_and_prepared_agrees_with_plain_mode(key_aware):
    """Equality that users see: 900 queries on a pair of 512x640, native operators against plain PyTorch."""
    model = load_config(
        model="caff-lite-dino-r50", overrides=[f"model.key_aware={str(key_aware).lower()}"]
    ).config.model
    torch.manual_seed(0)
    plain = with_statistics(build.detector(model, 91)).eval()
    for head in (plain.heads.box_head, plain.selection.box_head):
        torch.nn.init.normal_(head.layers[-1].weight, std=0.1)
    prepared = prepare(copy.deepcopy(plain))
    batch, chosen = tiny_batch([(512, 640)], spectra=2), []
    plain.selection.choose, choose = lambda scores: chosen.append(choose(scores)) or chosen[0], plain.selection.choose
    prepared.selection.choose = lambda scores: chosen[0]
    with torch.inference_mode():
        with choice.implementation("reference"):
            expected = plain(batch)
        found = prepared(batch)
    scores = [each.matching.logits[-1].sigmoid() for each in (expected, found)]
    torch.testing.assert_close(scores[1], scores[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(found.matching.boxes[-1], expected.matching.boxes[-1], rtol=0, atol=1e-3)
