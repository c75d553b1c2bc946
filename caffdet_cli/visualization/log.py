"""Logs of training: the published `log.txt` (DETR, DINO, Lite-DETR, CAFF-DINO) and our `metrics.jsonl`.

Both have one JSON object per line. A line of `log.txt` is an epoch, counted from 0; `metrics.jsonl` has one line for
training and, where the epoch was validated, one for validation, counted from 1. Epochs keep the numbers of the file,
which are those that checkpoints and `best_ep` have.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from caffdet_cli.data.formats.hostile import read_bytes, short
from caffdet_cli.errors import DatasetError

LOSSES = ("loss", "classification", "box", "giou")  # the total, and its parts in the last decoder layer

_IN_FOLDER = ("metrics.jsonl", "log.txt")
_LARGEST = 64 << 20  # bytes; a published log of 300 epochs has 3 MB
_LONGEST = 1 << 20  # bytes of a line; published ones have 10 kB
_MOST_LINES = 100_000
_LAST_EPOCH = 1_000_000
_FARTHEST = 1e30  # a loss beyond it is as good as infinite, and no axis overflows

_APS = ("AP", "AP50", "AP75")
_PUBLISHED = dict(zip(LOSSES, ("loss", "loss_ce", "loss_bbox", "loss_giou"), strict=True))
_KNOWN = (*_APS, *(f"{ap}_ema" for ap in _APS), *(f"{part}_{loss}" for part in ("train", "val") for loss in LOSSES))


class Point(NamedTuple):
    """A figure of one epoch; None: it was written and has no value (AP of -1, a loss of NaN)."""

    epoch: int
    value: float | None


@dataclass(frozen=True)
class Log:
    """What a log says about its epochs.

    `series` has what the file has of `AP`, `AP50`, `AP75` (0 to 1), the same with `_ema` for averaged weights, and
    `train_` and `val_` with `loss` (the weighted sum of all terms), `classification`, `box` and `giou` (unweighted
    where the file has them so). A series has the epochs that were judged.
    """

    path: Path
    name: str
    epochs: tuple[int, ...]  # ascending
    series: Mapping[str, tuple[Point, ...]]
    notes: tuple[str, ...]  # what was odd, a sentence each

    def best(self, ap: str = "AP") -> Point | None:
        """The epoch of the highest AP, the first of equals; None where there is no AP."""
        known = [point for point in self.series.get(ap, ()) if point.value is not None]
        return max(known, key=lambda point: point.value or 0.0, default=None)

    def at(self, series: str, epoch: int) -> float | None:
        """A figure of one epoch."""
        return next((point.value for point in self.series.get(series, ()) if point.epoch == epoch), None)


def read_log(path: str | Path) -> Log:
    """Read a published `log.txt`, our `metrics.jsonl`, or the one that a run folder has.

    Raises:
        DatasetError: it is missing, too large, no log, or has no epochs; with the line where there is one. A last line
            that is cut off is left out with a note, as is one that the next was written behind: the run was killed.
    """
    return read_logs([path])[0]


def read_logs(paths: Sequence[str | Path]) -> list[Log]:
    """`read_log` of several, with names that differ."""
    files = [_file(Path(path)) for path in paths]
    return [_read(file, name) for file, name in zip(files, _names(files), strict=True)]


def to_json(log: Log) -> dict[str, Any]:
    """A log as `caffdet visualize --json` gives it; every series has a value or null for every epoch."""
    values = {name: {point.epoch: point.value for point in points} for name, points in log.series.items()}
    return {
        "name": log.name,
        "file": str(log.path),
        "epochs": len(log.epochs),
        "last_epoch": log.epochs[-1],
        **{key: _best_as_json(log, ap) for key, ap in (("best", "AP"), ("best_ema", "AP_ema"))},
        "notes": list(log.notes),
        "epoch": list(log.epochs),
        "series": {name: [by_epoch.get(epoch) for epoch in log.epochs] for name, by_epoch in values.items()},
    }


def _best_as_json(log: Log, ap: str) -> dict[str, Any] | None:
    best = log.best(ap)
    return None if best is None else {"epoch": best.epoch, "AP": best.value}


def _file(path: Path) -> Path:
    """The log that a path means."""
    if not path.is_dir():
        return path
    for name in _IN_FOLDER:
        if (path / name).is_file():
            return path / name
    raise DatasetError(f"{path} has no {' and no '.join(_IN_FOLDER)}; --log takes a log or a run folder")


def _names(files: Sequence[Path]) -> list[str]:
    """Names that tell logs apart: as little of the path as does, and a number where the same file comes twice."""
    paths = [file.absolute() for file in files]
    parts = [(path.parent if path.name in _IN_FOLDER else path.with_suffix("")).parts for path in paths]
    names = [""] * len(files)
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(set(paths)):
            break
    earlier = [names[:index].count(name) for index, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, earlier, strict=True)]


def _read(file: Path, name: str) -> Log:
    table = _Table(file)
    for number, line in _lines(file, table.notes):
        table.add(number, line)
    return Log(file, name, *table.finish())


def _lines(file: Path, notes: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with their line numbers."""
    content = read_bytes(file, _LARGEST).removeprefix(b"\xef\xbb\xbf")
    if content.count(b"\n") >= _MOST_LINES:
        raise DatasetError(f"{file} has more than {_MOST_LINES} lines; that is no log")
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise DatasetError(f"{file} is empty: there are no epochs to draw")
    first, last, torn = lines[0][0], lines[-1][0], []
    for number, line in lines:
        if len(line) > _LONGEST:
            raise DatasetError(f"{file}: line {number} is longer than {_LONGEST >> 20} MiB; that is no log")
        try:
            value = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:  # ValueError: also bytes that are no text, and huge numbers
            if number == last > first:
                notes.append(f"line {number}, the last one, is cut off, as of a run that was killed; it is left out")
                break
            if number > first and line.lstrip().startswith(b"{"):
                torn.append(number)
                continue
            raise DatasetError(
                f"{file}: line {number} is not JSON; a log has one JSON object per line and epoch"
            ) from error
        if not isinstance(value, dict):
            raise DatasetError(f"{file}: line {number} is {short(value)}, a log has one JSON object per line and epoch")
        yield number, value
    if torn:
        notes.append(f"cut off, as of a run that was killed and went on, and left out: {_listed('line', torn)}")


class _Table:
    """Figures by series and epoch, line by line."""

    def __init__(self, file: Path):
        self._file = file
        self._epochs: dict[int, None] = {}  # in the order of the file, as the figures of a series are
        self._figures: dict[str, dict[int, float]] = {}
        self._latest: dict[str, int] = {}  # kind of line -> its latest epoch
        self._recorded: Point | None = None  # the best that the log itself names
        self._without_epoch = 0
        self._again: list[int] = []  # epochs that the run went back to
        self.notes: list[str] = []

    def add(self, number: int, line: dict[str, Any]) -> None:
        event = line.get("event", "published")
        if "epoch" not in line:
            self._without_epoch += 1  # `--eval` of the published code writes such lines
        elif event in ("published", "epoch", "validation"):
            epoch = self._epoch(number, line["epoch"])
            self._go_back(event, epoch)
            self._epochs[epoch] = None
            for name, key, value in _published(line) if event == "published" else _ours(event, line):
                self._figures.setdefault(name, {})[epoch] = self._number(number, name, key, value)
            self._recorded = _recorded(line) or self._recorded

    def finish(self) -> tuple[tuple[int, ...], dict[str, tuple[Point, ...]], tuple[str, ...]]:
        """Epochs, series and notes."""
        if not self._epochs:
            raise DatasetError(f'{self._file} has no epochs: no line of a log, with "epoch" and figures, is in it')
        if not any(self._figures.values()):
            raise DatasetError(f"{self._file} has neither AP nor losses; is it a log of training?")
        series = {name: _points(name, self._figures[name]) for name in _KNOWN if self._figures.get(name)}
        return tuple(sorted(self._epochs)), series, tuple(self.notes + list(self._oddities(series)))

    def _oddities(self, series: Mapping[str, tuple[Point, ...]]) -> Iterator[str]:
        if self._again:
            again = _epochs(list(dict.fromkeys(self._again)))
            yield f"{again} came again: the run went on from there, and what it wrote last counts"
        if self._without_epoch:
            yield f"lines without an epoch, as an evaluation alone writes them, are left out: {self._without_epoch}"
        gaps = {name: [epoch for epoch, value in points if value is None] for name, points in series.items()}
        for words, aps in (("AP undefined (-1)", True), ("losses not finite", False)):
            where = [f"{name} ({_epochs(epochs)})" for name, epochs in gaps.items() if epochs and _is_ap(name) is aps]
            if where:
                yield f"{words}, drawn as gaps: {', '.join(where)}"
        known = [point.value for point in series.get("AP", ()) if point.value is not None]
        if self._recorded and (self._recorded.value or 0.0) > max(known, default=0.0) + 1e-9:
            epoch, value = self._recorded
            yield f"it names epoch {epoch} with AP {value:.3f} as the best, whose line is not in it"

    def _go_back(self, event: str, epoch: int) -> None:
        """A run that went on from a checkpoint writes its epochs again: what came from there on counts no more."""
        if epoch > self._latest.get(event, -1):
            self._latest[event] = epoch
            return
        self._again.append(epoch)
        written: list[dict[int, Any]] = [self._epochs, *self._figures.values()]
        for by_epoch in written:
            while by_epoch and next(reversed(by_epoch)) >= epoch:
                by_epoch.popitem()
        self._latest = {kind: min(latest, epoch - 1) for kind, latest in self._latest.items()} | {event: epoch}

    def _epoch(self, number: int, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LAST_EPOCH:
            raise DatasetError(
                f"{self._file}: line {number}: epoch = {short(value)} is no whole number from 0 to {_LAST_EPOCH}"
            )
        return value

    def _number(self, line: int, name: str, key: str, value: object) -> float:
        """A finite number, or NaN for one that has no value."""
        if value is None:
            return math.nan
        if key.endswith("_coco_eval_bbox"):
            raise DatasetError(
                f"{self._file}: line {line}: {key} = {short(value)}; "
                f"a log has 12 numbers there, the first three of them {', '.join(_APS)}"
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DatasetError(f"{self._file}: line {line}: {key} = {short(value)} is not a number")
        if not _is_ap(name):
            return float(value) if abs(value) <= _FARTHEST else math.nan
        if value in (-1, math.inf, -math.inf) or value != value:
            return math.nan
        if not 0 <= value <= 1:
            raise DatasetError(f"{self._file}: line {line}: {key} = {short(value)} is not between 0 and 1, as AP is")
        return float(value)


def _published(line: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Name, key and value of the figures of a line of `log.txt`."""
    for prefix, suffix in (("test", ""), ("ema_test", "_ema")):
        key = f"{prefix}_coco_eval_bbox"
        if key in line:
            numbers = line[key]
            whole = isinstance(numbers, list) and len(numbers) >= len(_APS)
            for index, ap in enumerate(_APS):
                yield f"{ap}{suffix}", *((f"{key}[{index}]", numbers[index]) if whole else (key, numbers))
    for prefix, part in (("train", "train"), ("test", "val")):
        for loss, theirs in _PUBLISHED.items():
            for key in (f"{prefix}_{theirs}", f"{prefix}_{theirs}_unscaled"):  # the last one counts
                if key in line:
                    yield f"{part}_{loss}", key, line[key]


def _ours(event: str, line: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """The same of a line of `metrics.jsonl`."""
    part = {"epoch": "train", "validation": "val"}[event]
    named = [(f"{part}_{loss}", loss) for loss in LOSSES] + [(ap, ap) for ap in _APS if event == "validation"]
    yield from ((name, key, line[key]) for name, key in named if key in line)


def _recorded(line: Mapping[str, Any]) -> Point | None:
    """The best epoch so far as the published code writes it; it begins with epoch -1 and AP 0."""
    for prefix in ("", "regular_"):  # `regular_` beside `ema_` and `all_` where there are averaged weights
        epoch, value = line.get(f"{prefix}best_ep"), line.get(f"{prefix}best_res")
        if type(epoch) is int and 0 <= epoch <= _LAST_EPOCH and isinstance(value, float) and 0 < value <= 1:
            return Point(epoch, value)
    return None


def _points(name: str, figures: Mapping[int, float]) -> tuple[Point, ...]:
    return tuple(Point(epoch, None if math.isnan(value) else value) for epoch, value in sorted(figures.items()))


def _is_ap(name: str) -> bool:
    return name.startswith("AP")


def _epochs(epochs: Sequence[int]) -> str:
    return _listed("epoch", epochs)


def _listed(word: str, numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"{word if len(numbers) == 1 else word + 's'} {shown}{more}"
