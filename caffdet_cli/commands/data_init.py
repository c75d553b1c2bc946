"""`caffdet data init`: a data set's TOML from what is found."""

from typing import TYPE_CHECKING, Annotated

import typer

from caffdet_cli.commands import console, options
from caffdet_cli.commands.missing import too_little

if TYPE_CHECKING:
    from caffdet_cli.data.discovery.init import InitReport


def command(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="The data set's folder.", show_default=False)
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Default: dataset.toml in SOURCE.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Default: the folder's.")] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Write the TOML of a data set from its COCO files and pictures, and say what had to be guessed.

    Raw data sets are not described but converted: it tells the command.
    """
    if source is None:
        raise too_little({"SOURCE": None}, {"try": "caffdet data init data/mine"})
    from pathlib import Path

    from caffdet_cli.data.discovery.init import init

    report = init(
        Path(source),
        None if output is None else Path(output),
        name=name,
        overwrite=overwrite,
        progress=console.progress(quiet, verbose),
    )
    if json:
        console.print_json(_as_json(report))
    else:
        _show(report)


def _show(report: "InitReport") -> None:
    rows = [
        (split, one.annotations, one.rgb or "-", one.ir or "-", one.pictures, one.boxes)
        for split, one in report.splits.items()
    ]
    word = "pairs" if len(report.spectra) == 2 else "pictures"
    console.table("", ["split", "annotations", "rgb folder", "ir folder", word, "boxes"], rows)
    console.echo(f"classes: {', '.join(report.classes)}; boxes in {report.label_spectrum} pixels")
    for guess in report.guesses:
        console.echo(f"guessed: {guess}")
    for remark in report.remarks:
        console.echo(f"note: {remark}")
    console.echo(f"Written to {report.file}. Next: caffdet data check {report.file}")


def _as_json(report: "InitReport") -> dict[str, object]:
    return {
        "schema": 1,
        "file": str(report.file),
        "source": str(report.source),
        "name": report.name,
        "classes": list(report.classes),
        "spectra": list(report.spectra),
        "label_spectrum": report.label_spectrum,
        "thermal": None if report.thermal is None else report.thermal.model_dump(mode="json"),
        "splits": {
            split: {
                "annotations": one.annotations,
                "rgb": one.rgb,
                "ir": one.ir,
                "pictures": one.pictures,
                "boxes": one.boxes,
            }
            for split, one in report.splits.items()
        },
        "guesses": list(report.guesses),
        "notes": list(report.remarks),
    }
