"""`caffdet eval`: scores a detector on a data set, or a file of detections against its annotations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError
from caffdet_cli.progress import Progress

if TYPE_CHECKING:
    from caffdet_cli.evaluation.miss_rate import MissRateReport
    from caffdet_cli.evaluation.miss_rate_settings import Setting
    from caffdet_cli.evaluation.report import SpectraReport

_OF_MODEL = "--weights WEIGHTS --dataset DATASET"
_OF_FILE = "--predictions FILE --annotations FILE"

Metric = Literal["coco", "segm", "mr"]


def command(
    weights: options.Weights = None,
    dataset: options.Dataset = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            metavar="FILE",
            help="Detections instead of a detector: COCO result JSON; for mr KAIST result lines too.",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            metavar="FILE",
            help="COCO annotations of these detections; for mr KAIST's text folder too.",
        ),
    ] = None,
    metric: Annotated[
        Metric, typer.Option("--metric", help="coco: AP and AR of boxes; segm: of masks; mr: log-average miss rate.")
    ] = "coco",
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--setting",
            metavar="NAME",
            help="Of mr: Reasonable, All, near, ..., or NAME:height=40..90/occlusion=0+1/margin=5. Repeatable.",
        ),
    ] = None,
    compatible: Annotated[
        bool, typer.Option("--compatible", help="Of mr: count as the public script does, faults included.")
    ] = False,
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
    weights_ir: options.WeightsIr = None,
    late: options.Late = None,
    data_root: options.DataRoot = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch: options.Batch = 1,
    workers: options.Workers = 2,
    output: options.Output = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Score a detector on a data set, or a file of detections.

    AP is the mean over IoU 0.50 to 0.95; s, m and l stand for objects below 32, up to 96 and above 96 pixels square;
    AR1, AR10 and AR100 for recall with so many detections of a class per picture. A pair model is scored with both
    pictures and with each one removed; with --weights-ir two detectors are scored alone and fused late. The miss rate
    of pedestrians (mr) is the mean, in the logarithm, at 0.01 to 1 false alarms per picture; lower is better.
    """
    progress = console.progress(quiet, verbose)
    settings = _settings(metric, setting, compatible)
    if verbose and metric != "mr":
        _tell_engine(progress)
    if predictions or annotations:
        _refuse({"--weights": weights, "--dataset": dataset, "--split": split, "--spectrum": spectrum})
        kept = None if metric == "mr" else output  # curves need a place
        _refuse({"--against": against, "--data-root": data_root, "--set": set_, "--output": kept})
        _refuse({"--weights-ir": weights_ir, "--late": late})
        if metric == "mr":
            _miss_rate_of_file(predictions, annotations, settings, compatible, output, overwrite, json, progress)
            return
        _show(_of_file(predictions, annotations, metric, progress), json, progress)
        return
    if metric == "segm":
        raise ConfigError(
            f"--metric segm: detectors give boxes, no masks; for a file with masks: caffdet eval {_OF_FILE}"
        )
    if weights is None or dataset is None:
        detector = missing.or_example(weights, missing.checkpoints(), "WEIGHTS")
        examples = {
            "a detector": f"caffdet eval --weights {detector} --dataset {dataset or 'demo'}",
            "a file": f"caffdet eval {_OF_FILE}",
        }
        raise missing.too_little({"--weights": weights, "--dataset": dataset}, examples, detectors=True)
    fused = _fused(weights_ir, late)
    if metric == "mr" and against:
        raise ConfigError("--against compares AP; leave it out, or take --metric coco")
    from caffdet_cli.settings.load import load_data

    load_data(dataset, set_ or ())  # before torch is imported
    how: dict[str, Any] = {
        "data_root": data_root,
        "split": split,
        "spectrum": spectrum,
        "against": against,
        "device": device,
        "precision": precision,
        "batch": batch,
        "workers": workers,
        "output": output,
        "overwrite": overwrite,
        "overrides": set_ or (),
        "progress": progress,
        **fused,
    }
    from caffdet_cli.denormals import denormals_as_zero

    if metric == "mr":
        from caffdet_cli.evaluation.miss_rate_detector import evaluate_miss_rate_of

        with denormals_as_zero():
            rates = evaluate_miss_rate_of(weights, dataset, settings, compatible=compatible, **how)
        _show_miss_rates(rates, json)
        return
    from caffdet_cli.evaluation.detector import evaluate

    with denormals_as_zero():
        scored = evaluate(weights, dataset, **how)
    _show(scored, json, progress)


def _fused(weights_ir: str | None, late: list[str] | None) -> dict[str, Any]:
    """The second detector and how detections are fused, where there is one."""
    if weights_ir is None:
        if late:
            raise ConfigError(f"--late {late[0]}: it is of two detectors; add --weights-ir WEIGHTS")
        return {}
    from caffdet_cli.settings.late import late_settings

    return {"weights_ir": weights_ir, "late": late_settings(late or ())}


def _settings(metric: Metric, words: Sequence[str] | None, compatible: bool) -> "Sequence[Setting]":
    """Those of a miss rate; checked before anything long."""
    if metric != "mr":
        if words or compatible:
            raise ConfigError(f"{'--setting' if words else '--compatible'} is of the miss rate; add --metric mr")
        return ()
    from caffdet_cli.evaluation.miss_rate_settings import parse_settings

    return parse_settings(words or ())


def _tell_engine(progress: Progress) -> None:
    from caffdet_cli.evaluation.engines import about_engine

    progress.say(f"figures by {about_engine()[0]}")


def _of_file(
    predictions: Path | None, annotations: Path | None, metric: Literal["coco", "segm"], progress: Progress
) -> "SpectraReport":
    found, truth = _both(predictions, annotations)
    from caffdet_cli.evaluation.files import evaluate_files
    from caffdet_cli.evaluation.report import SpectraReport

    report = evaluate_files(found, truth, progress, kind="segm" if metric == "segm" else "bbox")
    return SpectraReport({"file": report}, metric=metric)


def _miss_rate_of_file(
    predictions: Path | None,
    annotations: Path | None,
    settings: "Sequence[Setting]",
    compatible: bool,
    output: str | None,
    overwrite: bool,
    json: bool,
    progress: Progress,
) -> None:
    found, truth = _both(predictions, annotations)
    from caffdet_cli.evaluation.miss_rate_files import evaluate_miss_rate_files

    report = evaluate_miss_rate_files(
        found, truth, settings, compatible=compatible, output=output, overwrite=overwrite, progress=progress
    )
    _show_miss_rates({"file": report}, json)


def _both(predictions: Path | None, annotations: Path | None) -> tuple[Path, Path]:
    if predictions is None or annotations is None:
        word = "--predictions" if predictions is None else "--annotations"
        raise ConfigError(f"{word} is missing: caffdet eval {_OF_FILE}")
    return predictions, annotations


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


def _show_miss_rates(reports: "Mapping[str, MissRateReport]", json: bool) -> None:
    from caffdet_cli.evaluation.miss_rate_report import miss_rate_json, miss_rate_table

    if json:
        console.print_json(miss_rate_json(reports))
        return
    for name, report in reports.items():
        form = ", as the public script counts" if report.compatible else ""
        given = "" if name == "file" else f" ({name})"
        title = f"log-average miss rate{given}, {report.pictures} pictures, percent{form}"
        console.table(title, *miss_rate_table(report))
