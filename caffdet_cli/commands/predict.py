"""`caffdet predict`: looks for objects in pictures and pairs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError

if TYPE_CHECKING:
    from caffdet_cli.inference.predict import Predicted


def command(
    weights: options.Weights = None,
    weights_ir: options.WeightsIr = None,
    late: options.Late = None,
    rgb: Annotated[
        str | None, typer.Option("--rgb", metavar="PATH", help="Picture, folder, or text file with a path per line.")
    ] = None,
    ir: Annotated[str | None, typer.Option("--ir", metavar="PATH", help="The same of the infrared side.")] = None,
    pair_by: Annotated[
        str,
        typer.Option("--pair-by", metavar="RULE", help="name, time, time:SECONDS, or patterns: '*_rgb.png=*_ir.png'."),
    ] = "name",
    rig: Annotated[
        str | None,
        typer.Option(
            "--rig", metavar="FILE", help="The cameras' geometry (data align), or none. Default: that of the weights."
        ),
    ] = None,
    boxes: Annotated[
        Literal["rgb", "ir"] | None,
        typer.Option("--boxes", help="In whose pixels detections are written. Default: as in training."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="A,B|0=A,3=B|coco",
            help="Names of the class slots, for published weights, which have none.",
        ),
    ] = None,
    output: options.Output = None,
    score: options.Score = 0.3,
    draw: Annotated[bool, typer.Option("--draw/--no-draw", help="Draw the detections.")] = True,
    device: options.Device = "auto",
    precision: options.Precision = None,
    batch: options.Batch = None,
    workers: options.Workers = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Look for objects in pictures or pairs of pictures."""
    if weights is None or output is None or not (rgb or ir):
        detector = missing.or_example(weights, missing.checkpoints(), "WEIGHTS")
        example = f"caffdet predict --weights {detector} --rgb {rgb or 'PATH'} --ir {ir or 'PATH'} -o {output or 'DIR'}"
        given = {"--weights": weights, "-o DIR": output, "--rgb PATH (or --ir PATH)": rgb or ir}
        raise missing.too_little(given, {"try": example}, detectors=True)
    how: dict[str, Any] = {
        "rgb": rgb,
        "ir": ir,
        "rig": rig,
        "pair_by": pair_by,
        "boxes": boxes,
        "classes": [name.strip() for name in classes.split(",")] if classes else [],
        "score": score,
        "device": device,
        "precision": precision,
        "batch": batch,
        "workers": workers,
        "draw": draw,
        "overwrite": overwrite,
        "progress": console.progress(quiet, verbose),
    }
    done = _predicted(weights, weights_ir, late, output, how)
    if json:
        facts = {
            "pictures": done.pictures,
            "detections": done.found,
            "without_partner": list(done.lonely),
            "left_out": dict(done.left_out),
        }
        console.print_json({"schema": 1, "output": str(done.folder), **facts})
        return
    console.echo(f"{done.found} objects in {done.pictures} pictures: {done.folder / 'detections.json'}")
    if draw:
        console.echo(f"drawn in {done.folder / 'pictures'}")


def _predicted(
    weights: str, weights_ir: str | None, late: list[str] | None, output: str, how: Mapping[str, Any]
) -> "Predicted":
    """What one detector finds, or two together."""
    if weights_ir is None:
        if late:
            raise ConfigError(f"--late {late[0]}: it is of two detectors; add --weights-ir WEIGHTS")
        from caffdet_cli.denormals import denormals_as_zero
        from caffdet_cli.inference.predict import predict

        with denormals_as_zero():
            return predict(weights, output, **how)
    from caffdet_cli.settings.late import late_settings

    settings = late_settings(late or ())  # before torch is imported
    from caffdet_cli.denormals import denormals_as_zero
    from caffdet_cli.inference.late import predict_late

    with denormals_as_zero():
        return predict_late(weights, weights_ir, output, late=settings, **how)
