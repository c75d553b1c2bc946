"""A loaded detector made ready for inference: the same results up to rounding, in less time.

What is done, each only where it applies:
- normalisation with stored statistics is folded into the convolutions of the backbones (`folded`);
- maps lie channels last behind a backbone that gives them so, and levels become tokens without being copied;
- fusions of single pixels multiply matrices (`row_fusion`);
- heads look at the last decoder layer only.

A prepared detector cannot be trained or saved. In training, `fold_frozen` lets backbones that are not trained compute
in their folded form.
"""

import torch
from torch import nn

from caffdet_cli.inference.device import HALF_TYPES
from caffdet_cli.inference.folded import FoldedResNet, can_fold
from caffdet_cli.inference.row_fusion import RowFusion, can_multiply
from caffdet_cli.models.backbones.resnet import ResNet
from caffdet_cli.models.detector import Detector
from caffdet_cli.models.fusion.pair import PairPyramid
from caffdet_cli.models.pyramid import Pyramid


def prepare(detector: Detector, precision: str = "fp32") -> Detector:
    """Change a detector in place; once more changes nothing.

    Args:
        precision: folded backbones compute in it, outside of autocast.

    Returns:
        The same detector, in evaluation mode.
    """
    detector.eval().requires_grad_(False)
    pyramid = detector.pyramid
    if isinstance(pyramid, PairPyramid):
        pyramid.backbones = nn.ModuleList(_folded(backbone, precision) for backbone in pyramid.backbones)
        _lay_as_given(pyramid.necks, pyramid.backbones[0])
        pyramid.fusions = nn.ModuleList(_multiplying(fusion) for fusion in pyramid.fusions)
    elif isinstance(pyramid, Pyramid):
        pyramid.backbone = _folded(pyramid.backbone, precision)
        _lay_as_given(pyramid.neck, pyramid.backbone)
    detector.heads.last_only = True
    return detector


def fold_frozen(detector: Detector) -> None:
    """Let backbones that nothing of is trained compute in folded form, where they are.

    What they hold, and what is saved of them, stays as it is: call this once their weights are loaded. On the CPU only,
    where convolutions take in what follows them.
    """
    for name, module in detector.pyramid.named_children():
        for backbone in module if isinstance(module, nn.ModuleList) else [module]:
            frozen = not any(parameter.requires_grad for parameter in backbone.parameters())
            if name.startswith("backbone") and frozen and can_fold(backbone) and _on_cpu(backbone):
                backbone.forward = FoldedResNet(backbone).forward  # type: ignore[arg-type]  # can_fold has looked


def _on_cpu(module: nn.Module) -> bool:
    return all(parameter.device.type == "cpu" for parameter in module.parameters())


def _folded(backbone: nn.Module, precision: str) -> nn.Module:
    if not can_fold(backbone):
        return backbone
    folded = FoldedResNet(backbone)  # type: ignore[arg-type]  # can_fold has looked
    return folded.to(HALF_TYPES.get(precision, torch.float32))


def _lay_as_given(neck: nn.Module, backbone: nn.Module) -> None:
    """Channels last behind a folded ResNet and a Swin; a ResNet that could not be folded gives its maps by channel."""
    if not isinstance(backbone, ResNet):
        neck.to(memory_format=torch.channels_last)


def _multiplying(fusion: nn.Module) -> nn.Module:
    return RowFusion(fusion) if can_multiply(fusion) else fusion  # type: ignore[arg-type]  # can_multiply has looked
