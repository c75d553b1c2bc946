"""A detector ready to look at batches, and which spectra it is given."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import numpy as np
import torch

from caffdet_cli.data.batches import Loaded, to_device
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.inference.device import autocast
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.values import Batch, Detections

Given = Literal["pair", "rgb", "ir"]


class Predictor:
    """Calls a detector on batches, without gradients.

    Args:
        conventions: the detector's stream order, and how its pixels are normalised.
        device: as in `choose_device`.
        precision: "bf16" and "fp16" compute under autocast.
    """

    def __init__(self, detector: Detector, conventions: Conventions, device: torch.device, precision: str = "fp32"):
        self.detector = detector.to(device)
        self.spectra = conventions.spectra
        self.input = conventions.input
        self.device = device
        self.precision = precision

    @torch.inference_mode()
    def __call__(self, batch: Batch, given: Given = "pair") -> list[Detections]:
        """Detections of every picture of a batch, on the CPU.

        Args:
            given: which spectra a pair model is shown; the other is as if missing.
        """
        self.detector.eval()
        shown = to_device(only(batch, self.spectra, given), self.device, self.input)
        with autocast(self.device, self.precision):
            predictions = self.detector(shown)
        found = self.detector.postprocess(predictions, shown)
        return [Detections(*(part.cpu() for part in each)) for each in found]

    def run(
        self, batches: Iterable[Loaded], given: Given = "pair", *, absent: bool = True
    ) -> Iterator[tuple[int | str, DetectionArrays]]:
        """Picture ids and their detections, labels as class slots.

        Args:
            absent: also of examples that have no picture at all.
        """
        for batch, _ in batches:
            seen = torch.stack([pictures.present for pictures in batch.spectra]).any(dim=0).tolist()
            for identity, found, is_seen in zip(batch.ids, self(batch, given), seen, strict=True):
                if is_seen or absent:
                    yield identity, DetectionArrays(found.boxes.numpy(), found.labels.numpy(), found.scores.numpy())


def only(batch: Batch, spectra: tuple[Spectrum, ...], given: Given) -> Batch:
    """The batch with every spectrum but `given` marked absent; a single-spectrum batch stays as it is."""
    if given == "pair" or len(spectra) == 1:
        return batch
    kept = [
        pictures
        if spectrum == given
        else pictures._replace(pixels=torch.zeros_like(pictures.pixels), present=torch.zeros_like(pictures.present))
        for spectrum, pictures in zip(spectra, batch.spectra, strict=True)
    ]
    return batch._replace(spectra=tuple(kept))


def relabelled(found: Mapping[int | str, DetectionArrays], positions: list[int]) -> dict[int | str, DetectionArrays]:
    """Class slots to other numbers: `positions[slot]`; detections of a slot with -1 are left out."""
    table = np.asarray(positions, np.int64)
    result = {}
    for identity, each in found.items():
        labels = table[each.labels]
        kept = labels >= 0
        result[identity] = DetectionArrays(each.boxes[kept], labels[kept], each.scores[kept])
    return result
