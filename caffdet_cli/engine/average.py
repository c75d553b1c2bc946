"""A moving average of a detector's weights, torch's own; every tensor counts once, whatever names a file gives it."""

from typing import Any

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from caffdet_cli.errors import WeightsError
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings.train import Average


class MovingAverage:
    """Follows a detector step by step, from an epoch on."""

    def __init__(self, detector: Detector, settings: Average):
        self.average = AveragedModel(detector, multi_avg_fn=get_ema_multi_avg_fn(settings.decay))  # type: ignore[no-untyped-call]  # torch has no types here
        self.average.requires_grad_(False)
        self.first_epoch = settings.first_epoch

    def update(self, detector: Detector, epoch: int) -> None:
        """After a step of this epoch, counted from 0."""
        if epoch >= self.first_epoch:
            self.average.update_parameters(detector)

    @property
    def started(self) -> bool:
        return int(self.average.n_averaged) > 0

    @property
    def detector(self) -> Detector:
        """The detector with the averaged weights."""
        assert isinstance(self.average.module, Detector)
        return self.average.module

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {"steps": int(self.average.n_averaged), "weights": self.detector.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """The reverse of `state`.

        Raises:
            WeightsError: it is not the state of such an average.
        """
        try:
            self.detector.load_state_dict(state["weights"])
            self.average.n_averaged.fill_(state["steps"])
        except (KeyError, TypeError, RuntimeError, AttributeError) as error:
            raise WeightsError("the moving average in the checkpoint is broken; start the run again") from error
