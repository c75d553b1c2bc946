"""How a detector is trained. The defaults are the published recipe of CAFF-Lite-DINO."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from caffdet_cli.settings.base import Settings
from caffdet_cli.settings.model import Positive, Share


class ModalityDropout(Settings):
    """Probability that a training pair loses one spectrum."""

    rgb: Share = 0.0
    ir: Share = 0.0

    @model_validator(mode="after")
    def _something_is_left(self) -> "ModalityDropout":
        if self.rgb + self.ir > 1:
            raise ValueError(f"rgb + ir = {self.rgb + self.ir:g} is more than 1")
        return self


class Augment(Settings):
    """Random changes of training pictures; geometry is shared by both spectra.

    Flip; then either resize the short side to one of `scales`, or (with probability `crop`) resize it to one of
    `crop_scales`, cut a window with sides drawn from `crop_range`, and resize that to one of `scales`.
    """

    flip: Share = 0.5
    scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = tuple(range(480, 801, 32))
    max_side: Positive = 1333
    crop: Share = 0.5
    crop_scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = (400, 500, 600)
    crop_range: tuple[Positive, Positive] = (384, 600)
    fixed_size: tuple[()] | tuple[Positive, Positive] = ()
    """Height and width that every picture gets after the flip, in place of all that; empty: not so."""
    photometric: Literal["none", "caff", "strong", "independent"] = "none"
    """`caff`: one of channel order, brightness, contrast as published for CAFF-DINO. `strong`: one of these or a window
    that overlaps an object, as DINO's strong augmentation. `independent`: mild brightness and contrast changes drawn
    for each spectrum by itself."""
    modality_dropout: ModalityDropout = ModalityDropout()
    pixels: Literal["exact", "fast"] = "exact"
    """`exact`: every step by itself, as published. `fast`: one window and one resize in place of the chain, large JPEG
    pictures decoded at a half, a quarter or an eighth where that is still finer than what is wanted, and grey infrared
    ones as one channel. The same geometry; pictures are a little sharper."""
    cache: str = ""
    """Folder in which `fast` keeps large pictures shrunk to what it needs, for later epochs and runs; empty: none."""

    @model_validator(mode="after")
    def _range_ascends(self) -> "Augment":
        if self.crop_range[0] > self.crop_range[1]:
            raise ValueError(f"crop_range = {list(self.crop_range)} is not ascending")
        return self

    @model_validator(mode="after")
    def _cache_has_a_use(self) -> "Augment":
        if self.cache and self.pixels != "fast":
            raise ValueError("cache keeps pictures that are not exact; it needs pixels = 'fast'")
        return self

    @property
    def finest(self) -> int:
        """The largest short side that a whole picture is resized to."""
        if self.fixed_size:
            return max(self.fixed_size)
        return max(*self.scales, *self.crop_scales) if self.crop else max(self.scales)


class StepSchedule(Settings):
    """The learning rate is multiplied by `factor` after every `drop` epochs."""

    name: Literal["step"] = "step"
    drop: Positive = 30
    factor: Share = 0.1
    one_epoch_late: bool = False
    """Every drop one epoch later, as the published code of Lite-DETR and CAFF-Lite-DINO does it."""


class MultiStepSchedule(Settings):
    """The learning rate is multiplied by `factor` after each of these numbers of epochs."""

    name: Literal["multi-step"] = "multi-step"
    drops: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=1000)] = (33, 45)
    factor: Share = 0.1
    one_epoch_late: bool = False
    """Every drop one epoch later, as the published code of Lite-DETR and CAFF-Lite-DINO does it."""


class OneCycleSchedule(Settings):
    """The learning rate rises along a cosine from a 25th of itself, then falls to a 250,000th; Smith 2018."""

    name: Literal["one-cycle"] = "one-cycle"
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of all steps in which it rises."""


class LinearSchedule(Settings):
    """The learning rate falls linearly to `factor` of itself at the end of training."""

    name: Literal["linear"] = "linear"
    factor: Share = 0.0


Schedule = Annotated[StepSchedule | MultiStepSchedule | OneCycleSchedule | LinearSchedule, Field(discriminator="name")]


class Average(Settings):
    """A moving average of the weights, which is what is validated and kept as the best."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """What is kept of the average at every step; published: 0.9997. 0: no average."""
    first_epoch: Annotated[int, Field(ge=0)] = 0
    """Epochs before it starts."""


class Train(Settings):
    """One training run."""

    weights: str = ""
    """What training starts from; empty: random weights."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    epochs: Positive = 36
    batch: Positive = 2
    workers: Annotated[int, Field(ge=0)] = 4
    """Processes that read pictures, but not more than there are processors; 0: none beside the main one."""
    lr: Annotated[float, Field(gt=0)] = 1e-4
    lr_backbone: Annotated[float, Field(gt=0)] = 1e-5
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    groups: Literal["backbone", "slow-sampling", "no-decay"] = "backbone"
    """Groups of parameters. `backbone`: backbones at `lr_backbone`. `slow-sampling`: besides, sampling offsets and
    references at a tenth of `lr`, as published for Deformable-DETR. `no-decay`: besides, no weight decay on norms and
    biases."""
    clip: Annotated[float, Field(ge=0)] = 0.1
    """Largest norm of the whole gradient; 0: no clipping."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate rises linearly."""
    schedule: Schedule = StepSchedule()
    freeze_backbone: bool = True
    """Train everything but the backbones, as published for CAFF."""
    frozen_drop_path: bool = False
    """Frozen Swin backbones skip blocks in training, as the published code of CAFF-DINO does."""
    average: Average = Average()
    precision: Literal["fp32", "bf16"] = "fp32"
    validate_every: Positive = 1
    """Epochs between two validations; the last epoch is always validated."""
    save_every: Annotated[int, Field(ge=0)] = 0
    """Steps between two saves within an epoch; 0: at the end of each epoch only."""
    augment: Augment = Augment()
