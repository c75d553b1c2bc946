"""`caffdet data info`: what a data set holds."""

from typing import TYPE_CHECKING

from caffdet_cli.commands import console, options
from caffdet_cli.commands.data_check import Name, Split, Threads, nothing_named

if TYPE_CHECKING:
    from caffdet_cli.data.inspection.info import Form, Info

_FORMS = 8  # sizes that are shown of a split


def command(
    dataset: Name = None,
    output: options.Output = None,
    split: Split = None,
    data_root: options.DataRoot = None,
    workers: Threads = None,
    set_: options.Set = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Count what a data set holds: pictures and their sizes, boxes per class and size, day and night.

    With -o DIR writes report.json and heatmap.png: where in the picture the boxes are.
    """
    if dataset is None:
        raise nothing_named("info")
    from pathlib import Path

    from caffdet_cli.data.inspection.report import info_json
    from caffdet_cli.visualization.dataset_report import describe_dataset

    info = describe_dataset(
        dataset,
        None if output is None else Path(output),
        data_root=None if data_root is None else Path(data_root),
        split=split,
        workers=workers,
        overrides=set_ or (),
        overwrite=overwrite,
        progress=console.progress(quiet, verbose),
    )
    if json:
        console.print_json(info_json(info))
    else:
        _show(info, output)


def _show(info: "Info", output: str | None) -> None:
    _show_splits(info)
    _show_pictures(info)
    columns = ["split", "class", "boxes", "pictures", "small", "medium", "large", "lowest 5%", "median", "highest 5%"]
    rows = [
        (name, label, *one[:5], *(f"{height:.0f}" for height in one[5:]))
        for name, split in info.splits.items()
        for label, one in split.classes.items()
        if one.boxes
    ]
    console.table("Boxes; small is below 32x32 pixels, large from 96x96; heights in pixels", columns, rows)
    if output is not None:
        boxes = any(split.boxes for split in info.splits.values())
        console.echo(f"All of it in {output}" + (", where the boxes are in heatmap.png" if boxes else ""))


def _show_splits(info: "Info") -> None:
    """Counts, and the light: a column for each kind there is."""
    splits = info.splits.values()
    kinds = [kind for kind in ("day", "night", "bright", "dark") if any(kind in one.light for one in splits)]
    columns = ["split", "examples", "with rgb", "with ir", "unreadable", "boxes", "crowd", "at most", "without", *kinds]
    rows = []
    for name, split in info.splits.items():
        counts = (split.pictures, split.with_rgb, split.with_ir, split.unreadable)
        boxes = (split.boxes, split.crowd, split.most_boxes, split.without_objects)
        rows.append((name, *counts, *boxes, *(split.light.get(kind, 0) for kind in kinds)))
    console.table("", columns, rows)
    if {"bright", "dark"} & set(kinds):
        console.echo("Bright and dark: by the mean of the RGB picture, where no folder says day or night\n")


def _show_pictures(info: "Info") -> None:
    """Sizes and depths, the most frequent of each split."""
    rows = []
    for name, split in info.splits.items():
        shown = list(split.forms.items())[:_FORMS]
        rows += [(name, *_form(form), number) for form, number in shown]
        if rest := sum(split.forms.values()) - sum(number for _, number in shown):
            rows.append((name, "", f"{len(split.forms) - _FORMS} further", "", "", rest))
    console.table("Pictures", ["split", "spectrum", "size", "depth", "channels", "number"], rows)


def _form(form: "Form") -> tuple[object, ...]:
    return form.spectrum, f"{form.width}x{form.height}", form.depth, form.channels
