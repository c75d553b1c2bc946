"""`caffdet benchmark`: what detectors cost, and what published ones do."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError

if TYPE_CHECKING:
    from caffdet_cli.benchmark.paper import Row
    from caffdet_cli.benchmark.report import Measured, Report

_PAPER_HELP = (
    "What the papers of DINO and Lite-DETR print, and what the published code of these and of CAFF-DETR costs, beside "
    "what is counted here."
)
_WIDE = 100  # columns of a terminal


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
    paper: Annotated[bool, typer.Option("--paper", help=_PAPER_HELP)] = False,
    offline: options.Offline = False,
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
        from caffdet_cli.benchmark.figures import chosen_cases

        chosen_cases(model or ())  # before torch is imported
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
    from caffdet_cli.benchmark.request import check_request

    check_request(model or (), weights, set_ or (), size, spectrum, fusions)  # before torch is imported
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
    _show(found, json)


def _refuse(given: Mapping[str, object]) -> None:
    """Options that mean nothing for published figures."""
    if words := [word for word, value in given.items() if value is not None]:
        raise ConfigError(f"{', '.join(words)}: not with --paper, whose models and sizes are the published ones")


def _show(report: "Report", json: bool) -> None:
    if json:
        console.print_json({"schema": 1, **report.json()})
        return
    console.echo(", ".join(f"{name} {value}" for name, value in report.machine.items()) + "\n")
    for each in report.rows:
        _show_parts(each)
        _show_times(each)
    if len(report.rows) > 1:
        columns = ["model", "alone ms", "end to end ms", "peak MB", "GFLOPs", "params M"]
        console.table("Compared: fastest call, memory, operations, parameters", columns, map(_summary, report.rows))


def _show_parts(each: "Measured") -> None:
    facts = each.json()
    rows = [
        (part, *(f"{values[unit]:.2f}" for unit in ("params_M", "gflops", "gmacs")))
        for part, values in facts["parts"].items()
        if any(values.values())
    ]
    total = ("total", *(f"{facts[unit]:.2f}" for unit in ("params_M", "gflops", "gmacs")))
    title = f"{each.plan.subject.title}: of one {_seen(each)} of {facts['size']}"
    columns = ("part", "params M", "GFLOPs (fvcore)", "multiply-adds G")
    console.table(title, columns, [*rows, total])


def _show_times(each: "Measured") -> None:
    facts = each.json()
    title = f"{each.plan.subject.title}: one call, batch {facts['batch']}, {facts['size']}, {facts['precision']}"
    alone, whole = each.network, each.end_to_end
    rows = [
        ("median ms", f"{alone.median_ms:.1f}", f"{whole.median_ms:.1f}"),
        ("10 % below, ms", f"{alone.p10_ms:.1f}", f"{whole.p10_ms:.1f}"),
        ("90 % below, ms", f"{alone.p90_ms:.1f}", f"{whole.p90_ms:.1f}"),
        ("fastest ms", f"{alone.min_ms:.1f}", f"{whole.min_ms:.1f}"),
        (f"{_seen(each)}s per second", f"{alone.per_second:.2f}", f"{whole.per_second:.2f}"),
        ("peak memory MB", _megabytes(each), "-"),
    ]
    console.table(title, ("what", "network alone", "end to end"), rows)


def _summary(each: "Measured") -> tuple[str, ...]:
    facts = each.json()
    return (
        each.plan.subject.title,
        f"{each.network.min_ms:.1f}",
        f"{each.end_to_end.min_ms:.1f}",
        _megabytes(each),
        f"{facts['gflops']:.1f}",
        f"{facts['params_M']:.2f}",
    )


def _seen(each: "Measured") -> str:
    return "pair" if len(each.plan.subject.model.spectra) == 2 else "picture"


def _megabytes(each: "Measured") -> str:
    return "-" if each.peak_MB is None else f"{each.peak_MB:.0f}"


def _show_paper(rows: Sequence["Row"], json: bool) -> None:
    if json:
        console.print_json({"schema": 1, "rows": [row.json() for row in rows]})
        return
    wide = not console.wants_rich(sys.stdout) or shutil.get_terminal_size().columns >= _WIDE
    columns = ["figure", "measured", "expected", "published", "agrees", *(["difference", "ours"] if wide else [])]
    shown = [row for row in rows if not row.missing]
    for model, own in groupby(shown, key=lambda row: row.model):
        console.table(model, columns, [_paper_row(row)[: len(columns)] for row in own])
    for gap in dict.fromkeys(f"{row.model}: {row.missing}" for row in rows if row.missing):
        console.echo(gap)
    checked = [row for row in shown if row.agrees is not None]
    console.echo(
        f"{sum(row.agrees is True for row in checked)} of {len(checked)} figures agree with what the published code "
        "costs (expected): within 1 %, or the same when rounded as that is."
    )


def _paper_row(row: "Row") -> tuple[str, ...]:
    off = "-"
    if row.measured is not None and row.expected is not None:
        off = f"{100 * (row.measured / row.expected - 1):+.1f}%"
    return (
        f"{row.quantity} {row.size}".rstrip(),
        _number(row.measured),
        _number(row.expected),
        _number(row.published),
        {True: "yes", False: "no", None: "-"}[row.agrees],
        off,
        _number(row.ours),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
