"""`caffdet visualize`: a data set's pairs with ground truth and detections."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffdet_cli.commands import console, missing, options

if TYPE_CHECKING:
    from caffdet_cli.visualization.show import Drawn


def command(
    dataset: options.Dataset = None,
    output: options.Output = None,
    split: options.Split = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="FILE", help="Detections as COCO result JSON, drawn beside the truth."),
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
    """Draw the pairs of a data set: RGB beside infrared, ground truth dashed, detections solid.

    Writes one picture per pair and a contact sheet.
    """
    if dataset is None or output is None:
        example = f"caffdet visualize --dataset {dataset or 'demo'} -o {output or 'pictures'}"
        raise missing.too_little({"--dataset": dataset, "-o DIR": output}, {"try": example})
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
        progress=console.progress(quiet, verbose),
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
