"""`caffdet visualize`: a data set's pairs with ground truth and detections, or the curves of training logs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError
from caffdet_cli.progress import Progress

if TYPE_CHECKING:
    from caffdet_cli.visualization.log import Log
    from caffdet_cli.visualization.show import Drawn

_OF_PAIRS = ("dataset", "predictions", "split", "score", "limit", "seed", "data_root", "set_")


def command(
    context: typer.Context,
    dataset: options.Dataset = None,
    output: options.Output = None,
    split: options.Split = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="FILE", help="Detections as COCO result JSON, drawn beside the truth."),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log",
            metavar="FILE|RUN",
            help="Instead of pairs: curves of a published log.txt, a metrics.jsonl or a run folder. "
            "Repeatable, to compare.",
        ),
    ] = None,
    score: options.Score = 0.3,
    limit: Annotated[int, typer.Option("--limit", min=0, metavar="N", help="At most so many pairs; 0: all.")] = 50,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Choose the pairs at random, by this number.")
    ] = None,
    data_root: options.DataRoot = None,
    set_: options.Set = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Draw the pairs of a data set: RGB beside infrared, ground truth dashed, detections solid; or curves of logs.

    Writes one picture per pair and a contact sheet; of logs one picture, AP and losses over epochs.
    """
    progress = console.progress(quiet, verbose)
    if log:
        _refuse(context)
        _draw_logs(log, output, overwrite, json, progress)
        return
    if dataset is None or output is None:
        place = output or "pictures"
        examples = {
            "pairs": f"caffdet visualize --dataset {dataset or 'demo'} -o {place}",
            "a log": f"caffdet visualize --log RUN -o {place}",
        }
        raise missing.too_little({"--dataset": dataset, "-o DIR": output}, examples)
    from caffdet_cli.visualization.show import visualize

    drawn = visualize(
        dataset,
        Path(output),
        data_root=None if data_root is None else Path(data_root),
        split=split,
        predictions=predictions,
        limit=limit or None,
        seed=seed,
        score=score,
        overrides=set_ or (),
        overwrite=overwrite,
        progress=progress,
    )
    _show(drawn, json)


def _show(drawn: "Drawn", json: bool) -> None:
    if json:
        pictures = [str(path) for path in drawn.pictures]
        sheet = None if drawn.sheet is None else str(drawn.sheet)
        of = drawn.examples
        console.print_json({"schema": 1, "folder": str(drawn.folder), "pictures": pictures, "sheet": sheet, "of": of})
        return
    some = "" if len(drawn.pictures) == drawn.examples else f" of {drawn.examples} (--limit 0 draws all)"
    console.echo(f"{len(drawn.pictures)} pairs{some} in {drawn.folder}, all on one sheet in {drawn.sheet}")


def _refuse(context: typer.Context) -> None:
    """Options that mean nothing for a log; also those that have a default."""
    given = [name for name in _OF_PAIRS if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    if given:
        words = ", ".join(f"--{name.strip('_').replace('_', '-')}" for name in given)
        raise ConfigError(f"{words}: of a data set, not of a log; give either --dataset NAME or --log FILE, and -o DIR")


def _draw_logs(files: list[Path], output: str | None, overwrite: bool, json: bool, progress: Progress) -> None:
    if output is None:
        given = " ".join(f"--log {file}" for file in files)
        raise missing.too_little({"-o DIR": None}, {"try": f"caffdet visualize {given} -o curves"})
    from caffdet_cli.visualization.curves import visualize_logs
    from caffdet_cli.visualization.log import to_json

    drawn = visualize_logs(files, Path(output), overwrite=overwrite, progress=progress)
    if json:
        console.print_json({"schema": 1, "picture": str(drawn.picture), "logs": [to_json(log) for log in drawn.logs]})
        return
    averaged = any("AP_ema" in log.series for log in drawn.logs)
    columns = ["log", "epochs", "last epoch", "best epoch", "AP", "AP50", "AP75"]
    columns += ["best epoch of EMA", "its AP"] if averaged else []
    console.table("", columns, [_row(log, averaged) for log in drawn.logs])
    console.echo(f"Curves in {drawn.picture}")


def _row(log: "Log", averaged: bool) -> list[str]:
    """Of the best epoch: its number and AP; `-` where there is none."""
    row = [log.name, str(len(log.epochs)), str(log.epochs[-1])]
    for suffix, names in (("", ("AP", "AP50", "AP75")), ("_ema", ("AP",)))[: 1 + averaged]:
        best = log.best(f"AP{suffix}")
        figures = [None if best is None else log.at(f"{name}{suffix}", best.epoch) for name in names]
        row += ["-" if best is None else str(best.epoch), *("-" if one is None else f"{one:.3f}" for one in figures)]
    return row
