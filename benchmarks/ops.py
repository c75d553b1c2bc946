"""Native operators beside plain PyTorch, and beside peers, on the levels of two picture sizes.

    python benchmarks/ops.py [--json FILE] [--shape 800/all ...] [--operator msda kda] [--threads 1 2]
                             [--device cpu|cuda] [--dtype float32] [--pairs 7] [--vs transformers deformops mmcv]

Two programs run in turn (A, B, A, B, ...) in one process on the same numbers; the ratio is the median over the pairs,
so that a busy machine slows both. On the CPU processor time is taken with one thread, wall time with several. Peers are
found by import and left out where they are not installed. Memory is the peak of one call above what it returns.

Shapes: `800` are the levels of a picture of 800x1333, `512` of 512x640; `all`: every token looks (the encoder's full
layers), `high`: the tokens of all levels but the finest, `dec`: 1100 queries anywhere (the decoder). 8 heads of 32
channels, 4 points. Points lie where freshly initialised attention looks, with 2 pixels of noise.
"""

import argparse
import ctypes
import importlib
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait must not count as work

import torch
from torch import Tensor

from caffdet_cli.kernels import choice, operators

LEVELS = {
    "800": [(100, 167), (50, 84), (25, 42), (13, 21)],
    "512": [(64, 80), (32, 40), (16, 20), (8, 10)],
}
QUERIES = ("all", "high", "dec")
HEADS, CHANNELS, POINTS = 8, 32, 4
BARS = {  # ratio that the specification of the operators asks for on a CPU with AVX2, one thread, float32
    ("msda", "forward"): (20, 14, 8, 25, 13, 12),
    ("msda", "backward"): (12, 7, 4, 15, 7, 7),
    ("kda", "forward"): (30, 20, 6, 30, 16, 15),
    ("kda", "backward"): (None, 12, 6, 16, 12, 10),
}
SHAPES = [f"{size}/{queries}" for size in LEVELS for queries in QUERIES]
_WARM = 2
BOTH: tuple[choice.Mode, choice.Mode] = ("reference", "native")


class Case(NamedTuple):
    """Inputs of one shape."""

    query: Tensor
    value: Tensor
    sizes: list[tuple[int, int]]
    locations: Tensor
    weights: Tensor
    grad: Tensor


def case(shape: str, dtype: torch.dtype, device: str, batch: int = 1) -> Case:
    """Random values; points around where each query is."""
    size, queries = shape.split("/")
    sizes = LEVELS[size]
    random = torch.Generator().manual_seed(0)
    tokens = sum(height * width for height, width in sizes)
    centres = torch.cat(
        [
            torch.cartesian_prod((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width)
            for height, width in sizes
        ]
    ).flip(-1)  # (S, 2) x, y
    if queries == "high":
        centres = centres[sizes[0][0] * sizes[0][1] :]
    elif queries == "dec":
        centres = torch.rand(1100, 2, generator=random)
    count = len(centres)
    angles = torch.arange(HEADS) * (2 * math.pi / HEADS)
    rays = torch.stack([angles.cos(), angles.sin()], -1)
    rays = rays / rays.abs().amax(-1, keepdim=True)
    steps = torch.arange(1, POINTS + 1)[:, None]
    star = (rays[:, None, None] * steps).expand(HEADS, len(sizes), POINTS, 2)
    noise = 2 * torch.randn(batch, count, HEADS, len(sizes), POINTS, 2, generator=random)
    unit = torch.tensor([(width, height) for height, width in sizes])[:, None]
    locations = centres[None, :, None, None, None] + (star + noise) / unit
    drawn = torch.rand(batch, count, HEADS, len(sizes) * POINTS, generator=random).softmax(-1)
    shapes = [(batch, count, HEADS, CHANNELS), (batch, tokens, HEADS, CHANNELS), (batch, count, HEADS * CHANNELS)]
    query, value, grad = (torch.randn(*each, generator=random).to(device, dtype) for each in shapes)
    weights = drawn.view(batch, count, HEADS, len(sizes), POINTS).to(device, dtype)
    return Case(query, value, sizes, locations.to(device), weights, grad)


def run(
    operator: str, made: Case, implementation: choice.Mode, *, backward: bool, both: bool = False
) -> Callable[[], list[Tensor]]:
    """One call, which returns its results; a backward pass alone, or `both`: forward and backward."""
    inputs = (
        [made.query, made.value, made.locations] if operator == "kda" else [made.value, made.locations, made.weights]
    )

    def call(tensors: list[Tensor]) -> Tensor:
        if operator == "kda":
            query, value, locations = tensors
            # The published code samples keys and values one after the other, also where they are the same tensor.
            key = value if implementation == "reference" else None
            return operators.kda(query, value, made.sizes, locations, key=key)
        value, locations, weights = tensors
        return operators.msda(value, made.sizes, locations, weights)

    if not backward:

        def forward() -> list[Tensor]:
            with choice.implementation(implementation), torch.no_grad():
                return [call(inputs)]

        return forward
    leaves = [each.clone().requires_grad_() for each in inputs]
    if both:

        def forth_and_back() -> list[Tensor]:
            with choice.implementation(implementation):
                return list(torch.autograd.grad(call(leaves), leaves, made.grad))

        return forth_and_back
    with choice.implementation(implementation):
        output = call(leaves)

    def back() -> list[Tensor]:
        with choice.implementation(implementation):
            return list(torch.autograd.grad(output, leaves, made.grad, retain_graph=True))

    return back


Peer = Callable[[Case], Tensor]


def peers(names: list[str]) -> Iterator[tuple[str, Peer]]:
    """Name with version, and msda forward, of each peer that can be imported."""
    for name in names:
        try:
            found = importlib.import_module(name)
            yield f"{name} {getattr(found, '__version__', '?')}", _PEERS[name]()
        except (ImportError, AttributeError) as error:  # noqa: PERF203  # three names
            print(f"{name}: left out ({error})")


def _deformops() -> Peer:
    function = importlib.import_module("deformops.functional").msda
    return lambda made: function(made.value, torch.tensor(made.sizes), made.locations, made.weights)


def _mmcv() -> Peer:
    function = importlib.import_module("mmcv.ops.multi_scale_deform_attn").multi_scale_deformable_attn_pytorch
    return lambda made: function(made.value, torch.tensor(made.sizes), made.locations, made.weights)


def _transformers() -> Peer:
    module = importlib.import_module("transformers.models.deformable_detr.modeling_deformable_detr")
    attention = module.MultiScaleDeformableAttention()

    def call(made: Case) -> Tensor:
        shapes = torch.tensor(made.sizes, device=made.value.device)
        starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
        found: Tensor = attention(made.value, shapes, made.sizes, starts, made.locations, made.weights, 64)
        return found

    return call


_PEERS: dict[str, Callable[[], Peer]] = {"transformers": _transformers, "deformops": _deformops, "mmcv": _mmcv}


def seconds(call: Callable[[], object], device: str, clock: Callable[[], float]) -> float:
    """One call."""
    if device == "cuda":
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000
    begun = clock()
    call()
    return clock() - begun


def replayed(call: Callable[[], object]) -> Callable[[], object]:
    """The call as a CUDA graph: what the GPU does, without what Python does around it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def paired(
    first: Callable[[], object], second: Callable[[], object], pairs: int, device: str, threads: int
) -> dict[str, Any]:
    """Times of both in turn: median ratio with its spread, smallest times in milliseconds."""
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(_WARM if device == "cpu" else 20):
        first()
        second()
    times = [(seconds(first, device, clock), seconds(second, device, clock)) for _ in range(pairs)]
    ratios = sorted(one / other for one, other in times)
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "reference_ms": 1000 * min(one for one, _ in times),
        "native_ms": 1000 * min(other for _, other in times),
        "pairs": pairs,
        "clock": "gpu" if device == "cuda" else "processor" if threads == 1 else "wall",
    }


def gathered_bytes(made: Case) -> int:
    """What a forward pass reads of the value: four corners of every point."""
    return 4 * made.locations[..., 0].numel() * CHANNELS * made.value.element_size()


def cache_bandwidth() -> float:
    """Bytes per second that one thread reads from the second-level cache: the best of many dot products over 1 MB."""
    first, second = torch.ones(2, 2**17)

    def burst() -> float:
        begun = time.perf_counter()
        for _ in range(10):
            torch.dot(first, second)
        return (time.perf_counter() - begun) / 10

    return 2 * first.nbytes / min(burst() for _ in range(100))


def memory_above_results(call: Callable[[], list[Tensor]], device: str) -> float | None:
    """Peak memory of one call in MB, without what it returns; None where it cannot be told."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        results = call()
        peak = torch.cuda.max_memory_allocated()
    else:
        try:
            ctypes.CDLL(None).malloc_trim(0)  # memory that is kept for later would not be seen
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            before = _resident("VmRSS")
            results = call()
            peak = _resident("VmHWM")
        except (OSError, AttributeError):
            return None
    return max(0.0, (peak - before - sum(each.nbytes for each in results)) / 2**20)


def _resident(name: str) -> int:
    """Bytes, from Linux's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    try:
        model = next(
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        )
    except (OSError, StopIteration):
        model = platform.processor()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "git": commit.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--shape", nargs="+", default=SHAPES, choices=SHAPES)
    parser.add_argument("--operator", nargs="+", default=["msda", "kda"], choices=["msda", "kda"])
    parser.add_argument("--direction", nargs="+", default=["forward", "backward"], choices=["forward", "backward"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1], help="of the CPU, one after the other")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument(
        "--graph",
        action="store_true",
        help="time CUDA graphs, without the work of Python; backward then with its forward",
    )
    parser.add_argument(
        "--vs",
        nargs="*",
        default=[],
        choices=["transformers", "deformops", "mmcv"],
        help="transformers, deformops, mmcv (msda forward)",
    )
    options = parser.parse_args()
    found = choice.look(torch.device(options.device))
    if found.native is None:
        raise SystemExit(f"no native operators on {options.device}: {found.reason}")
    about, rows = machine(), []
    print(
        f"{about['cpu']}, {about['capability']}, torch {about['torch']}, load {about['load']:.1f}; {found.native.about}"
    )
    dtype = getattr(torch, options.dtype)
    for threads in options.threads:
        torch.set_num_threads(threads)
        for shape in options.shape:
            made = case(shape, dtype, options.device, options.batch)
            for operator in options.operator:
                for direction in options.direction:
                    plain, native = (
                        run(operator, made, each, backward=direction == "backward", both=options.graph) for each in BOTH
                    )
                    memory = [memory_above_results(each, options.device) for each in (plain, native)]
                    if options.graph:
                        plain, native = replayed(plain), replayed(native)
                    row = {
                        "operator": operator,
                        "direction": "forward+backward" if options.graph and direction == "backward" else direction,
                        "shape": shape,
                        "backend": options.device,
                        "dtype": options.dtype,
                        "threads": threads,
                        "graph": options.graph,
                        "reference_MB": memory[0],
                        "native_MB": memory[1],
                        "value_MB": made.value.nbytes / 2**20,
                        **paired(plain, native, options.pairs, options.device, threads),
                    }
                    if operator == "msda" and direction == "forward" and threads == 1 and options.device == "cpu":
                        rate = gathered_bytes(made) / row["native_ms"] * 1000
                        row["share_of_cache_bandwidth"] = rate / cache_bandwidth()
                    rows.append(row)
                    print(_line(row), flush=True)
            for name, peer in peers(options.vs):
                native = run("msda", made, "native", backward=False)
                row = {
                    "operator": "msda",
                    "direction": "forward",
                    "shape": shape,
                    "backend": options.device,
                    "dtype": options.dtype,
                    "threads": threads,
                    "against": name,
                    **paired(partial(peer, made), native, options.pairs, options.device, threads),
                }
                rows.append(row)
                print(_line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "machine": about}, indent=2) + "\n")


def _line(row: dict[str, Any]) -> str:
    bar = None
    if row["threads"] == 1 and row["dtype"] == "float32" and row["backend"] == "cpu" and "against" not in row:
        bar = BARS[row["operator"], row["direction"]][SHAPES.index(row["shape"])]
    told = "" if bar is None else f"  bar {bar}x {'reached' if row['ratio'] >= bar else 'MISSED'}"
    return (
        f"{row['operator']:<5}{row['direction']:<17}{row['shape']:<9}{row['threads']} thread(s)  "
        f"{row['ratio']:6.1f}x ({row['ratio_low']:.1f}-{row['ratio_high']:.1f})  {row['reference_ms']:8.1f} ms -> "
        f"{row['native_ms']:7.2f} ms{told}{_memory(row)}{'  against ' + row['against'] if 'against' in row else ''}"
    )


def _memory(row: dict[str, Any]) -> str:
    if row.get("native_MB") is None:
        return ""
    return (
        f"  {row['reference_MB']:.0f} MB -> {row['native_MB']:.1f} MB, "
        f"{row['native_MB'] / row['value_MB']:.2f} of the value"
        + (f", {row[share]:.0%} of the cache's bandwidth" if (share := "share_of_cache_bandwidth") in row else "")
    )


if __name__ == "__main__":
    main()
