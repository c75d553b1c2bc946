"""The backbone: stages, sizes, what is trained, and the same numbers as torchvision's network."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.ops.misc import FrozenBatchNorm2d

from caffdet_cli.models.backbones.resnet import ResNet


@pytest.mark.parametrize(
    ("depth", "levels", "channels"),
    [
        (10, (0, 1, 2, 3), [64, 128, 256, 512]),
        (18, (1, 3), [128, 512]),
        (34, (2,), [256]),
        (50, (1, 2, 3), [512, 1024, 2048]),
    ],
)
def test_maps_have_the_channels_and_strides_it_tells(depth, levels, channels):
    backbone = ResNet(depth, levels)
    maps = backbone(torch.randn(1, 3, 65, 97))
    assert [each.shape[1] for each in maps] == backbone.channels == channels
    for each, stride in zip(maps, backbone.strides, strict=True):
        assert each.shape[2:] == (-(-65 // stride), -(-97 // stride))


def test_agrees_with_torchvisions_network():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(norm_layer=FrozenBatchNorm2d).eval()
    backbone = ResNet(18, (0, 2, 3))
    backbone.body.load_state_dict({name: value for name, value in theirs.state_dict().items() if "fc." not in name})
    picture = torch.randn(2, 3, 64, 96)
    expected = create_feature_extractor(theirs, ["layer1", "layer3", "layer4"])(picture)
    for ours, each in zip(backbone(picture), expected.values(), strict=True):
        torch.testing.assert_close(ours, each)


def test_stages_behind_the_last_level_are_not_built():
    assert "layer2" in ResNet(10, (0, 1)).body
    assert "layer3" not in ResNet(10, (0, 1)).body


@pytest.mark.parametrize(
    ("stages", "frozen"),
    [
        (0, []),
        (1, ["conv1", "bn1"]),
        (2, ["conv1", "bn1", "layer1"]),
        (5, ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]),
    ],
)
def test_stages_are_frozen_from_the_picture_on(stages, frozen):
    body = ResNet(10, (3,), "group", frozen_stages=stages).body
    fixed = [name for name, part in body.items() if not any(each.requires_grad for each in part.parameters())]
    assert fixed == frozen


@pytest.mark.parametrize(
    ("normalisation", "kind"), [("frozen", FrozenBatchNorm2d), ("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)]
)
def test_normalisation_is_of_the_chosen_kind_everywhere(normalisation, kind):
    backbone = ResNet(10, (3,), normalisation, frozen_stages=0)
    norms = [part for name, part in backbone.named_modules() if name.endswith(("bn1", "bn2", "downsample.1"))]
    assert len(norms) == 1 + 2 * 4 + 3
    assert all(isinstance(part, kind) for part in norms)
    trained = [part for part in norms if any(each.requires_grad for each in part.parameters())]
    assert len(trained) == (0 if normalisation == "frozen" else len(norms))


def test_frozen_normalisation_does_not_learn_from_training_pictures():
    torch.manual_seed(0)
    backbone = ResNet(10, (3,)).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items() if "running" in name}
    backbone(torch.randn(2, 3, 64, 64))
    assert before
    assert all(torch.equal(backbone.state_dict()[name], value) for name, value in before.items())
