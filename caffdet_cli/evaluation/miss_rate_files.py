"""The miss rate of a file of detections: KAIST result lines, COCO results, or what `caffdet` writes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caffdet_cli.data.formats.coco_rows import is_id
from caffdet_cli.data.formats.detections import DetectionArrays, Found, read_detections
from caffdet_cli.data.formats.hostile import LARGEST_JSON, read_bytes, read_json
from caffdet_cli.evaluation.files import read_truth
from caffdet_cli.evaluation.kaist_files import read_kaist_folder, read_result_lines
from caffdet_cli.evaluation.miss_rate import MissRateReport, evaluate_miss_rate
from caffdet_cli.evaluation.miss_rate_report import FILES, write_miss_rates
from caffdet_cli.evaluation.miss_rate_settings import USUAL, Setting
from caffdet_cli.evaluation.miss_rate_truth import MissRateTruth, is_kaist, kaist_name, miss_rate_truth
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress


def evaluate_miss_rate_files(
    predictions: Path,
    annotations: Path,
    settings: Sequence[Setting] = USUAL,
    *,
    compatible: bool = False,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> MissRateReport:
    """Log-average miss rates of a file of detections.

    Args:
        predictions: KAIST result lines, or a COCO result file.
        annotations: a COCO file, paired or plain, or a folder of KAIST's text annotations.
        compatible: with the faults of the public script, see `evaluate_miss_rate`.
        output: folder for `miss-rate.json` and the curves, `miss-rate.png`.

    Raises:
        DatasetError: one of them cannot be read, or they do not belong together.
        OutputError: `output` holds something, or cannot be written.
    """
    progress = progress or Bars()
    if output is not None:
        fresh_folder(Path(output), overwrite)
    if annotations.is_dir():
        truth = read_kaist_folder(annotations)
    else:
        truth = miss_rate_truth(read_truth(annotations, progress))
    found = _read_found(predictions, truth, progress)
    report = evaluate_miss_rate(truth, found, settings, compatible=compatible, progress=progress)
    if output is not None:
        with whole_folder(Path(output), overwrite=overwrite, replaced=FILES) as folder:
            write_miss_rates({"file": report}, folder)
    return report


def _read_found(path: Path, truth: MissRateTruth, progress: Progress) -> Found:
    if path.suffix.lower() == ".json" or read_bytes(path, LARGEST_JSON).lstrip()[:1] in (b"[", b"{"):
        return _read_json(path, truth)
    ids = [frame.id for frame in truth.frames]
    if all(isinstance(key, int) for key in ids) and ids not in ([*range(len(ids))], [*range(1, len(ids) + 1)]):
        progress.warn(
            f"{path}: lines count the pictures of {truth.source} from 1 on in the order of their ids, which have gaps; "
            "frame numbers of a longer list do not fit"
        )
    return read_result_lines(path, truth)


def _read_json(path: Path, truth: MissRateTruth) -> Found:
    """A COCO result file; pictures may also be called by name, and frames of KAIST by number from 0 on."""
    aliases = _aliases(read_json(path), truth)
    by_id = {example.id: example for example in truth.annotations.examples}
    more = tuple(replace(by_id[key], id=alias) for alias, key in aliases.items())
    known = replace(truth.annotations, examples=(*truth.annotations.examples, *more))
    parts: dict[int | str, list[DetectionArrays]] = {}
    for key, arrays in read_detections(path, known).items():
        parts.setdefault(aliases.get(key, key), []).append(arrays)
    return {
        key: DetectionArrays(*(np.concatenate(column) for column in zip(*own, strict=True)))
        for key, own in parts.items()
    }


def _aliases(document: Any, truth: MissRateTruth) -> dict[int | str, int | str]:
    """Ids of the file that are other words for pictures, and the ids that are meant."""
    if not isinstance(document, list):
        return {}
    ids = [frame.id for frame in truth.frames]
    used = {entry["image_id"] for entry in document if isinstance(entry, dict) and is_id(entry.get("image_id"))}
    are_frames = all(isinstance(key, str) and is_kaist(key) for key in ids)
    aliases: dict[int | str, int | str] = {}
    for key in used.difference(ids):
        if isinstance(key, str) and kaist_name(key) in truth.names:
            aliases[key] = truth.names[kaist_name(key)]
        elif isinstance(key, int) and are_frames and 0 <= key < len(ids):
            aliases[key] = ids[key]
    return aliases
