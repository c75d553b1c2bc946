"""Untrained detectors of one spectrum or of a pair on disk, for late fusion."""

from pathlib import Path

import torch
from tiny import tiny_pair_settings, tiny_settings

from caffdet_cli.models.build import detector
from caffdet_cli.progress import Progress
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Input
from caffdet_cli.weights.store import save_weights

SMALL = Input(short_side=48, max_side=64)
CLASSES = ("person", "car", "bicycle")


def member(path: Path, *spectra: str, classes: tuple[str | None, ...] = CLASSES, seed: int = 0, **changes) -> str:
    """A detector that looks at these spectra, in this order."""
    torch.manual_seed(seed)
    single = tiny_settings() if len(spectra) == 1 else tiny_pair_settings()
    outputs = len(classes) or 3
    model = single.model_copy(update={"input": SMALL, "spectra": spectra, "outputs": outputs})
    ids = tuple(None if name is None else slot for slot, name in enumerate(classes))
    facts = {"input": SMALL, "spectra": spectra, "label_spectrum": spectra[0], "category_ids": ids, **changes}
    network = detector(model, outputs)
    for head in (network.heads.box_head, network.selection.box_head):
        torch.nn.init.normal_(head.layers[-1].weight, std=0.1)
    save_weights(path, network.state_dict(), model, Conventions(classes=classes, **facts))
    return str(path)


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")
