"""Which picture of one camera belongs to which of the other: by name, by a pattern of names, or by time.

| rule | pairs are |
| --- | --- |
| `name` | files of one name, but for what tells the spectra apart: `_RGB`, `_PreviewData`, `_visible`, ... |
| `RGB=IR`, as `*_color.png=*_thermal.tiff` | files in which `*` stands for the same text |
| `time` or `time:SECONDS` | the nearest in time, by the numbers in their names; at most so far apart (0.05) |
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.settings.base import Spectrum

_APART = 0.05  # seconds: one and a half pictures of a video
_NEIGHBOURS = 4  # that are looked at on either side
_DATE = re.compile(
    r"(?<!\d)(?P<date>(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d)[-_.T ]?"
    r"(?P<time>[0-2]\d[-_.:]?[0-5]\d[-_.:]?[0-6]\d)(?:[-_.,]?(?P<fraction>\d{1,9}))?(?!\d)",
    re.ASCII,
)
_KAIST = re.compile(r"(set\d\d)/(V\d{3})/(?:visible|lwir)/(I\d{5})$", re.ASCII)
_EPOCH = re.compile(r"19(\d{14}|\d{17})", re.ASCII)  # 2030 and later in micro- or nanoseconds, not a day before 2000
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_UNITS = {10: 1.0, 13: 1e-3, 16: 1e-6, 19: 1e-9}  # digits of a time since 1970, and what one counts in seconds


Times = NDArray[np.float64]  # (n,) seconds, ascending


class Two(NamedTuple):
    """A pair, or a picture whose partner is missing."""

    rgb: Path | None
    ir: Path | None


def paired(rgb: Sequence[Path], ir: Sequence[Path], rule: str = "name") -> dict[str, Two]:
    """Pairs under the name they share, or their RGB picture has; in the order of names, by time in that of time.

    Raises:
        ConfigError: there is no such rule.
        DatasetError: two files of a spectrum have one name, or no time is in a name.
    """
    if rule == "name":
        return _by_key(rgb, ir, pair_name, pair_name)
    if rule == "time" or rule.startswith("time:"):
        return _by_time(rgb, ir, _seconds(rule))
    if rule.count("=") == 1:
        first, second = (_pattern(side.strip(), rule) for side in rule.split("="))
        return _by_key(rgb, ir, lambda path: path.stem, lambda path: path.stem, first, second)
    raise ConfigError(
        f"--pair-by {rule}: it is name, time, time:SECONDS, or two patterns of file names: '*_rgb.png=*_ir.png'"
    )


def pair_name(path: Path) -> str:
    """How a pair is called: their common name; of KAIST's frames the video too, as its results say it."""
    frame = _KAIST.search(path.with_suffix("").as_posix())
    return "_".join(frame.groups()) if frame else common_name(path.stem)


def common_name(stem: str) -> str:
    """The part of a file name that both pictures of a pair share: without `_RGB`, `_PreviewData` and the like."""
    for ending in ("_PreviewData", "_visible", "_infrared", "_thermal", "_RGB", "_rgb", "_IR", "_ir", "_lwir", "_co"):
        if stem.endswith(ending) and len(stem) > len(ending):
            return stem[: -len(ending)]
    return stem


def time_of(name: str) -> float | None:
    """Seconds that the name of a file tells: a date with a time, or a long number of seconds since 1970; UTC.

    `20260501_142233_250`, `2026-05-01T14-22-33.25`, `1777645353.25`, `1777645353250` (milliseconds, and so on).
    """
    if (found := _DATE.search(name)) and not _EPOCH.fullmatch(found[0]):
        digits = re.sub(r"\D", "", found["date"] + found["time"])
        with suppress(ValueError):  # no such day
            moment = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
            return moment.timestamp() + (float(f"0.{found['fraction']}") if found["fraction"] else 0.0)
    for number in reversed(_NUMBER.findall(name)):
        unit = _UNITS.get(len(number.partition(".")[0]))
        if unit is not None:
            return float(number) * unit
    return None


def _by_key(
    rgb: Sequence[Path],
    ir: Sequence[Path],
    rgb_key: Callable[[Path], str],
    ir_key: Callable[[Path], str],
    rgb_pattern: re.Pattern[str] | None = None,
    ir_pattern: re.Pattern[str] | None = None,
) -> dict[str, Two]:
    first = _keyed(rgb, "rgb", rgb_key, rgb_pattern)
    second = _keyed(ir, "ir", ir_key, ir_pattern)
    return {name: Two(first.get(name), second.get(name)) for name in sorted(first.keys() | second.keys())}


def _keyed(
    paths: Iterable[Path], spectrum: Spectrum, key: Callable[[Path], str], pattern: re.Pattern[str] | None
) -> Mapping[str, Path]:
    """Files by what names their pair; with a pattern those that have its form only."""
    named: dict[str, Path] = {}
    for path in paths:
        match = pattern.fullmatch(path.name) if pattern else None
        if pattern and not match:
            continue
        name = match[1] if match else key(path)
        if name in named:
            raise DatasetError(f"{named[name]} and {path} ({spectrum}) have the same name; pairs are found by name")
        named[name] = path
    return named


def _pattern(text: str, rule: str) -> re.Pattern[str]:
    before, star, after = text.partition("*")
    if not star or "*" in after:
        raise ConfigError(f"--pair-by {rule}: each side has one *, which stands for what both names share")
    return re.compile(re.escape(before) + "(.+)" + re.escape(after), re.DOTALL)


def _seconds(rule: str) -> float:
    text = rule.partition(":")[2]
    if rule == "time":
        return _APART
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ConfigError(f"--pair-by {rule}: {text!r} is no number of seconds from 0 to 3600")
    return seconds


def _by_time(rgb: Sequence[Path], ir: Sequence[Path], apart: float) -> dict[str, Two]:
    """Nearest ones first, each picture in one pair at most."""
    sides = [sorted((_time_of(path), path) for path in side) for side in (rgb, ir)]
    times = [np.array([time for time, _ in side], np.float64) for side in sides]
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, row, column in sorted(_near(times[0], times[1], apart)):
        if row not in partner and column not in taken:
            partner[row] = column
            taken.add(column)
    found = [
        (time, Two(path, sides[1][partner[row]][1] if row in partner else None))
        for row, (time, path) in enumerate(sides[0])
    ]
    found += [(time, Two(None, path)) for column, (time, path) in enumerate(sides[1]) if column not in taken]
    return _named(two for _, two in sorted(found, key=lambda one: one[0]))


def _near(first: Times, second: Times, apart: float) -> Iterable[tuple[float, int, int]]:
    """Gap, position in `first`, position in `second` of all that are near enough, as far as they are neighbours."""
    places = np.searchsorted(second, first)
    for row, place in enumerate(places.tolist()):
        for column in range(max(0, place - _NEIGHBOURS), min(len(second), place + _NEIGHBOURS)):
            gap = abs(float(first[row] - second[column]))
            if gap <= apart:
                yield gap, row, column


def _time_of(path: Path) -> float:
    time = time_of(path.stem)
    if time is None:
        raise DatasetError(
            f"there is no time in the name of {path}; --pair-by time reads 20260501_142233_250 or seconds since 1970"
        )
    return time


def _named(pairs: Iterable[Two]) -> dict[str, Two]:
    named: dict[str, Two] = {}
    for two in pairs:
        path = two.rgb or two.ir
        name = path.stem if path else ""
        if name in named:
            raise DatasetError(f"{path} has the name of another picture; rename it")
        named[name] = two
    return named
