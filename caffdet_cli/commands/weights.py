"""`caffdet weights`: files of weights on this machine: what they are, into another form, read rightly, put in place."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from caffdet_cli.commands import console, options
from caffdet_cli.commands.console import echo, print_json, table

if TYPE_CHECKING:
    from caffdet_cli.evaluation.reading import Checked
    from caffdet_cli.settings.conventions import Conventions
    from caffdet_cli.weights.inspect import Description

Which = Annotated[
    str,
    typer.Argument(metavar="WEIGHTS", help="A run folder, a file, a released name, an address.", show_default=False),
]

app = typer.Typer(help="Files of weights on this machine.")


@app.callback(invoke_without_command=True)
def _alone(context: typer.Context) -> None:
    options.help_if_alone(context)


@app.command("add")
def add_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What was saved in a browser.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Which released file it is. Default: the one of its file name."),
    ] = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Put a released file that was fetched by hand where its name is looked up (caffdet download-weights --list)."""
    from caffdet_cli.commands.transfer import make_meter
    from caffdet_cli.released.add import add_file

    added = add_file(file, name, overwrite=overwrite, meter=make_meter(quiet))
    if json:
        facts = {"path": str(added.path), "size": added.facts.size, "sha256": added.facts.sha256}
        print_json({"schema": 1, **facts, "added": added.is_new})
    else:
        echo(f"{'added' if added.is_new else 'was there already'}: {added.path}")


@app.command("info")
def info_command(
    weights: Which,
    offline: options.Offline = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say what a checkpoint holds, and which model it is of."""
    from caffdet_cli.weights.known import find_weights

    find_weights(weights)  # before torch is imported
    from caffdet_cli.weights.inspect import describe

    found = describe(weights)
    if json:
        print_json({"schema": 1, **found.facts()})
    else:
        for name, said in _lines(found):
            echo(f"{name:<14}{said}")


@app.command("convert")
def convert_command(
    weights: Which,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".safetensors, or .pth with --to published.")
    ] = None,
    to: Annotated[
        Literal["caffdet", "published"],
        typer.Option("--to", help="caffdet: safetensors with settings and class names inside. published: as released."),
    ] = "caffdet",
    ema: Annotated[bool, typer.Option("--ema", help="Of a published file, the moving average.")] = False,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="A,B|0=A,3=B|coco", help="Names of the class slots, all or some; coco: its 91."
        ),
    ] = None,
    set_: options.Set = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a published checkpoint as ours, or one of ours as the published code loads it."""
    from caffdet_cli.errors import ConfigError

    if output is None:
        ending = ".pth" if to == "published" else ".safetensors"
        raise ConfigError(f"--output is missing: caffdet weights convert {weights} -o FILE{ending}")
    from caffdet_cli.weights.known import find_weights

    find_weights(weights)  # before torch is imported
    from caffdet_cli.weights.convert import convert_weights
    from caffdet_cli.weights.naming import title

    names = [name.strip() for name in classes.split(",")] if classes else []
    done = convert_weights(
        weights, output, to=to, average=ema, classes=names, overrides=set_ or (), overwrite=overwrite
    )
    for remark in done.remarks:
        console.progress(quiet=False, verbose=False).warn(remark)
    if json:
        print_json({"schema": 1, "path": str(done.path), "tensors": done.tensors, "title": title(done.model)})
    else:
        echo(f"{done.path}: {title(done.model)}, {done.tensors} tensors")


@app.command("check")
def check_command(
    weights: Which,
    dataset: options.Dataset = None,
    split: options.Split = None,
    data_root: options.DataRoot = None,
    pictures: Annotated[
        int, typer.Option("--pictures", min=1, metavar="N", help="How many labelled pairs are looked at.")
    ] = 50,
    set_: options.Set = None,
    device: options.Device = "auto",
    offline: options.Offline = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Try a checkpoint on some labelled pictures: the order of its streams, and what its class slots mean."""
    from caffdet_cli.errors import ConfigError

    if dataset is None:
        raise ConfigError(f"--dataset is missing: caffdet weights check {weights} --dataset llvip")
    from caffdet_cli.weights.known import find_weights

    find_weights(weights)  # before torch is imported
    from caffdet_cli.evaluation.reading import check_weights

    checked = check_weights(
        weights,
        dataset,
        data_root=data_root,
        split=split,
        pictures=pictures,
        device=device,
        overrides=set_ or (),
        progress=console.progress(quiet, verbose),
    )
    if json:
        print_json(checked.to_json())
    else:
        _show(checked)


def _lines(found: "Description") -> list[tuple[str, str]]:
    """What people want to know of a checkpoint."""
    conventions = found.conventions
    named = [name for name in conventions.classes if name is not None]
    shown = ", ".join(named[:12]) + (", ..." if len(named) > 12 else "") if named else "not named in the file"
    apart = "; ".join(f"{key} = {here}, not {there}" for key, (there, here) in list(found.differences.items())[:6])
    beside = {name: "yes" if name == "ema_model" else value for name, value in found.entries.items() if name != "args"}
    return [
        ("file", f"{found.path} ({found.bytes / 2**20:.0f} MB)"),
        ("written by", found.written_by),
        ("model", found.title),
        ("configuration", found.configuration or f"none; {found.nearest} is nearest: {apart}"),
        ("streams", ", ".join(conventions.spectra)),
        *_trained_on(conventions),
        ("class slots", f"{len(conventions.classes) or found.model.outputs}: {shown}"),
        ("tensors", f"{found.tensors}, {found.parameters / 1e6:.2f} M numbers"),
        *((name, str(value)) for name, value in beside.items()),
        *(("remark", each) for each in found.remarks),
    ]


def _trained_on(conventions: "Conventions") -> list[tuple[str, str]]:
    """How infrared counts and the cameras' geometry are read with these weights; published files say neither."""
    from caffdet_cli.data.thermal import described

    rows = [("thermal rule", described(conventions.thermal))] if "ir" in conventions.spectra else []
    if rig := conventions.rig:
        (wide, tall), (wide_other, tall_other) = rig.moved_size, rig.fixed_size
        rows.append(("camera rig", f"{rig.moved} of {wide}x{tall} is warped onto {wide_other}x{tall_other}"))
    return rows


def _show(checked: "Checked") -> None:
    rows = [(", ".join(each.streams), f"{100 * each.ap:.1f}", f"{100 * each.ap50:.1f}") for each in checked.readings]
    table(f"{checked.pictures} pictures, percent", ["streams", "AP", "AP50"], rows)
    best = checked.best
    fires = [
        (name, "-" if slot is None else slot, ", ".join(f"{one} ({count}x)" for one, count in best.slots[name].items()))
        for name, slot in checked.expected.items()
    ]
    table("class slots", ["class", "read from slot", "slots that fire"], fires)
    for sentence in checked.sentences:
        echo(sentence)
