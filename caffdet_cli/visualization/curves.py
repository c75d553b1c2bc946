"""Logs of training as a picture: AP over epochs, and losses below it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffdet_cli.errors import ConfigError, OutputError
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.visualization import text
from caffdet_cli.visualization.axes import Axis, axis_for, epoch_axis
from caffdet_cli.visualization.log import LOSSES, Log, read_logs
from caffdet_cli.visualization.palette import PAPER, Colour
from caffdet_cli.visualization.panel import GREY, LINES, Curve, Entry, Panel, draw_panel, letters, margin_of
from caffdet_cli.visualization.sheet import save_picture
from caffdet_cli.visualization.text import Picture

PICTURE = "curves.png"

_LOSS_WORDS = {"loss": "total loss", "classification": "classification", "box": "box", "giou": "GIoU"}


@dataclass(frozen=True)
class DrawnLogs:
    """What `visualize_logs` has written, and of which logs."""

    picture: Path
    logs: tuple[Log, ...]


def visualize_logs(
    files: Sequence[str | Path], output: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> DrawnLogs:
    """Draw logs of training into `output/curves.png`.

    Args:
        files: a published `log.txt`, a `metrics.jsonl`, or run folders; several are compared.

    Raises:
        ConfigError: none or too many.
        DatasetError: one is missing or no log.
        OutputError, DiskFull: `output` is not empty or cannot be written; nothing is left behind.
    """
    if not 0 < len(files) <= len(LINES):
        raise ConfigError(f"{len(files)} logs; from 1 to {len(LINES)} can be told apart in one picture")
    if output.suffix.lower() in (".png", ".jpg", ".jpeg") and not output.is_dir():
        raise OutputError(f"{output}: --output is the folder that {PICTURE} is written to; give a name without ending")
    fresh_folder(output, overwrite)
    progress = progress or Bars()
    logs = read_logs(files)
    for log in logs:
        for note in log.notes:
            progress.warn(f"{log.path}: {note}")
    with whole_folder(output, overwrite=overwrite) as part:
        save_picture(draw_logs(logs), part / PICTURE)
    return DrawnLogs(output / PICTURE, tuple(logs))


def draw_log(log: Log, width: int = 1200) -> Picture:
    """AP, AP50 and AP75 with the best epoch marked; below them the total loss and its parts."""
    return draw_logs([log], width)


def draw_logs(logs: Sequence[Log], width: int = 1200) -> Picture:
    """One log in detail, or the AP and total loss of several over each other.

    Returns:
        (H, width, 3) RGB.
    """
    if len(logs) == 1:
        panels = [_aps(logs[0]), _losses(logs[0])]
    else:
        panels = [_compared_aps(logs, width), _compared_losses(logs, width)]
    left = max(margin_of(panel, width) for panel in panels)
    pictures = [draw_panel(panel, width, left) for panel in panels]  # epochs one above the other
    edge = np.full((letters(width), width, 3), PAPER, np.uint8)
    return np.concatenate([edge, pictures[0], edge, pictures[1]], axis=0)


def _aps(log: Log) -> Panel:
    """AP of one log; of averaged weights (EMA) only AP itself, dashed."""
    curves, legend = [], []
    for name, colour in (("AP", LINES[0]), ("AP_ema", LINES[0]), ("AP50", LINES[1]), ("AP75", LINES[2])):
        if name not in log.series:
            continue
        dashed, marked = name == "AP_ema", not name.startswith(("AP50", "AP75"))
        curves.append(_curve(log, name, colour, dashed, marked))
        words = "AP of averaged weights (EMA)" if dashed else name
        legend.append(Entry(words + (_best(log, name) if marked else ""), colour, dashed))
    return _ap_panel(f"{log.name}: average precision on the validation split", [log], curves, legend)


def _losses(log: Log) -> Panel:
    """The total loss of one log and its parts; training solid, validation dashed."""
    curves, legend = [], []
    for loss, colour in zip(LOSSES, LINES, strict=False):
        found = [name for name in (f"train_{loss}", f"val_{loss}") if name in log.series]
        curves += [_curve(log, name, colour, name.startswith("val")) for name in found]
        legend += [Entry(_LOSS_WORDS[loss], colour)] if found else []
    return _loss_panel(f"{log.name}: losses; the parts are those of the last decoder layer", [log], curves, legend)


def _compared_aps(logs: Sequence[Log], width: int) -> Panel:
    curves, legend = [], []
    for log, colour in zip(logs, LINES, strict=False):
        curves += [_curve(log, "AP", colour, False, True), _curve(log, "AP_ema", colour, True)]
        name = text.shorten(log.name, letters(width), width // 2)
        legend.append(Entry(f"{name}{_best(log, 'AP')}", colour))
    if any("AP_ema" in log.series for log in logs):
        legend.append(Entry("of averaged weights (EMA)", GREY, dashed=True))
    return _ap_panel("Average precision (AP) on the validation split", logs, curves, legend)


def _compared_losses(logs: Sequence[Log], width: int) -> Panel:
    curves, legend = [], []
    for log, colour in zip(logs, LINES, strict=False):
        curves += [_curve(log, f"{part}_loss", colour, part == "val") for part in ("train", "val")]
        legend.append(Entry(text.shorten(log.name, letters(width), width // 2), colour))
    return _loss_panel("Total loss", logs, curves, legend)


def _ap_panel(title: str, logs: Sequence[Log], curves: list[Curve], legend: list[Entry]) -> Panel:
    if any(curve.mark for curve in curves):
        legend.append(Entry("best epoch", GREY, ring=True))
    y = axis_for(list(_values(curves)), within=(0.0, 1.0))
    return Panel(title, "AP, 0 to 1", _epochs(logs), y, curves, legend, "no AP in this log")


def _loss_panel(title: str, logs: Sequence[Log], curves: list[Curve], legend: list[Entry]) -> Panel:
    for part, words, dashed in (("train", "training", False), ("val", "validation", True)):
        if any(name.startswith(part) for log in logs for name in log.series):
            legend.append(Entry(words, GREY, dashed))
    y = axis_for(list(_values(curves)))
    label = "loss, logarithmic" if y.logarithmic else "loss"
    return Panel(title, label, _epochs(logs), y, curves, legend, "no losses in this log")


def _curve(log: Log, name: str, colour: Colour, dashed: bool = False, marked: bool = False) -> Curve:
    """A series as a line; one that the log lacks is an empty one."""
    best = log.best(name) if marked else None
    mark = None if best is None or best.value is None else (best.epoch, best.value)
    return Curve(log.series.get(name, ()), colour, dashed, mark)


def _best(log: Log, name: str) -> str:
    best = log.best(name)
    return "" if best is None else f", best {best.value:.3f} in epoch {best.epoch}"


def _values(curves: Sequence[Curve]) -> Iterator[float]:
    return (value for curve in curves for _, value in curve.points if value is not None)


def _epochs(logs: Sequence[Log]) -> Axis:
    """The same for both diagrams."""
    return epoch_axis([epoch for log in logs for epoch in (log.epochs[0], log.epochs[-1])])
