"""How a training run tells what it is doing; whoever starts it decides how it looks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from caffdet_cli.progress import Progress

if TYPE_CHECKING:
    from caffdet_cli.evaluation.coco import CocoReport


class Moment(NamedTuple):
    """A run after one step."""

    epoch: int  # from 1
    epochs: int
    step: int  # of this epoch, from 1
    steps: int
    loss: float
    lr: float
    seconds_left: float  # of the whole run, without validation
    terms: dict[str, float]  # weighted loss terms of the last decoder layer


class Watch:
    """Says an epoch's result through a `Progress`; commands bring a live table."""

    def __init__(self, progress: Progress | None = None):
        self.progress = progress or Progress()

    def filled(self, rows: Sequence[tuple[str, int, str]]) -> None:
        """Before the first step of a run that starts from weights: part, number of tensors, what became of them."""
        for part, number, fate in rows:
            self.progress.say(f"starting weights: {part}: {number} tensors {fate}")

    def started(self, folder: str, parameters: int, pictures: int, device: str) -> None:
        """Before the first step."""
        self.progress.say(
            f"training {parameters / 1e6:.1f} M parameters on {pictures} pictures ({device}); run folder {folder}"
        )

    def stepped(self, moment: Moment) -> None:
        """After every step."""

    def validating(self) -> Progress:
        """What validation reports to."""
        return self.progress

    def validated(self, epoch: int, loss: float, report: "CocoReport | None") -> None:
        """After every epoch; `report` where it was validated."""
        score = f", AP {100 * report.ap:.1f}, AP50 {100 * report.ap50:.1f}" if report else ""
        self.progress.say(f"epoch {epoch}: loss {loss:.3f}{score}")

    def finished(self) -> None:
        """After the last step, or when the run is stopped."""
