"""Whole detectors: as they run here beside their plain form, with the same weights.

    python benchmarks/e2e.py [--json FILE] [--model NAME ...] [--size 512x640 ...] [--threads 2] [--pairs 7]
                             [--precision fp32 bf16] [--train] [--onnx [grid_sample gather]] [--set KEY=VALUE]

The plain form is CAFFDET_OPS=reference, nothing folded, nothing compiled: the operations of the published code. Ours is
what `caffdet predict` runs (`inference/prepare.py`), and with --train one training step of batch 1 as `caffdet train`
runs it. With --onnx the other side is the plain form in ONNX Runtime (needs onnxscript and onnxruntime; a minute of
export for each form). Each side is a process of its own, and they run in turn; the ratio is the median over the pairs.
Weights are random: they do not change the time, but for near-equal scores the order of queries.
"""

import argparse
import copy
import itertools
import json
import multiprocessing
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from caffdet_cli.engine.optimizer import backbones
from caffdet_cli.inference.prepare import fold_frozen, prepare
from caffdet_cli.kernels import choice
from caffdet_cli.kernels.export import Form, decompositions
from caffdet_cli.losses.detection import criterion_of
from caffdet_cli.losses.objective import Objective
from caffdet_cli.models.build import detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.models.postprocess import best_detections
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import Model
from caffdet_cli.values import Batch, Pictures, Targets
from ops import machine  # beside this file

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


def inference(network: Detector, batch: Batch, implementation: choice.Mode, precision: str) -> Callable[[], Tensor]:
    """One forward pass and its post-processing."""

    def call() -> Tensor:
        autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
        with choice.implementation(implementation), torch.inference_mode(), autocast:
            return network.postprocess(network(batch), batch)[0].scores

    return call


class Plain(nn.Module):
    """A detector as a function of pixels alone, which is what can be exported: all pictures have the batch's size."""

    def __init__(self, network: Detector, batch: Batch):
        super().__init__()
        self.network, self.batch = network, batch

    def forward(self, *pixels: Tensor) -> tuple[Tensor, Tensor]:
        spectra = tuple(each._replace(pixels=given) for each, given in zip(self.batch.spectra, pixels, strict=True))
        found = self.network(self.batch._replace(spectra=spectra)).matching
        return found.logits[-1], found.boxes[-1]


def in_onnx_runtime(network: Detector, batch: Batch, form: Form, threads: int) -> Callable[[], Tensor]:
    """One run of the exported detector, and post-processing."""
    import onnxruntime

    plain = copy.deepcopy(network).eval().requires_grad_(False)
    plain.heads.last_only = True
    pixels = tuple(each.pixels for each in batch.spectra)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        program = torch.export.export(Plain(plain, batch), pixels, strict=False).run_decompositions(
            decompositions(form)
        )
        path = Path(folder) / "detector.onnx"
        torch.onnx.export(program, dynamo=True, verbose=False).save(path, external_data=True)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def call() -> Tensor:
        feed = {name: each.pixels.numpy() for name, each in zip(names, batch.spectra, strict=True)}
        logits, boxes = (torch.from_numpy(each) for each in session.run(None, feed))
        sizes = batch.spectra[batch.reference].original_sizes
        return best_detections(logits, boxes, sizes, network.detections)[0].scores

    return call


def training(network: Detector, model: Model, batch: Batch, implementation: choice.Mode) -> Callable[[], Tensor]:
    """Forward, losses and backward, with frozen backbones as published for CAFF."""
    for backbone in backbones(network):
        backbone.requires_grad_(False)
    if implementation == "native":
        fold_frozen(network)
    objective = Objective(network.train(), criterion_of(model), model.denoising)
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


class Side(NamedTuple):
    """One of the two programs: what a process of its own runs."""

    kind: str  # "plain", "ours", or a form of ONNX
    name: str
    settings: tuple[str, ...]
    size: tuple[int, int]
    precision: str
    train: bool
    threads: int

    def prepare(self) -> Callable[[], Tensor]:
        """The call that is timed; the same weights and pictures on every side."""
        torch.set_num_threads(self.threads)
        if self.train and self.kind == "ours":
            torch.set_flush_denormal(True)  # as `caffdet train` does
        model = load_config(model=self.name, overrides=self.settings).config.model
        torch.manual_seed(0)
        network = detector(model, model.outputs or 3)
        batch = batch_of(len(model.spectra), *self.size)
        if self.train:
            return training(network, model, batch, "native" if self.kind == "ours" else "reference")
        network.eval()
        match self.kind:
            case "plain":
                return inference(network, batch, "reference", "fp32")
            case "ours":
                torch.set_flush_denormal(True)  # as `caffdet predict` does
                return inference(prepare(network, self.precision), batch, "native", self.precision)
        return in_onnx_runtime(network, batch, self.kind, self.threads)


def serve(side: Side, requests: Connection) -> None:
    """A process: for every request one call, answered by its seconds, its result and the peak memory in MB."""
    call = side.prepare()
    while requests.recv():
        begun = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - begun
        requests.send((seconds, result.numpy(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


@contextmanager
def running(side: Side) -> Iterator[Callable[[], tuple[float, Any, float]]]:
    """The side in its process; the other one waits meanwhile, without turning its threads."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(side, theirs), daemon=True)
    process.start()
    theirs.close()

    def call() -> tuple[float, Any, float]:
        ours.send(True)
        answer: tuple[float, Any, float] = ours.recv()
        return answer

    try:
        yield call
    finally:
        process.kill()
        process.join()


def paired(other: Side, ours: Side, pairs: int) -> dict[str, Any]:
    """Wall times in turn."""
    with running(other) as first, running(ours) as second:
        (_, expected, _), (_, found, _) = first(), second()
        laps = [(first(), second()) for _ in range(pairs)]
    ratios = sorted(one[0] / two[0] for one, two in laps)
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "against_ms": 1000 * min(one[0] for one, _ in laps),
        "subject_ms": 1000 * min(two[0] for _, two in laps),
        "pairs": pairs,
        "largest_difference": float(abs(expected - found).max()),
        "against_peak_MB": laps[-1][0][2],
        "peak_MB": laps[-1][1][2],
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
    parser.add_argument(
        "--onnx",
        nargs="*",
        choices=["grid_sample", "gather"],
        help="beside ONNX Runtime instead of plain mode, in these forms (grid_sample)",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in caffdet train")
    options = parser.parse_args()
    about, rows = machine(), []
    print(
        f"{about['cpu']}, {about['capability']}, torch {about['torch']}, Python {platform.python_version()}, "
        f"load {about['load']:.1f}"
    )
    others = ["plain"] if options.onnx is None or options.train else options.onnx or ["grid_sample"]
    precisions = ["fp32"] if options.train else options.precision
    for name, size, precision, other in itertools.product(options.model, options.size, precisions, others):
        height, width = map(int, size.split("x"))
        ours = Side("ours", name, tuple(options.set), (height, width), precision, options.train, options.threads)
        row = {
            "subject": f"{name} {'training step' if options.train else 'inference'}",
            "against": "plain mode, fp32" if other == "plain" else f"ONNX Runtime, {other}",
            "settings": options.set,
            "size": size,
            "precision": precision,
            "threads": options.threads,
            **paired(ours._replace(kind=other, precision="fp32"), ours, options.pairs),
        }
        rows.append(row)
        print(
            f"{row['subject']} {size} {precision} {' '.join(options.set)}: {row['ratio']:.2f}x "
            f"({row['ratio_low']:.2f}-{row['ratio_high']:.2f})  {row['against_ms']:.0f} ms ({row['against']}) -> "
            f"{row['subject_ms']:.0f} ms, peak {row['against_peak_MB']:.0f} -> {row['peak_MB']:.0f} MB, "
            f"largest difference {row['largest_difference']:.1e}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "machine": about}, indent=2) + "\n")


if __name__ == "__main__":
    main()
