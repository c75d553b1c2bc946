"""Late fusion scored on a data set, beside each of its two detectors alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.formats.detections import Found, write_detections
from caffdet_cli.data.splits import load_split
from caffdet_cli.evaluation import miss_rate_report
from caffdet_cli.evaluation.coco import CocoReport, evaluate_coco
from caffdet_cli.evaluation.detecting import detect, tell_padding, to_categories, with_classes
from caffdet_cli.evaluation.receipt import receipt, write_receipt
from caffdet_cli.evaluation.report import SpectraReport, write_report
from caffdet_cli.folders import whole_folder
from caffdet_cli.inference.agreement import tell_unlike
from caffdet_cli.inference.device import How, choose_device
from caffdet_cli.inference.ensemble import fuse_all
from caffdet_cli.inference.members import (
    Member,
    Two,
    check_pictures,
    joint_classes,
    keys_of,
    seen_by,
    tell_differences,
    two_members,
)
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import Data
from caffdet_cli.settings.late import Late
from caffdet_cli.settings.load import load_data
from caffdet_cli.weights.load import load_detector

LATE_FILES = ("detections-late.json", "detections-pair-ir.json")
"""What a result folder has of a late fusion and of nothing else."""

_FILES = ("report.json", "receipt.json", *miss_rate_report.FILES, *LATE_FILES)
DETECTIONS = tuple(f"detections-{given}.json" for given in ("pair", "rgb", "ir"))
"""What a result folder has of one detector's detections."""


def evaluate_late(
    weights: tuple[str, str],
    dataset: str,
    late: Late,
    *,
    data_root: str | Path | None,
    split: str | None,
    output: str | Path | None,
    overwrite: bool,
    overrides: Sequence[str],
    device: str,
    precision: str,
    batch: int,
    workers: int,
    judge: Callable[[str, AnnotationSet, Found, Path | None], None] | None,
    progress: Progress,
) -> SpectraReport:
    """Score two detectors and their late fusion; arguments as those of `detector.evaluate`.

    Each detector is in memory while it looks at the pictures, and not longer. Boxes of both are in the pixels of the
    data set's label spectrum.

    Returns:
        Reports under "late", and of each detector under what it looks at.

    Raises:
        WeightsError, DatasetError, ConfigError, OutputError: what is wrong, and where.
    """
    if output is not None:
        fresh_folder(Path(output), overwrite)
    how = How(choose_device(device, precision), precision, batch, workers)
    two = two_members(*weights)
    data = load_data(dataset, overrides)
    root = place_of(data, Path(data_root) if data_root is not None else None, progress)
    name, annotations = load_split(data, split, root, progress)
    two = _ready(two, annotations, data, how, progress)
    if split is None:
        progress.say(f"scoring on the split {name!r} ({len(annotations.examples)} pictures)")
    replaced = (*_FILES, *DETECTIONS)
    place = nullcontext() if output is None else whole_folder(Path(output), overwrite=overwrite, replaced=replaced)
    with place as folder:
        found = _found(two, annotations, data, late, how, progress)
        reports = {key: _scored(key, each, annotations, folder, judge) for key, each in found.items()}
        report = SpectraReport(reports, late=late)
        if folder is not None:
            write_report(report, folder / "report.json")
            write_receipt(_receipt(two, annotations, (data.name, name), late, how), folder / "receipt.json")
    return report


def _ready(two: Two, annotations: AnnotationSet, data: Data, how: How, progress: Progress) -> Two:
    """The members with their class names, after everything that can be told before it takes long."""
    examples = annotations.examples
    has: dict[Spectrum, bool] = {"rgb": any(one.rgb for one in examples), "ir": any(one.ir for one in examples)}
    check_pictures(two, has, f"{annotations.source} has")
    first, second = (each._replace(conventions=with_classes(each, annotations, data)) for each in two)
    joint_classes((first, second), progress)
    tell_differences((first, second), progress)
    for each in (first, second):
        tell_padding(each.conventions, annotations, how.batch, progress)
        tell_unlike(each.conventions, annotations, data, progress, f"the weights of {each.option}")
    return first, second


def _found(
    two: Two, annotations: AnnotationSet, data: Data, late: Late, how: How, progress: Progress
) -> dict[str, Found]:
    """Detections of both together, and of each alone; labels are positions in the data set's categories."""
    first, second = (_alone(each, annotations, data, how, progress) for each in two)
    keys = keys_of(two)
    return {"late": fuse_all(first, second, late), keys[0]: first, keys[1]: second}


def _alone(member: Member, annotations: AnnotationSet, data: Data, how: How, progress: Progress) -> Found:
    """Detections of one member, in the pictures that it can see."""
    seen = replace(annotations, examples=seen_by(member.conventions, annotations.examples))
    progress.say(f"{member.option}: {member.source}")
    found, conventions = detect(load_detector(member.weights), seen, data, "pair", how, progress)
    return to_categories(found, conventions, annotations)


def _scored(
    key: str,
    found: Found,
    annotations: AnnotationSet,
    folder: Path | None,
    judge: Callable[[str, AnnotationSet, Found, Path | None], None] | None,
) -> CocoReport:
    """The figures of one of the three; what it found goes into the folder."""
    if folder is not None:
        write_detections(folder / f"detections-{key}.json", found, [each.id for each in annotations.categories])
    if judge is not None:
        judge(key, annotations, found, folder)
    return evaluate_coco(annotations, found)


def _receipt(two: Two, annotations: AnnotationSet, place: tuple[str, str], late: Late, how: How) -> Mapping[str, Any]:
    """That of the first member, and what is different with the second one."""
    settings = {
        "device": str(how.device),
        "precision": how.precision,
        "batch": how.batch,
        "spectra": ["late", *keys_of(two)],
        "late": late.model_dump(mode="json"),
    }
    first, second = (
        receipt(each.weights, each.source, annotations, *place, each.conventions, settings) for each in two
    )
    return {**first, "weights_ir": second["weights"], "conventions_ir": second["conventions"]}
