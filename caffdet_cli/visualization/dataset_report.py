"""`caffdet data check` and `caffdet data info` of a data set by name, with what they write into a folder."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.inspection.check import CheckReport, check
from caffdet_cli.data.inspection.info import Info, describe
from caffdet_cli.data.inspection.report import check_json, info_json
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import fresh_folder, write_text
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.load import load_data
from caffdet_cli.visualization.heatmap import draw_heatmaps
from caffdet_cli.visualization.sheet import save_picture
from caffdet_cli.visualization.text import Picture
from caffdet_cli.visualization.worst import worst_page

REPORT, WORST, HEATMAP = "report.json", "worst.png", "heatmap.png"


def check_dataset(
    dataset: str,
    output: Path | None = None,
    *,
    data_root: Path | None = None,
    split: str | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CheckReport:
    """Everything odd about a data set; with `output` also `report.json`, and `worst.png` if there is something to see.

    Args:
        dataset: a shipped name, a TOML file, or a folder with a `dataset.toml`.
        output: a folder; None: nothing is written.
        data_root: where its files are; None: what its TOML or `$CAFFDET_DATA` says.
        split: None: all that are there.
        workers: threads that read pictures; 0: none beside this one; None: as many as fit.
        overrides: `dotted.key=value`.

    Raises:
        ConfigError, DatasetError, OutputError, DiskFull.
    """
    progress = progress or Bars()
    if output is not None:
        fresh_folder(output, overwrite)
    data = load_data(dataset, overrides)
    root = place_of(data, data_root, progress)
    report = check(data, root=root, split=split, workers=workers, progress=progress)
    if output is not None:
        with whole_folder(output, overwrite=overwrite, replaced=(REPORT, WORST)) as part:
            write_text(part / REPORT, json.dumps(check_json(report), indent=2) + "\n")
            if report.worst:
                save_picture(worst_page(report.worst, report.spectra), part / WORST)
    return report


def describe_dataset(
    dataset: str,
    output: Path | None = None,
    *,
    data_root: Path | None = None,
    split: str | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Info:
    """What a data set holds; with `output` also `report.json`, and `heatmap.png` if there are boxes.

    Arguments and errors as of `check_dataset`.
    """
    progress = progress or Bars()
    if output is not None:
        fresh_folder(output, overwrite)
    data = load_data(dataset, overrides)
    root = place_of(data, data_root, progress)
    info = describe(data, root=root, split=split, workers=workers, progress=progress)
    if output is not None:
        with whole_folder(output, overwrite=overwrite, replaced=(REPORT, HEATMAP)) as part:
            write_text(part / REPORT, json.dumps(info_json(info), indent=2) + "\n")
            if any(split.boxes for split in info.splits.values()):
                save_picture(_heatmaps(info), part / HEATMAP)
    return info


def _heatmaps(info: Info) -> Picture:
    """Maps of all splits together, in the shape of the most frequent label picture."""
    boxes: Counter[str] = Counter()
    shapes: Counter[float] = Counter()
    for split in info.splits.values():
        boxes.update({name: one.boxes for name, one in split.classes.items()})
        for form, number in split.forms.items():
            shapes[form.width / form.height] += number * (form.spectrum == info.label_spectrum)
    aspect = shapes.most_common(1)[0][0] if shapes else 1.0
    return draw_heatmaps(info.heat, boxes, aspect)
