"""Scoring a file of detections, whoever made it. Pictures are not needed."""

from pathlib import Path

from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.detections import read_detections
from caffdet_cli.evaluation.coco import CocoReport, evaluate_coco
from caffdet_cli.progress import Bars, Progress


def evaluate_files(predictions: Path, annotations: Path, progress: Progress | None = None) -> CocoReport:
    """AP of a COCO result file against a COCO annotation file, plain or paired.

    Warns of annotations that cannot be used and therefore do not count.

    Raises:
        DatasetError: one of the files cannot be read, or they do not belong together.
    """
    progress = progress or Bars()
    findings = FindingLog()
    truth = read_coco(annotations, findings=findings)
    if findings.faults:
        progress.warn(f"{annotations}: {findings.summary()}; what was dropped is not scored")
    return evaluate_coco(truth, read_detections(predictions, truth), progress)
