"""Scoring a file of detections, whoever made it. Pictures are not needed."""

from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.detections import read_detections
from caffdet_cli.evaluation.coco import CocoReport, evaluate_coco
from caffdet_cli.evaluation.engines import Engine, Kind
from caffdet_cli.progress import Bars, Progress


def evaluate_files(
    predictions: Path,
    annotations: Path,
    progress: Progress | None = None,
    *,
    kind: Kind = "bbox",
    engine: Engine | None = None,
) -> CocoReport:
    """AP of a COCO result file against a COCO annotation file, plain or paired.

    Warns of annotations that cannot be used and therefore do not count.

    Args:
        kind: what is matched: boxes, or masks, which both files then have.
        engine: None: the fastest that is installed.

    Raises:
        DatasetError: one of the files cannot be read, or they do not belong together.
    """
    progress = progress or Bars()
    truth = read_truth(annotations, progress)
    found = read_detections(predictions, truth)
    if kind == "bbox":
        return evaluate_coco(truth, found, progress, engine=engine)
    from caffdet_cli.evaluation.masks import masks_of_detections, masks_of_truth

    masks = masks_of_truth(truth), masks_of_detections(predictions, truth)
    return evaluate_coco(truth, found, progress, masks=masks, engine=engine)


def read_truth(annotations: Path, progress: Progress) -> AnnotationSet:
    """A COCO annotation file; warns of what does not count."""
    findings = FindingLog()
    truth = read_coco(annotations, findings=findings)
    if findings.faults:
        progress.warn(f"{annotations}: {findings.summary()}; what was dropped is not scored")
    return truth
