"""The one form that annotations have in memory: pictures or pairs, boxes in pixels, labels by class name."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.rig import Rig


class Category(NamedTuple):
    """A class as the annotation file has it."""

    id: int
    name: str


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one picture or pair, in the order of the file."""

    boxes: NDArray[np.float64]  # (n, 4) xyxy, pixels of the label spectrum's picture after EXIF rotation
    labels: NDArray[np.int64]  # (n,) position in AnnotationSet.categories
    areas: NDArray[np.float64]  # (n,) pixels; of the box where the file has no other
    crowd: NDArray[np.bool_]  # (n,) regions that evaluation ignores and training leaves out
    ids: tuple[int | str, ...]  # annotation ids as in the file
    occlusions: NDArray[np.int64] | None = None  # (n,) 0 none, 1 partial, 2 heavy; None: the format does not tell
    corners: tuple[tuple[float, ...] | None, ...] | None = None
    """Of each oriented box x1, y1 .. x4, y4 in the same pixels, None for others; None: there are none."""
    labelled: tuple[tuple[Spectrum, ...], ...] | None = None
    """In which pictures each object was labelled; None: pairs were labelled as one."""

    def __len__(self) -> int:
        return len(self.boxes)

    def where(self, kept: NDArray[np.bool_]) -> "Objects":
        """Those that `kept` (n,) says."""
        rows = np.flatnonzero(kept).tolist()
        return Objects(
            boxes=self.boxes[kept],
            labels=self.labels[kept],
            areas=self.areas[kept],
            crowd=self.crowd[kept],
            ids=tuple(self.ids[row] for row in rows),
            occlusions=None if self.occlusions is None else self.occlusions[kept],
            corners=None if self.corners is None else tuple(self.corners[row] for row in rows),
            labelled=None if self.labelled is None else tuple(self.labelled[row] for row in rows),
        )


@dataclass(frozen=True, eq=False)
class Example:
    """One picture, or one pair of pictures of the same moment."""

    id: int | str  # as in the file
    rgb: Path | None  # None where this spectrum is missing
    ir: Path | None
    width: int  # of the label spectrum's picture
    height: int
    objects: Objects

    @property
    def name(self) -> str:
        """How messages call it."""
        return (self.rgb or self.ir or Path(str(self.id))).name


def label_picture(example: Example, spectrum: Spectrum) -> Path | None:
    """The picture that the boxes are drawn on, which messages are about; its partner where it is missing.

    Args:
        spectrum: the label spectrum.
    """
    first, second = (example.rgb, example.ir) if spectrum == "rgb" else (example.ir, example.rgb)
    return first or second


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """One split of a data set."""

    examples: tuple[Example, ...]
    categories: tuple[Category, ...]  # in the order of the file
    label_spectrum: Spectrum
    source: Path  # the annotation file
    rig: Rig | None = None
    """How the other spectrum's pictures are warped onto those of the label spectrum; None: they fit as they are."""


def no_objects() -> Objects:
    """The objects of a picture without any."""
    return Objects(
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, np.int64),
        areas=np.zeros(0),
        crowd=np.zeros(0, np.bool_),
        ids=(),
    )
