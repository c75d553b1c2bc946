"""The built-in demonstration: three small detectors of one recipe on made-up pairs, and what two spectra are worth.

Each is trained from random weights: RGB alone, infrared alone, and CAFF-Lite-DINO on the pair.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from caffdet_cli.data.demo_set import demo_root
from caffdet_cli.data.splits import load_split
from caffdet_cli.engine.job import new_job
from caffdet_cli.engine.train import run
from caffdet_cli.engine.watch import Watch
from caffdet_cli.evaluation.detector import detect, evaluate, to_categories
from caffdet_cli.inference.device import How, choose_device
from caffdet_cli.paths import fresh_folder, friendly_writes, numbered_folder, write_text
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.load import load_config
from caffdet_cli.visualization.show import visualize_set
from caffdet_cli.weights.load import load_detector

MODELS = {"rgb": "lite-dino-demo-rgb", "ir": "lite-dino-demo-ir", "pair": "caff-lite-dino-demo"}
TITLES = {"rgb": "RGB alone", "ir": "infrared alone", "pair": "the pair"}
_DRAWN = 12  # pairs


@dataclass(frozen=True)
class DemoReport:
    """AP on the validation pairs, 0..1, and the time it all took."""

    pair: float
    rgb_alone: float
    ir_alone: float
    pair_without_rgb: float
    pair_without_ir: float
    seconds: float


def run_demo(
    output: str | Path | None = None,
    *,
    seed: int | None = None,
    data_root: str | Path | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    overwrite: bool = False,
    watches: Callable[[str], Watch] = lambda title: Watch(Bars()),
    progress: Progress | None = None,
) -> tuple[Path, DemoReport]:
    """Make the data, train, evaluate, draw, report.

    Args:
        output: folder of everything; None: `runs/demo-<number>`.
        seed: of the three trainings; None: the recipe's.
        data_root: a data set of this form; None: the built-in one, made at first use.
        overrides: `dotted.key=value`, for all three.
        watches: how each training is shown, by its title.

    Returns:
        The folder, and the figures of its `report.json`.
    """
    begun, progress = time.monotonic(), progress or Bars()
    folder = Path(output) if output is not None else numbered_folder(Path("runs"), "demo")
    fresh_folder(folder, overwrite)
    with friendly_writes(folder):
        (folder / "report.json").unlink(missing_ok=True)  # it would tell of other runs than those beside it
    root = Path(data_root) if data_root is not None else demo_root(progress)
    said = [*overrides, *([] if seed is None else [f"train.seed={seed}"])]
    for number, (spectra, model) in enumerate(MODELS.items(), start=1):
        job = new_job("demo", model=model, output=folder / spectra, data_root=root, overwrite=overwrite, overrides=said)
        run(job, device, watches(f"{number}/{len(MODELS)} {TITLES[spectra]}"))
    report = evaluate(
        str(folder / "pair"),
        "demo",
        data_root=root,
        against=(str(folder / "rgb"), str(folder / "ir")),
        device=device,
        batch=8,
        workers=0,
        progress=progress,
    )
    _draw(folder, root, device, overwrite, progress)
    figures = DemoReport(
        pair=report.spectra["pair"].ap,
        rgb_alone=report.against["rgb"].ap,
        ir_alone=report.against["ir"].ap,
        pair_without_rgb=report.spectra["ir"].ap,
        pair_without_ir=report.spectra["rgb"].ap,
        seconds=round(time.monotonic() - begun, 1),
    )
    write_text(folder / "report.json", json.dumps({"schema": 1, **asdict(figures)}, indent=2) + "\n")
    return folder, figures


def _draw(folder: Path, root: Path, device: str, overwrite: bool, progress: Progress) -> None:
    """Ground truth and detections of the first validation pairs."""
    data = load_config(dataset="demo").config.data
    _, annotations = load_split(data, "val", root)
    few = type(annotations)(
        annotations.examples[:_DRAWN], annotations.categories, annotations.label_spectrum, annotations.source
    )
    loaded = load_detector(str(folder / "pair"))
    found, conventions = detect(loaded, few, data, "pair", How(choose_device(device)), progress)
    named = to_categories(found, conventions, few)
    visualize_set(
        few, folder / "pictures", predictions=named, thermal=conventions.thermal, overwrite=overwrite, progress=progress
    )
