"""Which parameters are trained, at which learning rate, and how it changes.

Source: the published recipe of CAFF-Lite-DINO (main.py and util/get_param_dicts.py of kevinhelvig/CAFF-DETR).
"""

from torch import nn
from torch.optim import AdamW, Optimizer

from caffdet_cli.models.dino import Dino
from caffdet_cli.settings.train import LinearSchedule, StepSchedule, Train

_BACKBONE = "pyramid.backbone"  # one stream: `pyramid.backbone`, two: `pyramid.backbones`


def backbones(detector: Dino) -> list[nn.Module]:
    """The backbone modules of a detector."""
    return [module for name, module in detector.pyramid.named_children() if name.startswith("backbone")]


def make_optimizer(detector: Dino, settings: Train) -> Optimizer:
    """AdamW over two groups, `rest` and `backbone`; frozen parameters are in neither."""
    if settings.freeze_backbone:
        for backbone in backbones(detector):
            backbone.requires_grad_(False)
    trained = [(name, parameter) for name, parameter in detector.named_parameters() if parameter.requires_grad]
    rest = [parameter for name, parameter in trained if not name.startswith(_BACKBONE)]
    body = [parameter for name, parameter in trained if name.startswith(_BACKBONE)]
    groups = [{"params": rest, "lr": settings.lr, "base": settings.lr, "name": "rest"}]
    if body:
        groups.append({"params": body, "lr": settings.lr_backbone, "base": settings.lr_backbone, "name": "backbone"})
    return AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)


def set_learning_rate(optimizer: Optimizer, settings: Train, step: int, steps_per_epoch: int) -> float:
    """Set what step number `step` of the whole run (from 0) uses; returns that of the first group."""
    factor = schedule_factor(settings, step, steps_per_epoch)
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor
    return float(optimizer.param_groups[0]["lr"])


def schedule_factor(settings: Train, step: int, steps_per_epoch: int) -> float:
    """Share of the base learning rate at a step: warm-up times schedule."""
    warmup = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    match settings.schedule:
        case StepSchedule(drop=drop, factor=factor):
            return warmup * factor ** (step // steps_per_epoch // drop)
        case LinearSchedule(factor=factor):
            done = step / max(1, settings.epochs * steps_per_epoch)
            return warmup * (1 - (1 - factor) * min(1.0, done))
