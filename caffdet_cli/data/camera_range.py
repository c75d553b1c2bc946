"""The range of counts that a thermal camera delivers, measured on the pictures of a data set."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.images import read_picture
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.data import CameraRule, FixedThermal, RangeRule, Thermal

_COUNTS = 1 << 14  # taken of one picture


def fixed_rule(rule: Thermal, annotations: AnnotationSet, progress: Progress | None = None) -> FixedThermal:
    """The rule itself; in place of `camera` the range of counts of the infrared pictures.

    Raises:
        DatasetError: `camera`, and there is no infrared picture of more than 8 bits, or they have no contrast.
    """
    return measured_range(rule, annotations, progress) if isinstance(rule, CameraRule) else rule


def measured_range(rule: CameraRule, annotations: AnnotationSet, progress: Progress | None = None) -> RangeRule:
    """Percentiles `rule.low` and `rule.high` of the counts of evenly spaced pictures.

    Raises:
        DatasetError: as `fixed_rule`.
    """
    paths = [example.ir for example in annotations.examples if example.ir is not None]
    chosen = [paths[at] for at in _evenly_spaced(len(paths), rule.pictures)]
    tracked = (progress or Progress()).track(chosen, "measuring the range of the thermal camera")
    counts = [some for path in tracked if (some := _some_counts(path)) is not None]
    values = np.concatenate(counts) if counts else np.zeros(0, np.float32)
    if not values.size:
        raise DatasetError(
            f"{annotations.source}: data.thermal.name = 'camera' measures infrared pictures of more than 8 bits, and "
            f"there are none among {len(chosen)}; leave the rule out, 8-bit pictures stay as they are"
        )
    low, high = (float(side) for side in np.percentile(values, (rule.low, rule.high)))
    if not low < high:
        raise DatasetError(
            f"{annotations.source}: the infrared pictures have no contrast (every count is {low:g}); "
            "name a range of counts: data.thermal.name = 'range', data.thermal.low, data.thermal.high"
        )
    return RangeRule(low=low, high=high)


def _evenly_spaced(length: int, most: int) -> list[int]:
    """At most so many positions, the first and the last among them."""
    return sorted({round(at) for at in np.linspace(0, length - 1, min(length, most)).tolist()}) if length else []


def _some_counts(path: Path) -> NDArray[np.float32] | None:
    """Finite counts of a picture, evenly spaced; None of 8-bit ones."""
    picture = read_picture(path)
    if picture.dtype == np.uint8:
        return None
    flat = picture.reshape(-1)
    some = flat[:: max(1, -(-flat.size // _COUNTS))].astype(np.float32)
    finite: NDArray[np.float32] = some[np.isfinite(some)]
    return finite
