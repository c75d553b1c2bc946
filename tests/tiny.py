"""Detectors and batches small enough for a test."""

import torch
from torch import Tensor

from caffdet_cli.models.build import detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Batch, Pictures, Targets

OUTPUTS = 3  # class slots


def tiny_settings(**changes: object) -> schema.Model:
    """Lite-DINO of width 64 on a ResNet-10: three levels of strides 16, 32 and 64, ten queries."""
    facts: dict[str, object] = {
        "backbone": schema.ResNet(depth=10, levels=(2, 3), normalisation="group", frozen_stages=0),
        "width": 64,
        "levels": 3,
        "encoder": schema.InterleavedEncoder(layers=2, blocks=1, high_levels=2, heads=4, points=2, feedforward=64),
        "decoder": schema.DinoDecoder(layers=2, heads=4, points=2, feedforward=64),
        "queries": 10,
        "detections": 5,
        "denoising": schema.Denoising(number=5),
    }
    return schema.Model.model_validate({**facts, **changes})


def tiny_pair_settings(**changes: object) -> schema.Model:
    """The same on pairs, infrared first."""
    facts = {"spectra": ("ir", "rgb"), "fusion": schema.CaffLite(stages=2, reduced=8), "shared_backbone": False}
    return tiny_settings(**{**facts, **changes})


def tiny_detector(settings: schema.Model, seed: int = 0) -> Detector:
    """A detector whose box heads do not start at zero, so that every part has an influence."""
    torch.manual_seed(seed)
    network = detector(settings, OUTPUTS)
    for head in (network.heads.box_head, network.selection.box_head):
        torch.nn.init.normal_(head.layers[-1].weight, std=0.1)
    return network


def tiny_batch(sizes: list[tuple[int, int]], spectra: int = 1, seed: int = 0) -> Batch:
    """Noise pictures of these heights and widths, padded to one size."""
    generator = torch.Generator().manual_seed(seed)
    height, width = (max(side) for side in zip(*sizes, strict=True))
    padding = torch.ones(len(sizes), height, width, dtype=torch.bool)
    for row, size in zip(padding, sizes, strict=True):
        row[: size[0], : size[1]] = False

    def pictures() -> Pictures:
        pixels = torch.randn(len(sizes), 3, height, width, generator=generator).masked_fill(padding[:, None], 0)
        return Pictures(
            pixels, padding, torch.ones(len(sizes), dtype=torch.bool), torch.tensor(sizes), torch.tensor(sizes)
        )

    ids: list[int | str] = list(range(len(sizes)))
    return Batch(tuple(pictures() for _ in range(spectra)), 0, ids, [f"{number}.png" for number in ids])


def tiny_targets(counts: list[int], seed: int = 0) -> list[Targets]:
    """So many objects per picture, well inside it."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    return [
        Targets(
            torch.cat([0.3 + 0.4 * random(count, 2), 0.1 + 0.2 * random(count, 2)], dim=1),
            torch.randint(OUTPUTS, (count,), generator=generator),
        )
        for count in counts
    ]
