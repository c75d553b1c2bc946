"""How commands talk: results on standard output, progress and messages on standard error.

A terminal gets rich tables and bars; a pipe, a log or TERM=dumb gets plain lines without control characters.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Literal, TextIO

from caffdet_cli.progress import Item, Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

_INTERVAL = 10.0  # seconds between two plain lines of one loop
_INTERVAL_VERBOSE = 2.0


def progress(quiet: bool = False, verbose: bool = False) -> Progress:
    """What a command hands to the library: bars on a terminal, else plain lines; `quiet` leaves only warnings."""
    if quiet:
        return Warnings()
    if wants_rich(sys.stderr):
        return RichBars()
    return Lines(_INTERVAL_VERBOSE if verbose else _INTERVAL)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, to: Literal["stdout", "stderr"] = "stdout"
) -> None:
    """Print a table; columns that hold only numbers are aligned to the right. An empty title is left out."""
    cells = [[clean(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    right = [bool(cells) and all(_is_number(row[index]) for row in cells) for index in range(len(columns))]
    stream = _stream(to)
    if wants_rich(stream):
        _rich_table(title, columns, cells, right, stream)
    else:
        stream.write("\n".join(_plain_table(title, columns, cells, right)) + "\n")


def print_json(value: object) -> None:
    """Write `value` to standard output as one JSON object; NaN has no place in JSON and is a bug of the caller."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def echo(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(f"{clean(text)}\n")


def clean(text: str) -> str:
    """`text` with control characters spelt out: what comes from files must not steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def wants_rich(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that can move its cursor."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    except ValueError:  # closed
        return False


class Warnings(Progress):
    """Nothing but warnings."""

    def warn(self, text: str) -> None:
        print(f"warning: {clean(text)}", file=sys.stderr, flush=True)


class Lines(Warnings):
    """Plain lines; a loop tells how far it is every `interval` seconds, and its end if it took that long."""

    def __init__(self, interval: float = _INTERVAL):
        self._interval = interval

    def say(self, text: str) -> None:
        print(clean(text), file=sys.stderr, flush=True)

    def track(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        total = _length(items) if total is None else total
        start = told = time.monotonic()
        count = 0
        for item in items:
            yield item
            count += 1
            now = time.monotonic()
            if now - told >= self._interval and count != total:
                told = now
                self.say(f"{label}: {_how_far(count, total, now - start)}")
        if (seconds := time.monotonic() - start) >= self._interval:
            self.say(f"{label}: {count} done in {clock(seconds)}")


class RichBars(Progress):
    """Live bars with the time that is left; several loops may run inside each other."""

    def __init__(self) -> None:
        self._console = _console(sys.stderr)
        self._bars: RichProgress | None = None
        self._running = 0

    def say(self, text: str) -> None:
        self._console.print(clean(text), markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self._console.print(f"warning: {clean(text)}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def track(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        bars = self._enter()
        task = bars.add_task(clean(label), total=_length(items) if total is None else total)
        try:
            for item in items:
                yield item
                bars.advance(task)
        finally:
            bars.remove_task(task)
            self._leave()

    def _enter(self) -> "RichProgress":
        """The common display, started by the outermost loop."""
        if self._bars is None:
            self._bars = _bars(self._console)
            self._bars.start()
        self._running += 1
        return self._bars

    def _leave(self) -> None:
        self._running -= 1
        if self._running == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None


def _bars(console: "Console") -> "RichProgress":
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    label = TextColumn("{task.description}", markup=False)
    numbers = (MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    columns = (label, BarColumn(bar_width=None), *numbers) if console.width >= 70 else (label, *numbers)
    return RichProgress(*columns, console=console, transient=True, redirect_stdout=False, expand=console.width >= 70)


def _console(stream: TextIO) -> "Console":
    """A rich console for a terminal; it honours NO_COLOR and the terminal's width by itself."""
    from rich.console import Console

    class PipeHonest(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # told in main.py like every other closed pipe; rich would exit with code 1

    return PipeHonest(file=stream, force_jupyter=False)


def _rich_table(title: str, columns: Sequence[str], cells: list[list[str]], right: list[bool], stream: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(title) if title else None, box=SIMPLE_HEAD, title_justify="left")
    for column, is_right in zip(columns, right, strict=True):
        shown.add_column(Text(column), justify="right" if is_right else "left", overflow="fold")
    for row in cells:
        shown.add_row(*(Text(cell) for cell in row))
    _console(stream).print(shown)


def _plain_table(title: str, columns: Sequence[str], cells: list[list[str]], right: list[bool]) -> list[str]:
    """Lines of a table whose columns are two spaces apart."""
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [title] if title else []
    for row in (list(columns), ["-" * width for width in widths], *cells):
        padded = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return [*lines, ""] if title else lines


def _is_number(text: str) -> bool:
    """Whether a cell is a number, perhaps with a unit of one sign, or stands for a missing one."""
    if text in ("", "-"):
        return True
    try:
        float(text.rstrip("%").replace(",", ""))
    except ValueError:
        return False
    return True


def _how_far(count: int, total: int | None, seconds: float) -> str:
    """`34/120, 1:20 left`."""
    if not total or count >= total:
        return f"{count} after {clock(seconds)}"
    return f"{count}/{total}, {clock(seconds / count * (total - count))} left"


def clock(seconds: float) -> str:
    """Hours where there are any, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _length(items: Iterable[Any]) -> int | None:
    return len(items) if isinstance(items, Sized) else None


def _stream(to: Literal["stdout", "stderr"]) -> TextIO:
    return sys.stdout if to == "stdout" else sys.stderr
