"""Detector and criterion in one module: what training calls, and what a data-parallel wrapper wraps."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from caffdet_cli.losses.detection import Criterion
from caffdet_cli.models.denoising import denoising_queries
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings.model import Denoising
from caffdet_cli.values import Batch, Losses, Targets


class Objective(nn.Module):
    """The loss of a batch; with denoising queries while training.

    Args:
        classes: class slots that the data set uses; None: all. Wrong labels of denoising queries are drawn from them.
    """

    slots: Tensor

    def __init__(
        self,
        detector: Detector,
        criterion: Criterion,
        denoising: Denoising,
        classes: Iterable[int] | None = None,
    ):
        super().__init__()
        drawn = range(detector.outputs) if classes is None or denoising.labels == "outputs" else classes
        self.register_buffer("slots", torch.tensor(list(drawn)), persistent=False)
        self.detector = detector
        self.criterion = criterion
        self.denoising = denoising

    def forward(self, batch: Batch, targets: list[Targets]) -> Losses:
        noised = None
        if self.training:
            settings = self.denoising
            noised = denoising_queries(targets, self.slots, settings.number, settings.label_noise, settings.box_noise)
        losses: Losses = self.criterion(self.detector(batch, noised), targets, noised)[0]
        return losses
