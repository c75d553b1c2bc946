"""`caffdet data check`: everything odd about a data set, with its place and what to do."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError

if TYPE_CHECKING:
    from caffdet_cli.data.inspection.check import CheckReport

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="DATASET",
        help="A shipped data set (caffdet config list), your own TOML, or the folder of a converted one.",
        show_default=False,
    ),
]
Split = Annotated[
    Literal["train", "val", "test"] | None,
    typer.Option("--split", help="Only this one. Default: all that are there."),
]
Threads = Annotated[
    int | None,
    typer.Option("--workers", min=0, max=64, metavar="N", help="Threads that read pictures; 0: none beside this one."),
]


def command(
    dataset: Name = None,
    output: options.Output = None,
    split: Split = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if there is a fault.")] = False,
    data_root: options.DataRoot = None,
    workers: Threads = None,
    set_: options.Set = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Look at every picture and box of a data set, and tell what is wrong, where, and what to do.

    With -o DIR writes report.json and worst.png, a page of pictures. What may be meant so is noted, and is no fault.
    """
    if dataset is None:
        raise nothing_named("check")
    from pathlib import Path

    from caffdet_cli.data.inspection.report import check_json, refuse_faults
    from caffdet_cli.visualization.dataset_report import check_dataset

    report = check_dataset(
        dataset,
        None if output is None else Path(output),
        data_root=None if data_root is None else Path(data_root),
        split=split,
        workers=workers,
        overrides=set_ or (),
        overwrite=overwrite,
        progress=console.progress(quiet, verbose),
    )
    if not json:
        _show(report, output)
    if strict:
        refuse_faults(report)
    if json:
        console.print_json(check_json(report))


def nothing_named(verb: str) -> ConfigError:
    """What `caffdet data VERB` alone says."""
    known = ", ".join([*missing.datasets(), "your own TOML, or the folder of a converted data set"])
    return missing.too_little({"DATASET": None}, {"data sets": known, "for example": f"caffdet data {verb} demo"})


def _show(report: "CheckReport", output: str | None) -> None:
    """What was found, then what to do about it."""
    from caffdet_cli.data.inspection.advice import ADVICE
    from caffdet_cli.data.inspection.report import shift_words

    rows = report.findings.rows()
    if rows:
        found = [(row.kind, row.number, _weight(row.action), row.examples[0]) for row in rows]
        console.table("", ["what", "number", "", "for example"], found)
        advice = [(kind, ADVICE[kind]) for kind in dict.fromkeys(row.kind for row in rows)]
        console.table("", ["what", "what to do"], advice)
    if report.alignment is not None:
        console.echo(shift_words(report.alignment))
    splits = ", ".join(f"{number} of {name}" for name, number in report.splits.items())
    word = "pairs" if len(report.spectra) == 2 else "pictures"
    faults = report.findings.faults
    console.echo(f"{splits} {word} looked at: {faults} faults, {len(report.findings) - faults} noted")
    if output is not None:
        console.echo(f"All of it in {output}" + (", the worst as pictures in worst.png" if report.worst else ""))


def _weight(action: str) -> str:
    return "noted" if action == "noted" else "fault"
