"""caff_dino/coco_mono_init: a pair model started from a detector of one spectrum."""

import numpy as np
import torch
from harness import Case
from torch import Tensor

from caffdet_cli.settings import model as schema
from caffdet_cli.weights.remap import to_published
from caffdet_cli.weights.start import start_from_single
from runners.published import ours, settings_of


def coco_mono_init(case: Case) -> None:
    """Where every tensor comes from, and the values afterwards."""
    pair = settings_of(case)
    mono = pair.model_copy(update={"spectra": ("rgb",), "fusion": schema.NoFusion()})
    before, source = ours(case.weights(), pair), ours(case.weights("mono"), mono)
    case.check_exact("mapping.json", case.file("mapping.json"), mapping(case, before, source, pair, mono))
    started, _ = start_from_single(before, source, pair)
    published = to_published(started, pair)
    for name, value in published.items():
        case.check(name, value)
    order = [name for name, _, dtype in case.file("state_dict.json") if dtype.startswith("float")]
    case.check("checksums", np.array([checksum(published[name]) for name in order]))
    case.finish()


def checksum(value: Tensor) -> tuple[float, float]:
    """Sum and sum of absolute values."""
    exact = value.double()
    return float(exact.sum()), float(exact.abs().sum())


def mapping(
    case: Case, before: dict[str, Tensor], source: dict[str, Tensor], pair: schema.Model, mono: schema.Model
) -> list[list[str]]:
    """[published name, source] as recorded, found by sending numbered tensors through the start.

    A tensor of ours has several published names; where the recorded source is one of them it counts as equal.
    """
    labels = {
        name: torch.tensor(float(number)).expand(value.shape) for number, (name, value) in enumerate(source.items())
    }
    blank = {name: torch.tensor(-1.0).expand(value.shape) for name, value in before.items()}
    started, _ = start_from_single(blank, labels, pair)
    names: dict[int, list[str]] = {-1: ["init"]}
    for name, value in to_published(labels, mono).items():
        names.setdefault(number_of(value), []).append(name)
    published = to_published(started, pair)
    found = []
    for name, recorded in case.file("mapping.json"):
        sources = names[number_of(published[name])]
        found.append([name, recorded if recorded in sources else sources[0]])
    return found


def number_of(value: Tensor) -> int:
    return int(value.reshape(-1)[0])
