"""Starting from a classifier's file: its backbone goes into the detector, into both streams of a pair."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from caffdet_cli.errors import WeightsError
from caffdet_cli.models.backbones.swin import Swin
from caffdet_cli.models.build import detector
from caffdet_cli.settings.model import CaffLite, Model, ResNet
from caffdet_cli.settings.model import Swin as SwinSettings
from caffdet_cli.weights.backbone_files import check_backbone, read_backbone
from caffdet_cli.weights.remap import _SWIN
from caffdet_cli.weights.start import start_from_single

R18 = ResNet(depth=18)
SWIN = SwinSettings(size="tiny", window=7)


def resnet(path: Path, make=torchvision.models.resnet18) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = make().state_dict()
    torch.save(state, path)
    return state


def swin(path: Path, size: str = "tiny") -> dict[str, Tensor]:
    """In the form of Microsoft's files: with a head, a final norm and tables, without norms of stages."""
    torch.manual_seed(0)
    names = {ours: theirs for theirs, ours in _SWIN.items()}
    state = {}
    for name, value in Swin(size, 7, (0, 1, 2, 3)).state_dict().items():
        for ours, theirs in names.items():
            parts, goal = ours.split("#"), theirs.split("#")
            if len(parts) == 1 and name.startswith(f"{ours}."):
                state[name.replace(ours, theirs, 1)] = value
            elif len(parts) == 3 and name.startswith("stages."):
                _, stage, kind, block, *rest = name.split(".")
                tail = ".".join(rest)
                if kind == "blocks" and (tail == parts[2][1:] or tail.startswith(f"{parts[2][1:]}.")):
                    state[f"layers.{stage}.blocks.{block}{goal[2]}{tail.removeprefix(parts[2][1:])}"] = value
    extra = {"head.weight": torch.zeros(5, 768), "norm.weight": torch.ones(768), "norm.bias": torch.zeros(768)}
    extra["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    extra["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
    torch.save({"model": {**state, **extra}}, path)
    return state


@pytest.mark.parametrize("pair", [False, True])
def test_a_resnet_of_torchvision(tmp_path, pair):
    state = resnet(tmp_path / "r18.pth")
    more = {"spectra": ("ir", "rgb"), "fusion": CaffLite(), "shared_backbone": False} if pair else {}
    model = Model(backbone=R18, **more)
    found = read_backbone(tmp_path / "r18.pth", model)
    own = detector(model, 3).state_dict()
    check_backbone(found, own, model, tmp_path / "r18.pth")
    started, account = start_from_single(own, found, model)
    prefixes = ["pyramid.backbones.0", "pyramid.backbones.1"] if pair else ["pyramid.backbone"]
    for prefix in prefixes:
        for name in ("conv1.weight", "layer2.0.conv1.weight", "layer4.1.bn2.running_var"):
            assert torch.equal(started[f"{prefix}.body.{name}"], state[name])
    assert not account.mismatched
    assert not account.unused
    assert torch.equal(started["heads.class_head.bias"], own["heads.class_head.bias"])


def test_a_swin_of_microsoft(tmp_path):
    state = swin(tmp_path / "swin.pth")
    model = Model(backbone=SWIN)
    found = read_backbone(tmp_path / "swin.pth", model)
    own = detector(model, 3).state_dict()
    check_backbone(found, own, model, tmp_path / "swin.pth")
    started, _ = start_from_single(own, found, model)
    assert torch.equal(started["pyramid.backbone.patches.weight"], state["patch_embed.proj.weight"])
    last = "layers.3.blocks.1.mlp.fc2.weight"
    assert torch.equal(started["pyramid.backbone.stages.3.blocks.1.contract.weight"], state[last])
    assert torch.equal(started["pyramid.backbone.norms.3.weight"], own["pyramid.backbone.norms.3.weight"])


def test_stages_that_the_model_does_not_use_may_be_there(tmp_path):
    resnet(tmp_path / "r18.pth")
    model = Model(backbone=ResNet(depth=18, levels=(1, 2)), levels=3)
    found = read_backbone(tmp_path / "r18.pth", model)
    check_backbone(found, detector(model, 3).state_dict(), model, tmp_path / "r18.pth")


@pytest.mark.parametrize(
    ("make", "model", "words"),
    [
        (lambda path: resnet(path, torchvision.models.resnet34), Model(backbone=R18), "of another size than the model"),
        (resnet, Model(backbone=ResNet(depth=34)), "of another size than the model's .*choose model.backbone.depth"),
        (resnet, Model(backbone=SWIN), "of the kind resnet, the model has model.backbone.name = 'swin'"),
        (swin, Model(backbone=SwinSettings(size="base", window=7)), "choose model.backbone.size and window"),
        (swin, Model(backbone=SwinSettings(size="tiny", window=12)), "of another size than the model's"),
    ],
)
def test_another_backbone_is_one_sentence(tmp_path, make, model, words):
    path = tmp_path / "file.pth"
    make(path)
    with torch.device("meta"):
        own = detector(model, 3).state_dict()
    with pytest.raises(WeightsError, match=words):
        check_backbone(read_backbone(path, model), own, model, path)


def test_a_detector_is_no_backbone(tmp_path):
    torch.save({"model": {"transformer.level_embed": torch.zeros(4, 256)}}, tmp_path / "detector.pth")
    assert read_backbone(tmp_path / "detector.pth", Model()) is None
