"""Whole detectors: as they run here beside their plain form, in one process, with the same weights.

    python benchmarks/e2e.py [--json FILE] [--model NAME ...] [--size 512x640 ...] [--threads 2] [--pairs 7]
                             [--precision fp32 bf16] [--train] [--set KEY=VALUE]

The plain form is CAFFDET_OPS=reference, nothing folded, nothing compiled: the operations of the published code. Ours is
what `caffdet predict` runs (`inference/prepare.py`), and with --train one training step of batch 1 with native
operators. Both run in turn; the ratio is the median over the pairs. Weights are random: they do not change the time.
"""

import argparse
import copy
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caffdet_cli.engine.optimizer import backbones
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.kernels import choice
from caffdet_cli.losses.detection import DinoCriterion
from caffdet_cli.losses.objective import DinoObjective
from caffdet_cli.models.build import detector
from caffdet_cli.models.dino import Dino
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import Model
from caffdet_cli.values import Batch, Pictures, Targets
from ops import BOTH, machine  # beside this file

MODELS = ("caff-lite-dino-r50", "lite-dino-r50")
_OBJECTS = 8


def batch_of(spectra: int, height: int, width: int) -> Batch:
    """Noise pictures."""
    random = torch.Generator().manual_seed(0)
    sizes = torch.tensor([[height, width]])

    def pictures() -> Pictures:
        pixels = torch.randn(1, 3, height, width, generator=random)
        return Pictures(
            pixels, torch.zeros(1, height, width, dtype=torch.bool), torch.ones(1, dtype=torch.bool), sizes, sizes
        )

    return Batch(tuple(pictures() for _ in range(spectra)), 0, [0], ["noise"])


def inference(network: Dino, batch: Batch, implementation: choice.Mode, precision: str) -> Callable[[], Tensor]:
    """One forward pass and its post-processing."""

    def call() -> Tensor:
        autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
        with choice.implementation(implementation), torch.inference_mode(), autocast:
            return network.postprocess(network(batch), batch)[0].scores

    return call


def training(network: Dino, model: Model, batch: Batch, implementation: choice.Mode) -> Callable[[], Tensor]:
    """Forward, losses and backward, with frozen backbones as published for CAFF."""
    for backbone in backbones(network):
        backbone.requires_grad_(False)
    objective = DinoObjective(network.train(), DinoCriterion(model.costs, model.loss), model.denoising)
    random = torch.Generator().manual_seed(1)
    boxes = torch.cat([0.2 + 0.6 * torch.rand(_OBJECTS, 2, generator=random), torch.full((_OBJECTS, 2), 0.1)], 1)
    targets = [Targets(boxes, torch.zeros(_OBJECTS, dtype=torch.long))]

    def call() -> Tensor:
        with choice.implementation(implementation):
            torch.manual_seed(0)
            losses = objective(batch, targets)
            losses.total.backward()
            network.zero_grad(set_to_none=True)
            return losses.total.detach()

    return call


def paired(plain: Callable[[], Tensor], ours: Callable[[], Tensor], pairs: int) -> dict[str, Any]:
    """Wall times in turn."""
    difference = float((plain() - ours()).abs().max())
    times = []
    for _ in range(pairs):
        laps = []
        for call in (plain, ours):
            begun = time.perf_counter()
            call()
            laps.append(time.perf_counter() - begun)
        times.append(laps)
    ratios = sorted(one / other for one, other in times)
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "against_ms": 1000 * min(one for one, _ in times),
        "subject_ms": 1000 * min(other for _, other in times),
        "pairs": pairs,
        "largest_difference": difference,
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--model", nargs="+", default=["caff-lite-dino-r50"], metavar="NAME")
    parser.add_argument("--size", nargs="+", default=["512x640"], metavar="HxW")
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--train", action="store_true", help="a training step instead of inference")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in caffdet train")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    about, rows = machine(), []
    print(
        f"{about['cpu']}, {about['capability']}, torch {about['torch']}, Python {platform.python_version()}, "
        f"load {about['load']:.1f}"
    )
    for name in options.model:
        model = load_config(model=name, overrides=options.set).config.model
        torch.manual_seed(0)
        network = detector(model, model.outputs or 3)
        for size in options.size:
            height, width = map(int, size.split("x"))
            batch = batch_of(len(model.spectra), height, width)
            for precision in ["fp32"] if options.train else options.precision:
                if options.train:
                    calls = [training(network, model, batch, each) for each in BOTH]
                else:
                    prepared = prepare(copy.deepcopy(network), precision)
                    plain = network.eval()
                    calls = [
                        inference(plain, batch, "reference", "fp32"),
                        inference(prepared, batch, "native", precision),
                    ]
                row = {
                    "subject": f"{name} {'training step' if options.train else 'inference'}",
                    "against": "plain mode, fp32",
                    "settings": options.set,
                    "size": size,
                    "precision": precision,
                    "threads": options.threads,
                    **paired(calls[0], calls[1], options.pairs),
                }
                rows.append(row)
                print(
                    f"{row['subject']} {size} {precision} {' '.join(options.set)}: {row['ratio']:.2f}x "
                    f"({row['ratio_low']:.2f}-{row['ratio_high']:.2f})  {row['against_ms']:.0f} ms -> "
                    f"{row['subject_ms']:.0f} ms, largest difference of scores {row['largest_difference']:.1e}",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "machine": about}, indent=2) + "\n")


if __name__ == "__main__":
    main()
