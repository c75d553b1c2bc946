"""lite_dino/optimizer: parameter groups, learning rates and loss weights of the published recipes."""

import json
import re
from typing import Any

import torch
from harness import Case

from caffdet_cli.engine.optimizer import parameter_groups, schedule_factor
from caffdet_cli.models.build import detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.train import MultiStepSchedule, OneCycleSchedule, StepSchedule, Train
from caffdet_cli.weights.remap import to_published
from runners.published import settings_of

GROUPS = {"default": "backbone", "ddetr_in_mmdet": "slow-sampling", "large_wd": "no-decay"}
ONE_CYCLE = "onecycle_per_iteration (epochs=3, 10 iterations each, pct_start 0.2)"


def optimizer(case: Case) -> None:
    """Nothing is computed but numbers; the modules have no memory."""
    settings, recorded = settings_of(case), case.file("optim.json")
    with torch.device("meta"):
        network = detector(settings, settings.outputs)
    found = {
        "parameter_groups": {
            theirs: groups(
                network, settings, Train(groups=ours, freeze_backbone=False), recorded["parameter_groups"][theirs]
            )
            for theirs, ours in GROUPS.items()
        },
        "frozen_parameters": frozen(network, settings, recorded["frozen_parameters"]),
        "lr_per_epoch": {name: rates(name, case) for name in recorded["lr_per_epoch"]},
        ONE_CYCLE: one_cycle(recorded[ONE_CYCLE]),
        "loss_weights": weights(settings, recorded["loss_weights"]),
    }
    found["lr_per_epoch"]["note"] = recorded["lr_per_epoch"]["note"]
    case.check_exact("optim.json", rounded(recorded), rounded(found))
    case.finish({"state_dict.json": "the layout cases compare it"})


def groups(
    network: Detector, settings: schema.Model, train: Train, recorded: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """In the recorded order of groups and names; a tied tensor counts under its first name."""
    own = parameter_groups(network, train)
    parameters = dict(network.named_parameters())
    rows = []
    for theirs in recorded:
        mine = next(
            (
                g
                for g in own
                if (g["lr"], g["weight_decay"]) == (theirs["lr"], theirs["weight_decay"]) and same(g, theirs)
            ),
            None,
        )
        names = [] if mine is None else list(published(mine["names"], parameters, settings, theirs["names"]))
        params = [] if mine is None else mine["params"]
        rows.append(
            {
                "lr": None if mine is None else mine["lr"],
                "weight_decay": None if mine is None else mine["weight_decay"],
                "num_tensors": len(params),
                "num_parameters": sum(each.numel() for each in params),
                "names": names,
            }
        )
    return rows


def same(group: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Two groups may have the same rates: sampling offsets and backbones."""
    return len(group["params"]) == theirs["num_tensors"]


def published(names: list[str], parameters: dict[str, Any], settings: schema.Model, order: list[str]) -> list[str]:
    """Published names of ours, as recorded; what is recorded and ours has not is left out, what ours has besides comes
    last."""
    mine = {name: set(to_published({name: parameters[name]}, settings)) for name in names}
    known = {theirs: name for name, several in mine.items() for theirs in several}
    found = [name for name in order if name in known]
    missing = [name for name in mine if not mine[name] & set(found)]
    return [*found, *missing]


def frozen(network: Detector, settings: schema.Model, recorded: list[str]) -> list[str]:
    names = [name for name, each in network.named_parameters() if not each.requires_grad and ".query." not in name]
    return published(names, dict(network.named_parameters()), settings, recorded)


def rates(name: str, case: Case) -> list[list[float]] | None:
    """[rest, backbone] of each epoch, as the schedule that the name describes."""
    if name == "note":
        return None
    late = "Lite-DETR" in case.facts["reference"]
    epochs = int(re.search(r"epochs=(\d+)", name)[1])
    if name.startswith("StepLR"):
        schedule = StepSchedule(drop=int(re.search(r"lr_drop=(\d+)", name)[1]), one_epoch_late=late)
    else:
        schedule = MultiStepSchedule(drops=json.loads(re.search(r"\[.*?\]", name)[0]), one_epoch_late=late)
    train = Train(epochs=epochs, schedule=schedule)
    factors = [schedule_factor(train, epoch * 10, 10) for epoch in range(epochs)]
    return [[train.lr * factor, train.lr_backbone * factor] for factor in factors]


def one_cycle(recorded: list[list[list[float]]]) -> list[list[list[float]]]:
    """Of each epoch and step, the rest's rate twice.

    Upstream gives the backbone the rate of the rest, a bug that is not inherited: ours has its own.
    """
    steps = len(recorded[0])
    train = Train(epochs=len(recorded), schedule=OneCycleSchedule(rise=0.2))
    return [
        [[train.lr * schedule_factor(train, epoch * steps + step, steps)] * 2 for step in range(steps)]
        for epoch in range(len(recorded))
    ]


def weights(settings: schema.Model, recorded: dict[str, float]) -> dict[str, float]:
    """Of every term, by what its name says."""
    loss = settings.loss
    base = {"ce": loss.classification, "bbox": loss.box, "giou": loss.giou}
    layers = settings.decoder.layers - 1
    suffixes = ["", "_dn", *(f"{kind}_{layer}" for layer in range(layers) for kind in ("", "_dn")), "_interm"]
    mine = {
        f"loss_{term}{suffix}": value * (loss.proposals if suffix == "_interm" else 1)
        for suffix in suffixes
        for term, value in base.items()
    }
    return {name: mine[name] for name in recorded if name in mine} | {
        name: value for name, value in mine.items() if name not in recorded
    }


def rounded(value: Any) -> Any:
    """Numbers to 12 digits: a rate that was multiplied twice is not the one that was multiplied once by the square."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return {key: rounded(each) for key, each in value.items()} if isinstance(value, dict) else value
