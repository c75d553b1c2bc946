"""`caffdet eval`: scores a detector on a data set, or a file of detections against its annotations."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError
from caffdet_cli.progress import Progress

if TYPE_CHECKING:
    from caffdet_cli.evaluation.report import SpectraReport

_OF_MODEL = "--weights WEIGHTS --dataset DATASET"
_OF_FILE = "--predictions FILE --annotations FILE"


def command(
    weights: options.Weights = None,
    dataset: options.Dataset = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="FILE", help="Detections as COCO result JSON, instead of a detector."),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", metavar="FILE", help="COCO annotations of these detections.")
    ] = None,
    metric: Annotated[Literal["coco"], typer.Option("--metric", help="coco: AP and AR of boxes.")] = "coco",
    split: options.Split = None,
    spectrum: options.Spectrum = None,
    against: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--against",
            metavar="RGB_WEIGHTS IR_WEIGHTS",
            help="Two detectors trained on one spectrum alone, beside it.",
        ),
    ] = None,
    data_root: options.DataRoot = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch: options.Batch = 1,
    workers: options.Workers = 2,
    output: options.Output = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Score a detector on a data set, or a file of detections.

    AP is the mean over IoU 0.50 to 0.95; s, m and l stand for objects below 32, up to 96 and above 96 pixels square;
    AR1, AR10 and AR100 for recall with so many detections of a class per picture. A pair model is scored with both
    pictures and with each one removed.
    """
    progress = console.progress(quiet, verbose)
    if predictions or annotations:
        _refuse({"--weights": weights, "--dataset": dataset, "--split": split, "--spectrum": spectrum})
        _refuse({"--against": against, "--data-root": data_root, "--set": set_, "--output": output})
        _show(_of_file(predictions, annotations, progress), json, progress)
        return
    if weights is None or dataset is None:
        detector = missing.or_example(weights, missing.checkpoints(), "WEIGHTS")
        examples = {
            "a detector": f"caffdet eval --weights {detector} --dataset {dataset or 'demo'}",
            "a file": f"caffdet eval {_OF_FILE}",
        }
        raise missing.too_little({"--weights": weights, "--dataset": dataset}, examples, detectors=True)
    from caffdet_cli.settings.load import load_config

    load_config(dataset=dataset, overrides=set_ or ())  # before torch is imported
    from caffdet_cli.evaluation.detector import evaluate

    report = evaluate(
        weights,
        dataset,
        data_root=data_root,
        split=split,
        spectrum=spectrum,
        against=against,
        device=device,
        precision=precision,
        batch=batch,
        workers=workers,
        output=output,
        overwrite=overwrite,
        overrides=set_ or (),
        progress=progress,
    )
    _show(report, json, progress)


def _of_file(predictions: Path | None, annotations: Path | None, progress: Progress) -> "SpectraReport":
    if predictions is None or annotations is None:
        word = "--predictions" if predictions is None else "--annotations"
        raise ConfigError(f"{word} is missing: caffdet eval {_OF_FILE}")
    from caffdet_cli.evaluation.files import evaluate_files
    from caffdet_cli.evaluation.report import SpectraReport

    return SpectraReport({"file": evaluate_files(predictions, annotations, progress)})


def _refuse(given: Mapping[str, object]) -> None:
    """Options that mean nothing for a file of detections."""
    if words := [word for word, value in given.items() if value is not None]:
        raise ConfigError(
            f"{', '.join(words)}: of a detector, not of a file of detections; "
            f"give either {_OF_MODEL} or {_OF_FILE} (--json > FILE keeps the result)"
        )


def _show(report: "SpectraReport", json: bool, progress: Progress) -> None:
    from caffdet_cli.evaluation.report import class_table, summary_table, to_json, verdict

    judged = verdict(report)
    if judged and not judged.pays:
        progress.warn(judged.sentence)
    if report.published and not report.published.reproduced:
        progress.warn(report.published.sentence)
    if json:
        console.print_json(to_json(report))
        return
    console.table(f"{report.images} pictures, percent", *summary_table(report))
    if len(next(iter(report.spectra.values())).per_class) > 1:
        for number in ("AP", "AP50"):
            console.table(f"{number} of each class, percent", *class_table(report, number))
    if judged and judged.pays:
        console.echo(judged.sentence)
    if report.published and report.published.reproduced:
        console.echo(report.published.sentence)
