"""`caffdet data align`: one homography per camera rig."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from caffdet_cli.commands import console, options
from caffdet_cli.commands.missing import too_little

if TYPE_CHECKING:
    from caffdet_cli.visualization.rig_report import Aligned


def command(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="A shipped data set (caffdet config list), your own TOML, or the folder of a converted one.",
            show_default=False,
        ),
    ] = None,
    output: options.Output = None,
    pairs: Annotated[
        int, typer.Option("--pairs", min=1, max=32, metavar="N", help="Pairs to look at, spread over the split.")
    ] = 8,
    points: Annotated[
        str | None,
        typer.Option(
            "--points", metavar="FILE", help="CSV of points named by hand: pair,rgb_x,rgb_y,ir_x,ir_y; 4 or more."
        ),
    ] = None,
    moved: Annotated[
        Literal["rgb", "ir"] | None,
        typer.Option("--moved", help="The spectrum to warp. Default: the one that the boxes do not belong to."),
    ] = None,
    model: Annotated[
        Literal["similarity", "affine", "homography"],
        typer.Option("--model", help="How much freedom the map has: turn and size; shear too; perspective too."),
    ] = "homography",
    split: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option("--split", help="Whose pairs. Default: train where the data set has one."),
    ] = None,
    data_root: options.DataRoot = None,
    set_: options.Set = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Find how one camera's pictures lie on the other's, from a handful of pairs.

    Writes rig.toml, and before.png and after.png: infrared in red over RGB in cyan. Look at them before you use it.
    """
    if dataset is None or output is None:
        named = dataset or "data/mine"
        raise too_little(
            {"DATASET": dataset, "-o DIR": output}, {"try": f"caffdet data align {named} -o {output or 'rig'}"}
        )
    from pathlib import Path

    from caffdet_cli.visualization.rig_report import align

    aligned = align(
        dataset,
        Path(output),
        data_root=None if data_root is None else Path(data_root),
        split=split,
        pairs=pairs,
        points=None if points is None else Path(points),
        moved=moved,
        model=model,
        overrides=set_ or (),
        overwrite=overwrite,
        progress=console.progress(quiet, verbose),
    )
    if json:
        console.print_json(_as_json(aligned))
    else:
        _show(aligned)


def _show(aligned: "Aligned") -> None:
    rig, estimate = aligned.rig, aligned.estimate
    fixed = "ir" if rig.moved == "rgb" else "rgb"
    console.echo(
        f"{rig.moved} pictures ({_size(rig.moved_size)}) onto {fixed} pictures ({_size(rig.fixed_size)}), "
        f"from {len(aligned.pairs)} pairs of {aligned.split}"
    )
    if aligned.by_hand:
        console.echo(f"{estimate.compared} points, {rig.residual:.2f} pixels off (root mean square)")
        if estimate.compared == 4 and rig.residual < 0.01:
            console.echo("Four points always fit: look at after.png, or name more of them")
    else:
        console.echo(
            f"{estimate.agreeing} of {estimate.compared} pieces of the pictures agree, "
            f"{rig.residual:.2f} pixels off (root mean square)"
        )
    console.echo(f"Written to {aligned.file}. Look at {aligned.before} and {aligned.after}: what fits is grey")
    where = "add to a command" if aligned.toml is None else f"write into [data] of {aligned.toml}"
    console.echo(f"To use it, {where}: {aligned.use}")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _as_json(aligned: "Aligned") -> dict[str, object]:
    return {
        "schema": 1,
        "rig": str(aligned.file),
        "before": str(aligned.before),
        "after": str(aligned.after),
        **aligned.rig.model_dump(mode="json"),
        "pairs": list(aligned.pairs),
        "split": aligned.split,
        "by_hand": aligned.by_hand,
        "compared": aligned.estimate.compared,
        "agreeing": aligned.estimate.agreeing,
        "use": aligned.use,
    }
