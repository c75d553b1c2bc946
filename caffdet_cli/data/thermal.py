"""Counts of a picture to the range a model sees. The rule is stored with the weights (`settings.Conventions.thermal`).

- 8-bit pictures, rgb or ir, stay as they are (uint8); they are divided by 255 after the geometry, whatever the rule.
- Infrared pictures of any other depth are computed in float32 by the rule, and clipped to 0..1:
  `range`       (count - low) / (high - low), the same for every picture: keeps absolute temperature; low and high
                may be degrees of a radiometric camera;
  `percentile`  low and high are percentiles of the counts of this picture;
  `per-image`   low and high are the smallest and largest count of this picture;
  `camera`      a `range` that is measured on the data set (`fixed_rule` in `camera_range.py`).
  All channels of a picture share low and high. A picture without contrast becomes 0.
- Visible pictures of other depth: whole numbers are divided by the largest of their type, floating point is taken as
  0..1 and clipped.
- One channel is repeated three times. Counts that are not finite become 0 (NaN, -inf) or 1 (inf) and do not count for
  percentiles.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import FixedThermal, PercentileRule, PerImageRule, RangeRule, Thermal


def to_model_range(
    picture: NDArray[Any], spectrum: Spectrum, rule: FixedThermal
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """A picture as `read_picture` returns it, (h, w) or (h, w, 3), as (h, w, 3): uint8, or float32 in 0..1."""
    return three_channels(to_range(picture, spectrum, rule))


def to_range(picture: NDArray[Any], spectrum: Spectrum, rule: FixedThermal) -> NDArray[np.uint8] | NDArray[np.float32]:
    """The same with the channels that the picture has."""
    if picture.dtype == np.uint8:
        return picture
    return by_rule(picture, rule) if spectrum == "ir" else _visible(picture)


def by_rule(counts: NDArray[Any], rule: FixedThermal) -> NDArray[np.float32]:
    """Thermal counts of any shape to float32 in 0..1 by `rule`."""
    values = counts.astype(np.float32)
    low, high = limits(values, rule)
    if not low < high:
        return np.zeros_like(values)
    scaled = (values - np.float32(low)) / np.float32(high - low)
    return _clipped(scaled)


def limits(counts: NDArray[np.float32], rule: FixedThermal) -> tuple[float, float]:
    """The counts that become 0 and 1; equal where a picture has no contrast or no finite count."""
    if isinstance(rule, RangeRule):
        return rule.counts
    finite = counts[np.isfinite(counts)]
    if finite.size == 0:
        return 0.0, 0.0
    match rule:
        case PercentileRule():
            low, high = np.percentile(finite, (rule.low, rule.high))
        case PerImageRule():
            low, high = finite.min(), finite.max()
    return float(low), float(high)


def described(rule: Thermal) -> str:
    """A rule in a few words: `percentile (low 1, high 99)`."""
    values: dict[str, Any] = rule.model_dump(mode="json", exclude_none=True)
    name = values.pop("name")
    details = ", ".join(f"{key} {value:g}" for key, value in values.items() if value or key in ("low", "high"))
    return f"{name} ({details})" if details else str(name)


def three_channels(picture: NDArray[Any]) -> NDArray[Any]:
    """(h, w) repeated to (h, w, 3); three channels stay."""
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def _visible(picture: NDArray[Any]) -> NDArray[np.float32]:
    values = picture.astype(np.float32)
    if np.issubdtype(picture.dtype, np.integer):
        values /= np.float32(np.iinfo(picture.dtype).max)
    return _clipped(values)


def _clipped(values: NDArray[np.float32]) -> NDArray[np.float32]:
    finite: NDArray[np.float32] = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    return finite.clip(0.0, 1.0)
