"""Which parameters are trained, at which learning rate, and how it changes.

Source: the published recipes of DINO, Lite-DETR and CAFF-DETR (main.py and util/get_param_dicts.py).
"""

import math
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer
from torchvision.ops import StochasticDepth

from caffdet_cli.models.detector import Detector
from caffdet_cli.settings.train import LinearSchedule, MultiStepSchedule, OneCycleSchedule, StepSchedule, Train

_SLOW = 0.1  # of sampling offsets
_ONE_CYCLE_START = 25  # how many times the first rate is below the highest
_ONE_CYCLE_END = 1e4  # and the last below the first
_REFERENCE = "selection.reference"  # Deformable-DETR's points, as slow as its offsets
_BACKBONE = "pyramid.backbone"  # one stream: `pyramid.backbone`, two: `pyramid.backbones`


def backbones(detector: Detector) -> list[nn.Module]:
    """The backbone modules of a detector."""
    return [module for name, module in detector.pyramid.named_children() if name.startswith("backbone")]


def freeze(backbone: nn.Module, drop_path: bool) -> None:
    """Into evaluation mode; with `drop_path`, blocks are skipped as in training."""
    backbone.eval()
    for module in backbone.modules():
        if drop_path and isinstance(module, StochasticDepth):
            module.train()


def make_optimizer(detector: Detector, settings: Train) -> Optimizer:
    """AdamW over the groups that the settings ask for; frozen parameters are in none, empty groups are left out."""
    if settings.freeze_backbone:
        for backbone in backbones(detector):
            backbone.requires_grad_(False)
    groups = [group for group in parameter_groups(detector, settings) if group["params"]]
    for group in groups:
        del group["names"]  # they would go into every checkpoint
    return AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)


def parameter_groups(detector: Detector, settings: Train) -> list[dict[str, Any]]:
    """`rest` and `backbone`, and what `settings.groups` sets apart from them.

    Each has its parameters as `params`, their names as `names`, the rate `base` that the schedule multiplies, and its
    weight decay.
    """
    groups: dict[str, dict[str, Any]] = {}

    def group(name: str, lr: float, decay: float = settings.weight_decay) -> None:
        groups[name] = {"name": name, "params": [], "names": [], "lr": lr, "base": lr, "weight_decay": decay}

    group("rest", settings.lr)
    group("backbone", settings.lr_backbone)
    if settings.groups == "slow-sampling":
        group("sampling", settings.lr * _SLOW)
    if settings.groups == "no-decay":
        group("rest without decay", settings.lr, 0.0)
        group("backbone without decay", settings.lr_backbone, 0.0)
    for name, parameter in detector.named_parameters():
        if parameter.requires_grad:
            chosen = groups[_group_of(name, settings)]
            chosen["params"].append(parameter)
            chosen["names"].append(name)
    return list(groups.values())


def _group_of(name: str, settings: Train) -> str:
    part = "backbone" if name.startswith(_BACKBONE) else "rest"
    if settings.groups == "slow-sampling" and part == "rest" and (".offsets." in name or name.startswith(_REFERENCE)):
        return "sampling"
    if settings.groups == "no-decay" and ("norm" in name or "bias" in name):
        return f"{part} without decay"
    return part


def set_learning_rate(optimizer: Optimizer, settings: Train, step: int, steps_per_epoch: int) -> float:
    """Set what step number `step` of the whole run (from 0) uses; returns that of the first group."""
    factor = schedule_factor(settings, step, steps_per_epoch)
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor
    return float(optimizer.param_groups[0]["lr"])


def schedule_factor(settings: Train, step: int, steps_per_epoch: int) -> float:
    """Share of the base learning rate at a step: warm-up times schedule."""
    warmup = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    total, epoch = max(1, settings.epochs * steps_per_epoch), step // steps_per_epoch
    match settings.schedule:
        case StepSchedule(drop=drop, factor=factor, one_epoch_late=late):
            return warmup * factor ** (max(0, epoch - late) // drop)
        case MultiStepSchedule(drops=drops, factor=factor, one_epoch_late=late):
            return warmup * factor ** sum(epoch - late >= drop for drop in drops)
        case OneCycleSchedule(rise=rise):
            return warmup * _one_cycle(step, total, rise)
        case LinearSchedule(factor=factor):
            return warmup * (1 - (1 - factor) * min(1.0, step / total))


def _one_cycle(step: int, total: int, rise: float) -> float:
    """torch.optim.lr_scheduler.OneCycleLR with its defaults, as a share of the highest rate."""
    top, end = rise * total - 1, total - 1
    start, last = 1 / _ONE_CYCLE_START, 1 / (_ONE_CYCLE_START * _ONE_CYCLE_END)
    if step <= top:
        return _cosine(start, 1.0, step / top if top else 1.0)
    return _cosine(1.0, last, min(1.0, (step - top) / (end - top)))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
