"""Where pictures at hand are unlike those that a detector was trained on: the cameras' geometry, thermal counts.

Nothing of this is an error, and results look like results; so it is told.
"""

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.thermal import described
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.data import CameraRule, Data, RangeRule
from caffdet_cli.settings.rig import Rig

_LOOKED_AT = 8  # pictures, evenly spaced
_LOST = 0.99  # share of a picture's counts outside of the range from which nothing is to be seen
_BYTE = 255


def tell_unlike(
    conventions: Conventions, annotations: AnnotationSet, data: Data, progress: Progress, whose: str = "the weights"
) -> None:
    """Of a data set that is scored: its rig and its thermal rule, and its pictures, beside those of the weights.

    Args:
        whose: words for the weights.
    """
    _tell_rig(conventions, annotations.rig, progress, whose)
    _tell_rule(conventions, data, progress, whose)
    tell_counts(conventions, annotations, progress, whose)


def tell_counts(
    conventions: Conventions, pictures: AnnotationSet, progress: Progress, whose: str = "the weights"
) -> None:
    """Of infrared pictures that the weights' range of counts makes black or white, or that have none."""
    rule = conventions.thermal
    if "ir" not in conventions.spectra or not isinstance(rule, RangeRule):
        return
    low, high = rule.counts
    paths = [example.ir for example in pictures.examples if example.ir is not None]
    places = np.linspace(0, len(paths) - 1, min(len(paths), _LOOKED_AT)).round().astype(int).tolist()
    read, lost, bytes_only, ends = 0, 0, 0, [np.inf, -np.inf]
    for path in (paths[place] for place in places):
        try:
            picture = read_picture(path)
        except DatasetError:  # told where it is used
            continue
        read += 1
        if picture.dtype == np.uint8:
            bytes_only += 1
            continue
        counts = picture[np.isfinite(picture)]
        if counts.size:
            lost += float(np.mean((counts < low) | (counts > high))) >= _LOST
            ends = [min(ends[0], float(counts.min())), max(ends[1], float(counts.max()))]
    if read and bytes_only == read and high > _BYTE:
        progress.warn(
            f"the infrared pictures have 8 bits, and {whose} were trained on counts by {described(rule)}: "
            "they look different; give the camera's own pictures"
        )
    elif read and lost == read:
        progress.warn(
            f"the infrared pictures have counts from {ends[0]:g} to {ends[1]:g}, and {whose} read them by "
            f"{described(rule)}: nearly nothing is left of them; give pictures of the same camera and unit"
        )


def _tell_rig(conventions: Conventions, rig: Rig | None, progress: Progress, whose: str) -> None:
    trained = conventions.rig
    if trained is None or len(conventions.spectra) < 2:
        return
    if rig is None:
        progress.warn(
            f"{whose} were trained on {trained.moved} pictures that a camera rig warps, and the data set names "
            "none: its pictures are taken as they are; where they are of such cameras, name it: --set data.rig=FILE"
        )
    elif rig != trained:
        progress.say(f"the data set has another camera rig than {whose} were trained with; its own is used")


def _tell_rule(conventions: Conventions, data: Data, progress: Progress, whose: str) -> None:
    said, used = data.thermal, conventions.thermal
    if "ir" in conventions.spectra and not isinstance(said, CameraRule) and said not in (used, Data().thermal):
        progress.warn(
            f"thermal counts are read by the rule of {whose}, {described(used)}, and not by that of the data set, "
            f"{described(said)}: a detector needs what it was trained on"
        )
