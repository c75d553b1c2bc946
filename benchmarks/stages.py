"""Where the time of a detector goes, stage by stage: as it runs here beside its plain form, with the same weights.

    python benchmarks/stages.py [--json FILE] [--model NAME ...] [--size 512x640] [--threads 2] [--pairs 7]
                                [--set KEY=VALUE]

Two programs in turn in one process, as `e2e.py` has them; a clock stands before and after every stage of both, and the
ratio is the median over the pairs. A stage that is slower than in plain mode is marked.
"""

import argparse
import copy
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from e2e import batch_of, inference  # beside this file
from torch import nn

from caffdet_cli.inference.prepare import prepare
from caffdet_cli.models.build import detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings.load import load_config
from ops import machine

Times = dict[str, float]
NOISE = 0.05
"""A stage counts as slower when it is by this share, and by a hundredth of the whole."""


def stages(network: Detector) -> dict[str, list[tuple[Any, str]]]:
    """Objects and the methods of them that make up each stage."""
    parts: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for name, module in network.pyramid.named_children():
        if isinstance(module, nn.ModuleList):
            shared = {id(one): one for one in module}
            parts[name] += [(one, "forward") for one in shared.values()]
        else:
            parts[name].append((module, "forward"))
    parts["flatten"].append((network.flatten, "forward"))
    parts["encoder"].append((network.encoder, "forward"))
    parts["selection"].append((network.selection, "forward"))
    parts["decoder"].append((network.decoder, "forward"))
    parts["heads"].append((network.heads, "forward"))
    return parts


def clocked(network: Detector) -> Times:
    """Put a clock around every stage; the times add up in what is returned."""
    times: Times = defaultdict(float)

    def around(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            result = function(*arguments, **named)
            times[stage] += time.perf_counter() - begun
            return result

        return call

    for stage, methods in stages(network).items():
        for owner, method in methods:
            setattr(owner, method, around(getattr(owner, method), stage))
    return times


def measured(name: str, settings: list[str], size: tuple[int, int], pairs: int) -> list[dict[str, Any]]:
    """One row per stage, and one for the whole."""
    model = load_config(model=name, overrides=settings).config.model
    torch.manual_seed(0)
    plain = detector(model, model.outputs or 3).eval()
    ours = prepare(copy.deepcopy(plain))
    batch = batch_of(len(model.spectra), *size)
    clocks = [clocked(plain), clocked(ours)]
    calls = [inference(plain, batch, "reference", "fp32"), inference(ours, batch, "native", "fp32")]
    laps: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for lap in range(pairs + 1):
        for clock, call in zip(clocks, calls, strict=True):
            clock.clear()
            begun = time.perf_counter()
            call()
            clock["whole"] = time.perf_counter() - begun
        if lap:  # the first one warms up
            for stage in clocks[0]:
                laps[stage].append((clocks[0][stage], clocks[1][stage]))
    whole = statistics.median(two for _, two in laps["whole"])
    return [row(name, stage, times, whole) for stage, times in laps.items()]


def row(name: str, stage: str, times: list[tuple[float, float]], whole: float) -> dict[str, Any]:
    plain, ours = (statistics.median(one) for one in zip(*times, strict=True))
    ratio = statistics.median(one / two for one, two in times)
    slower = ratio < 1 - NOISE and ours - plain > whole / 100
    found = {"subject": f"{name}, {stage}", "against": "plain mode, fp32", "ratio": ratio, "slower": slower}
    return {**found, "against_ms": 1000 * plain, "subject_ms": 1000 * ours, "pairs": len(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--model", nargs="+", default=["caff-lite-dino-r50"], metavar="NAME")
    parser.add_argument("--size", default="512x640", metavar="HxW")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in caffdet train")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    height, width = map(int, options.size.split("x"))
    about, rows = machine(), []
    for name in options.model:
        for found in measured(name, options.set, (height, width), options.pairs):
            rows.append({**found, "size": options.size, "threads": options.threads})
            mark = "  SLOWER" if found["slower"] else ""
            times = f"{found['against_ms']:8.1f} ms -> {found['subject_ms']:8.1f} ms"
            print(f"{found['subject']:<48} {found['ratio']:5.2f}x  {times}{mark}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "machine": about}, indent=2) + "\n")


if __name__ == "__main__":
    main()
