"""`caffdet benchmark`: what detectors cost, and what was published about it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError

if TYPE_CHECKING:
    from caffdet_cli.benchmark.paper import Row
    from caffdet_cli.benchmark.report import Measured
    from caffdet_cli.benchmark.timing import Latency


def command(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            help="A shipped configuration (caffdet config list) or your own TOML. Repeatable.",
        ),
    ] = None,
    weights: options.Weights = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Height and width of the pictures. Default: what the model makes of one of 1024x1280.",
        ),
    ] = None,
    batch: options.Batch = None,
    precision: options.Precision = None,
    device: options.Device = "auto",
    spectrum: options.Spectrum = None,
    set_: options.Set = None,
    fusions: Annotated[
        bool, typer.Option("--fusions", help="A pair model with every fusion, and with one spectrum alone.")
    ] = False,
    repeat: Annotated[
        int | None, typer.Option("--repeat", min=1, metavar="N", help="Timed calls. Default: 10, on a GPU 50.")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Published figures beside what is counted here.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Measure what detectors cost: parameters, operations, time and memory.

    Weights are random where no --weights are given; they do not change the cost. The network alone is timed on random
    pictures, end to end from pictures in files to detections in their pixels.
    """
    progress = console.progress(quiet, verbose)
    if paper:
        _refuse({"--weights": weights, "--size": size, "--batch": batch, "--precision": precision, "--set": set_})
        _refuse({"--device": None if device == "auto" else device, "--spectrum": spectrum, "--repeat": repeat})
        _refuse({"--fusions": fusions or None})
        from caffdet_cli.benchmark.paper import paper_rows

        _show_paper(paper_rows(model or (), progress), json)
        return
    if not model and weights is None:
        raise missing.too_little(
            {"--model (or --weights)": None},
            {
                "one model": "caffdet benchmark --model lite-dino-r50",
                "a checkpoint": "caffdet benchmark --weights "
                + missing.or_example(None, missing.checkpoints(), "WEIGHTS"),
                "published": "caffdet benchmark --paper",
                "models": "caffdet config list",
            },
        )
    from caffdet_cli.settings.load import load_config

    for name in model or ():
        load_config(model=name, overrides=set_ or ())  # before torch is imported
    from caffdet_cli.benchmark.report import benchmark

    found = benchmark(
        model or (),
        weights=weights,
        overrides=set_ or (),
        size=size,
        batch=batch or 1,
        precision=precision or "fp32",
        device=device,
        spectrum=spectrum,
        fusions=fusions,
        repetitions=repeat,
        progress=progress,
    )
    _show(found, device, json)


def _refuse(given: Mapping[str, object]) -> None:
    """Options that mean nothing for published figures."""
    if words := [word for word, value in given.items() if value is not None]:
        raise ConfigError(f"{', '.join(words)}: not with --paper, whose models and sizes are the published ones")


def _show(found: Sequence["Measured"], device: str, json: bool) -> None:
    from caffdet_cli.benchmark.timing import machine
    from caffdet_cli.inference.predictor import choose_device

    about = machine(choose_device(device))
    if json:
        console.print_json({"schema": 1, "machine": about, "rows": [each.json() for each in found]})
        return
    console.echo(", ".join(f"{name} {value}" for name, value in about.items()) + "\n")
    for each in found:
        _show_parts(each)
    head = ["model", "size", "batch", "ms alone", "10-90 %", "fastest", "per s", "ms end to end", "10-90 %"]
    columns = [*head, "fastest", "per s", "peak MB", "GFLOPs", "params M"]
    console.table("Time: one call of a batch, median; pictures or pairs per second", columns, map(_time_row, found))


def _show_parts(each: "Measured") -> None:
    facts = each.json()
    rows = [
        (part, *(f"{values[unit]:.2f}" for unit in ("params_M", "gflops", "gmacs")))
        for part, values in facts["parts"].items()
        if any(values.values())
    ]
    total = ("total", *(f"{facts[unit]:.2f}" for unit in ("params_M", "gflops", "gmacs")))
    title = (
        f"{each.plan.subject.title}: of one {'pair' if len(each.plan.subject.model.spectra) == 2 else 'picture'} of "
    )
    columns = ("part", "params M", "GFLOPs (fvcore)", "multiply-adds G")
    console.table(title + facts["size"], columns, [*rows, total])


def _time_row(each: "Measured") -> tuple[str, ...]:
    facts = each.json()
    peak = "-" if each.peak_MB is None else f"{each.peak_MB:.0f}"
    alone, whole = _times(each.network), _times(each.end_to_end)
    return (
        each.plan.subject.title,
        facts["size"],
        str(each.plan.batch),
        *alone,
        *whole,
        peak,
        f"{facts['gflops']:.1f}",
        f"{facts['params_M']:.2f}",
    )


def _times(each: "Latency") -> tuple[str, ...]:
    spread = f"{each.p10_ms:.1f}-{each.p90_ms:.1f}"
    return f"{each.median_ms:.1f}", spread, f"{each.min_ms:.1f}", f"{each.per_second:.2f}"


def _show_paper(rows: Sequence["Row"], json: bool) -> None:
    if json:
        console.print_json({"schema": 1, "rows": [row.json() for row in rows]})
        return
    columns = ["model", "quantity", "size", "published", "expected", "measured", "difference", "ours", "counting"]
    shown = [row for row in rows if not row.missing]
    if shown:
        console.table("Published figures and ours", columns, map(_paper_row, shown))
    for gap in dict.fromkeys(f"{row.model}: {row.missing}" for row in rows if row.missing):
        console.echo(gap)
    checked = [row for row in shown if row.agrees is not None]
    console.echo(
        f"{sum(row.agrees is True for row in checked)} of {len(checked)} figures agree within 1 % with what the "
        "published code's own tool gives (expected)."
    )


def _paper_row(row: "Row") -> tuple[str, ...]:
    off = "-"
    if row.measured is not None and row.expected is not None:
        off = f"{100 * (row.measured / row.expected - 1):+.1f}%"
    return (
        row.model,
        row.quantity,
        row.size,
        _number(row.published),
        _number(row.expected),
        _number(row.measured),
        off,
        _number(row.ours),
        row.counting,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
