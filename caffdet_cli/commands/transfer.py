"""How a download looks: a live bar with rate and time left on a terminal, a line now and then in a pipe."""

import sys
from typing import TYPE_CHECKING

from caffdet_cli.commands.console import progress as make_progress
from caffdet_cli.commands.console import wants_rich
from caffdet_cli.released.meter import Meter

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_INTERVAL = 10.0  # seconds between two plain lines
_INTERVAL_VERBOSE = 2.0


def make_meter(quiet: bool = False, verbose: bool = False) -> Meter:
    """What a command hands to what fetches files; `quiet` leaves only warnings."""
    if quiet or not wants_rich(sys.stderr):
        return Meter(make_progress(quiet, verbose), _INTERVAL_VERBOSE if verbose else _INTERVAL)
    return BarMeter()


class BarMeter(Meter):
    """A bar that goes when the file is there."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None
        super().__init__(make_progress())

    def begin(self, label: str, size: int | None, done: int) -> None:
        super().begin(label, size, done)
        if label:
            self._bars = _bars()
            self._bars.start()
            self._task = self._bars.add_task(label, total=size, completed=done)

    def moved(self, count: int) -> None:
        self._done += count
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._done)

    def end(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _bars() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as RichProgress

    console = Console(file=sys.stderr)
    numbers = (DownloadColumn(), TransferSpeedColumn(), TextColumn("left"), TimeRemainingColumn())
    label = TextColumn("{task.description}", markup=False)
    columns = (label, BarColumn(bar_width=None), *numbers) if console.width >= 100 else (BarColumn(16), *numbers)
    return RichProgress(*columns, console=console, transient=True, redirect_stdout=False, expand=console.width >= 100)
