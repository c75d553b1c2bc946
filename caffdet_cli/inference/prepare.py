"""A loaded detector made ready for inference: the same results up to rounding, in less time.

What is done, each only where it applies:
- normalisation with stored statistics is folded into the convolutions of the backbones (`folded`);
- maps lie channels last, so that levels become tokens without being copied;
- heads look at the last decoder layer only.

A prepared detector cannot be trained or saved. Training validates with the detector as it is.
"""

import torch
from torch import nn

from caffdet_cli.inference.folded import FoldedResNet, can_fold
from caffdet_cli.models.dino import Dino
from caffdet_cli.models.fusion.pair import PairPyramid
from caffdet_cli.models.pyramid import Pyramid


def prepare(detector: Dino, precision: str = "fp32") -> Dino:
    """Change a detector in place; once more changes nothing.

    Args:
        precision: "bf16": folded backbones compute in it, outside of autocast.

    Returns:
        The same detector, in evaluation mode.
    """
    detector.eval().requires_grad_(False)
    pyramid = detector.pyramid
    if isinstance(pyramid, PairPyramid):
        pyramid.backbones = nn.ModuleList(_folded(backbone, precision) for backbone in pyramid.backbones)
        pyramid.necks.to(memory_format=torch.channels_last)
    elif isinstance(pyramid, Pyramid):
        pyramid.backbone = _folded(pyramid.backbone, precision)
        pyramid.neck.to(memory_format=torch.channels_last)
    detector.heads.last_only = True
    return detector


def _folded(backbone: nn.Module, precision: str) -> nn.Module:
    if not can_fold(backbone):
        return backbone
    folded = FoldedResNet(backbone)  # type: ignore[arg-type]  # can_fold has looked
    return folded.to(torch.bfloat16) if precision == "bf16" else folded
