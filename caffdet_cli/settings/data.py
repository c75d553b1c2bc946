"""Where a data set's files are and what they mean."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticKnownError

from caffdet_cli.settings.base import Settings, Spectrum


class RangeRule(Settings):
    """Thermal counts from `low` to `high` become 0..1; what lies outside is clipped.

    Of a radiometric camera `low` and `high` may be degrees: degrees = count * `degrees_per_count` + `degrees_at_zero`.
    """

    name: Literal["range"] = "range"
    low: float = 0.0
    high: float = 65535.0
    degrees_per_count: Annotated[float, Field(ge=0)] = 0.0
    """0: `low` and `high` are counts. Many cameras write 0.01 or 0.04 kelvin a count."""
    degrees_at_zero: float = 0.0
    """Degrees of count 0: -273.15 where counts are of kelvin, and `low` and `high` of Celsius."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "RangeRule":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        if self.degrees_at_zero and not self.degrees_per_count:
            raise ValueError("degrees_at_zero says nothing without degrees_per_count")
        return self

    @property
    def counts(self) -> tuple[float, float]:
        """`low` and `high` as counts."""
        if not self.degrees_per_count:
            return self.low, self.high
        low, high = ((degrees - self.degrees_at_zero) / self.degrees_per_count for degrees in (self.low, self.high))
        return low, high


class PercentileRule(Settings):
    """Per picture: the counts between two percentiles become 0..1."""

    name: Literal["percentile"] = "percentile"
    low: Annotated[float, Field(ge=0, lt=100)] = 1.0
    high: Annotated[float, Field(gt=0, le=100)] = 99.0

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "PercentileRule":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        return self


class PerImageRule(Settings):
    """Per picture: its smallest count becomes 0, its largest 1."""

    name: Literal["per-image"] = "per-image"


class CameraRule(Settings):
    """One range for all pictures of a camera: percentiles of the counts of many training pictures, measured once.

    What is stored with the weights is the `range` that was found.
    """

    name: Literal["camera"] = "camera"
    low: Annotated[float, Field(ge=0, lt=100)] = 0.1
    high: Annotated[float, Field(gt=0, le=100)] = 99.9
    pictures: Annotated[int, Field(ge=1, le=10_000)] = 200
    """At most so many, evenly spaced."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "CameraRule":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        return self


FixedThermal = Annotated[RangeRule | PercentileRule | PerImageRule, Field(discriminator="name")]
"""A rule that needs nothing but the picture."""
Thermal = Annotated[RangeRule | PercentileRule | PerImageRule | CameraRule, Field(discriminator="name")]


def _listed(folders: object) -> object:
    """One folder may be written without a list, and "" for none."""
    if isinstance(folders, str):
        return (folders,) if folders else ()
    if not isinstance(folders, (list, tuple)):
        raise PydanticKnownError("string_type")
    return folders


Folders = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Split(Settings):
    """One part of a data set."""

    annotations: Annotated[tuple[str, ...], Field(min_length=1)]
    """COCO files relative to the root, paired or of one spectrum; the first that exists is read."""
    rgb: Folders = ()
    ir: Folders = ()
    """Picture folders relative to the root, for published annotation files that name pictures without one; the first
    that holds something is taken."""
    names: str = ""
    """A text file relative to the root: only the pictures that it names, one a line, are of the split. Empty: all."""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{64})?$")] = ""
    """Of the names, sorted, each with a newline behind it: another list is refused. Empty: not compared."""


class Data(Settings):
    """One data set."""

    name: str = ""
    root: str = ""
    """Folder of the files; relative to the TOML that says it. Empty: --data-root or $CAFFDET_DATA/name."""
    splits: dict[Literal["train", "val", "test"], Split] = Field(default_factory=dict)
    classes: tuple[str, ...] = ()
    """Class names in the order of the model's outputs; empty: as the annotation file has them."""
    label_spectrum: Spectrum = "ir"
    """The picture in whose pixels the boxes are."""
    rig: str = ""
    """File of the camera rig (`caffdet data align`), by which pictures of one spectrum are warped onto the other's when
    they are read; relative to the TOML that says it. Empty: they fit as they are."""
    thermal: Thermal = PercentileRule()
    """How 16-bit infrared pictures become 0..1; stored with the weights. 8-bit ones are divided by 255."""
    model: str = ""
    """Model that `caffdet train` takes when none is named."""
    recipe: str = ""
    """Recipe that `caffdet train` takes when none is named."""
    licence: str = ""
    homepage: str = ""

    @model_validator(mode="after")
    def _names_are_names(self) -> "Data":
        if self.name and not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", self.name):
            raise ValueError(f"name = {self.name!r}: it names folders; use letters, digits and . _ + - only")
        if twice := [name for name in self.classes if self.classes.count(name) > 1]:
            raise ValueError(f"classes names {twice[0]!r} twice")
        return self
