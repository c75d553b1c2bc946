"""`caffdet convert`: a raw data set to paired COCO, or to a form for other programs."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from caffdet_cli.commands import options
from caffdet_cli.commands.console import echo, print_json, progress, table
from caffdet_cli.errors import ConfigError

if TYPE_CHECKING:
    from caffdet_cli.data.convert import ConvertReport
    from caffdet_cli.data.findings import FindingLog


def command(
    format: Annotated[
        str | None,
        typer.Argument(
            metavar="FORMAT",
            help="llvip, flir, kaist, m3fd, msrs, yolo, voc, coco; unverified: cvc14, vedai, dronevehicle, FLIR ADAS, "
            "M3FD's archive.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="The data set's folder.", show_default=False)
    ] = None,
    output: options.Output = None,
    to: Annotated[
        Literal["coco", "yolo", "voc"] | None,
        typer.Option("--to", help="Write a form for other programs. Default: paired COCO, which caffdet reads."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Any fault is an error; nothing is written then.")] = False,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the pictures too; --to yolo and voc always do.")] = False,
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="A,B", help="The only classes to keep, in this order.")
    ] = None,
    label_spectrum: Annotated[
        Literal["rgb", "ir"] | None,
        typer.Option("--label-spectrum", help="In whose pixels the boxes are. Default: ir where there are both."),
    ] = None,
    labels: Annotated[
        Literal["rgb", "ir", "union", "intersection"] | None,
        typer.Option("--labels", help="Whose labels count where each spectrum has its own. Default: ir."),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option("--variant", metavar="NAME", help="Which annotations, of a format that has several."),
    ] = None,
    first_category_id: Annotated[
        int, typer.Option("--first-category-id", min=0, metavar="N", help="Id of the first class.")
    ] = 0,
    val: Annotated[
        float | None,
        typer.Option(
            "--val",
            min=0.01,
            max=0.5,
            metavar="SHARE",
            help="Hold out so much of train as val, whole scenes and never neighbouring frames.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Turn a raw data set into paired COCO, and check every picture and box of it.

    Writes train.json, val.json, test.json (as many as there are) and dataset.toml; pictures stay where they are.
    What does not fit is repaired or dropped, and listed. With --to the same goes to a form for other programs; what
    that form cannot say is listed too.
    """
    from pathlib import Path

    from caffdet_cli.data.convert import convert
    from caffdet_cli.data.findings import FindingLog
    from caffdet_cli.data.raw import described

    if format is None or source is None or output is None:
        raise ConfigError(
            "a format, a source and -o DIR are needed, for example: caffdet convert llvip LLVIP -o data/llvip\n"
            f"{described()}"
        )
    findings = FindingLog()
    try:
        report = convert(
            format,
            Path(source),
            Path(output),
            to=to,
            strict=strict,
            copy=copy,
            classes=None if classes is None else classes.split(","),
            label_spectrum=label_spectrum,
            labels=labels,
            variant=variant,
            first_category_id=first_category_id,
            val=val,
            overwrite=overwrite,
            dry_run=dry_run,
            findings=findings,
            progress=progress(quiet, verbose),
        )
    finally:
        _show_findings(findings, quiet, verbose)
    if json:
        print_json(_as_json(report))
    else:
        _show(report)


def _show_findings(findings: "FindingLog", quiet: bool, verbose: bool) -> None:
    """What was found, on standard error, with one example of each kind or all; with --quiet only the faults."""
    rows = [row for row in findings.rows() if not (quiet and row.action == "noted")]
    if verbose and rows:
        shown = {(row.kind, row.action): place for place, row in enumerate(rows)}
        listed = [one for one in findings if (one.kind, one.action) in shown]
        listed.sort(key=lambda one: shown[one.kind, one.action])
        every = [(one.kind, one.action, f"{one.place}: {one.what}") for one in listed]
        table("findings", ["what", "done", "where"], every, to="stderr")
    elif rows:
        cells = [(row.kind, row.number, row.action, row.examples[0]) for row in rows]
        title = "findings" if all(row.number == 1 for row in rows) else "findings (--verbose lists every one)"
        table(title, ["what", "number", "done", "for example"], cells, to="stderr")


def _show(report: "ConvertReport") -> None:
    word = "pairs" if len(report.spectra) == 2 else "pictures"
    table("", ["split", word, "boxes"], [(name, split.pictures, split.boxes) for name, split in report.splits.items()])
    found = report.findings
    echo(
        f"{found.pictures} {word} and {found.boxes} boxes read, {found.lost_pictures} and {found.lost_boxes} left out; "
        f"classes: {', '.join(report.classes)}; boxes in {report.label_spectrum} pixels"
    )
    if report.release:
        echo(f"Annotations: {report.release}")
    if report.written and report.to is not None:
        echo(f"Written to {report.output} as {report.to}. Read it back: {_back(report)}")
    elif report.written:
        echo(f"Written to {report.output}. Next: caffdet visualize --dataset {report.output} -o pictures")
    else:
        echo(f"Nothing was written to {report.output} (--dry-run)")


def _back(report: "ConvertReport") -> str:
    """The command that turns an export into paired COCO."""
    from caffdet_cli.data.exporting.sayable import lacks_classes, listed_classes

    words = f"caffdet convert {report.to} {shlex.quote(str(report.output))} -o DIR"
    if report.to == "voc" and len(report.spectra) == 2 and report.label_spectrum == "rgb":
        words += " --label-spectrum rgb"
    if report.to is None or not lacks_classes(report.to, report.findings):
        return words
    listed = listed_classes(report.classes)
    return f"{words} --classes {shlex.quote(listed)}" if listed else f"{words} --classes A,B,.. (those of export.json)"


def _as_json(report: "ConvertReport") -> dict[str, Any]:
    found = report.findings
    return {
        "schema": 1,
        "format": report.format,
        "to": report.to,
        "source": str(report.source),
        "output": str(report.output),
        "written": report.written,
        "classes": list(report.classes),
        "spectra": list(report.spectra),
        "label_spectrum": report.label_spectrum,
        "verified": report.verified,
        "release": report.release,
        "splits": {name: {"pictures": split.pictures, "boxes": split.boxes} for name, split in report.splits.items()},
        "read": {"pictures": found.pictures, "boxes": found.boxes},
        "left_out": {"pictures": found.lost_pictures, "boxes": found.lost_boxes},
        "findings": [
            {"kind": row.kind, "number": row.number, "done": row.action, "examples": list(row.examples)}
            for row in found.rows()
        ],
    }
