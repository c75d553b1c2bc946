"""How training looks: a live table on a terminal, a line now and then in a pipe."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffdet_cli.commands.console import clock, table, wants_rich
from caffdet_cli.commands.console import progress as make_progress
from caffdet_cli.engine.watch import Moment, Watch
from caffdet_cli.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from caffdet_cli.evaluation.coco import CocoReport

_INTERVAL = 10.0  # seconds between two plain lines
_SHOWN = 6  # finished epochs in the live table


def make_watch(quiet: bool = False, verbose: bool = False, title: str = "") -> Watch:
    """What a command hands to training."""
    if quiet or not wants_rich(sys.stderr):
        return LineWatch(make_progress(quiet, verbose), title, 2.0 if verbose else _INTERVAL)
    return LiveWatch(make_progress(), title)


class CommandWatch(Watch):
    """What the displays share."""

    def filled(self, rows: Sequence[tuple[str, int, str]]) -> None:
        table("Starting weights", ["part", "tensors", "what became of them"], rows, to="stderr")


class LineWatch(CommandWatch):
    """Plain lines."""

    def __init__(self, progress: Progress, title: str, interval: float):
        super().__init__(progress)
        self._prefix = f"{title}: " if title else ""
        self._interval = interval
        self._told = time.monotonic()

    def stepped(self, moment: Moment) -> None:
        if time.monotonic() - self._told < self._interval:
            return
        self._told = time.monotonic()
        self.progress.say(
            f"{self._prefix}epoch {moment.epoch}/{moment.epochs}, step {moment.step}/{moment.steps}: "
            f"loss {moment.loss:.3f}, {clock(moment.seconds_left)} left"
        )


class LiveWatch(CommandWatch):
    """A table that is drawn again and again below what was said before."""

    def __init__(self, progress: Progress, title: str):
        from rich.console import Console
        from rich.live import Live

        super().__init__(progress)
        self._title = title
        self._epochs: list[tuple[int, float, CocoReport | None]] = []
        self._moment: Moment | None = None
        self._state = "starting"
        self._live = Live(
            console=Console(file=sys.stderr), get_renderable=self._draw, refresh_per_second=4, transient=True
        )

    def started(self, folder: str, parameters: int, pictures: int, device: str) -> None:
        super().started(folder, parameters, pictures, device)
        self._live.start()

    def stepped(self, moment: Moment) -> None:
        self._moment, self._state = moment, "training"

    def validating(self) -> Progress:
        self._state = "validating"
        return Progress()  # a second live display does not fit below the first

    def validated(self, epoch: int, loss: float, report: "CocoReport | None") -> None:
        self._epochs.append((epoch, loss, report))

    def finished(self) -> None:
        self._live.stop()
        for epoch, loss, report in self._epochs[-1:]:
            super().validated(epoch, loss, report)

    def _draw(self) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        rows = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("epoch", "loss", "AP", "AP50"):
            rows.add_column(column, justify="right")
        for epoch, loss, report in self._epochs[-_SHOWN:]:
            figures = (f"{100 * report.ap:.1f}", f"{100 * report.ap50:.1f}") if report else ("-", "-")
            rows.add_row(str(epoch), f"{loss:.3f}", *figures)
        if (moment := self._moment) is None:
            return Group(Text(f"{self._title} {self._state} ..."), rows)
        terms = "  ".join(f"{name} {value:.3f}" for name, value in moment.terms.items())
        done = (moment.epoch - 1) * moment.steps + moment.step
        head = (
            f"{self._title}  {self._state}: epoch {moment.epoch}/{moment.epochs}, step {moment.step}/{moment.steps}, "
            f"{clock(moment.seconds_left)} left"
        )
        bar = ProgressBar(total=moment.epochs * moment.steps, completed=done)
        return Group(Text(head.strip()), bar, Text(f"loss {moment.loss:.3f}  {terms}  lr {moment.lr:.1e}"), rows)
