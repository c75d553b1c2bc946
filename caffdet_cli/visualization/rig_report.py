"""The rig of a data set: from its pairs to a folder with `rig.toml` and pictures of before and after."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffdet_cli.data.alignment.estimate import Estimate, PairPictures, estimate_rig
from caffdet_cli.data.alignment.fit import Model
from caffdet_cli.data.alignment.points import Point, read_points, rig_from_points
from caffdet_cli.data.alignment.structure import Grey, grey
from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.formats.layout import SPLITS
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.rig import write_rig
from caffdet_cli.data.splits import load_split
from caffdet_cli.data.warp import Floats, matrix_for, warp
from caffdet_cli.errors import DatasetError
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.files import find, names
from caffdet_cli.settings.load import load_data
from caffdet_cli.settings.rig import Rig
from caffdet_cli.visualization.overlay import overlay
from caffdet_cli.visualization.sheet import contact_sheet, save_picture
from caffdet_cli.visualization.text import Picture

PAIRS = 8
"""So many are looked at where nothing else is said."""

_FILE, _BEFORE, _AFTER = "rig.toml", "before.png", "after.png"
_SHEET = 2400  # pixels, longest side


@dataclass(frozen=True)
class Aligned:
    """What `align` has written."""

    estimate: Estimate
    by_hand: bool
    split: str
    pairs: tuple[str, ...]  # that were looked at
    folder: Path
    use: str
    """How to use it: a line for the data set's TOML, or an option."""
    toml: Path | None
    """The data set's own TOML, where that line belongs; None for a shipped one."""

    @property
    def rig(self) -> Rig:
        return self.estimate.rig

    @property
    def file(self) -> Path:
        return self.folder / _FILE

    @property
    def before(self) -> Path:
        return self.folder / _BEFORE

    @property
    def after(self) -> Path:
        return self.folder / _AFTER


def align(
    dataset: str,
    output: Path,
    *,
    data_root: Path | None = None,
    split: str | None = None,
    pairs: int = PAIRS,
    points: Path | None = None,
    moved: Spectrum | None = None,
    model: Model = "homography",
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Aligned:
    """Estimate the rig of a data set, and draw its pairs over each other before and after.

    Args:
        dataset: a shipped name, a TOML file, or a folder with a `dataset.toml`.
        data_root: where its files are; None: what its TOML or `$CAFFDET_DATA` says.
        split: whose pairs to take; None: the first of train, val, test that it has.
        pairs: so many, evenly spread over the split.
        points: a list of points named by hand; None: found in the pictures.
        moved: the spectrum to warp; None: the one that the boxes do not belong to.

    Raises:
        ConfigError, DatasetError: no such data set, no pairs, or they cannot be aligned.
        OutputError, DiskFull: `output` is not empty or cannot be written; nothing is left behind.
    """
    fresh_folder(output, overwrite)
    progress = progress or Bars()
    listed = None if points is None else read_points(points)
    data = load_data(dataset, overrides)
    data = data.model_copy(update={"rig": ""})  # an earlier one may be missing or wrong
    split = split or next((name for name in SPLITS if name in data.splits), None)
    split, annotations = load_split(data, split, place_of(data, data_root, progress), progress)
    chosen = _chosen(annotations, pairs, listed, str(points))
    pictures = _read_all(chosen, needed=listed is not None, progress=progress)
    moved = moved or ("rgb" if annotations.label_spectrum == "ir" else "ir")
    estimate = _estimate(pictures, listed, str(points), moved, model, progress)
    before, after = draw_overlays(pictures, estimate.rig)
    with whole_folder(output, overwrite=overwrite) as part:
        write_rig(estimate.rig, part / _FILE)
        save_picture(before, part / _BEFORE)
        save_picture(after, part / _AFTER)
    toml = None if dataset in {one.name for one in names() if one.kind == "dataset"} else find(dataset, "dataset")
    seen = tuple(pair.name for pair in pictures)
    return Aligned(estimate, listed is not None, split, seen, output, _use(output / _FILE, toml), toml)


def draw_overlays(pairs: Sequence[PairPictures], rig: Rig) -> tuple[Picture, Picture]:
    """Contact sheets of the pairs as they are, the moved picture only brought to the size of the other, and warped."""
    tiles: tuple[list[Picture], list[Picture]] = ([], [])
    for pair in pairs:
        greys = {"rgb": grey(pair.rgb), "ir": grey(pair.ir)}
        moved, fixed = greys.pop(rig.moved), greys.popitem()[1]
        stretch = np.diag([fixed.shape[1] / moved.shape[1], fixed.shape[0] / moved.shape[0], 1.0])
        for row, matrix in zip(tiles, (stretch, matrix_for(rig, _size(moved), _size(fixed))), strict=True):
            row.append(_laid(moved, fixed, matrix, rig.moved))
    captions = [pair.name for pair in pairs]
    before, after = (contact_sheet(row, captions, max_side=_SHEET) for row in tiles)
    return before, after


def _laid(moved: Grey, fixed: Grey, matrix: Floats, spectrum: Spectrum) -> Picture:
    warped = np.asarray(warp(moved, matrix, _size(fixed)), np.float32)
    return overlay(warped, fixed) if spectrum == "rgb" else overlay(fixed, warped)


def _size(picture: Grey) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]


def _chosen(annotations: AnnotationSet, count: int, points: Sequence[Point] | None, source: str) -> list[Example]:
    """The pairs that points name, else some that are evenly spread."""
    whole = [example for example in annotations.examples if example.rgb is not None and example.ir is not None]
    if not whole:
        raise DatasetError(f"{annotations.source} has no example with both an RGB and an infrared picture")
    named = {point.pair: point.line for point in reversed(points or ()) if point.pair}  # the first line of each
    if not named:
        places = np.linspace(0, len(whole) - 1, min(count, len(whole)))
        return [whole[place] for place in dict.fromkeys(np.round(places).astype(int).tolist())]
    known = {called: example for example in reversed(whole) for called in _called(example)}
    for name, line in named.items():
        if name not in known:
            raise DatasetError(
                f"{source}: line {line}: {annotations.source} has no pair {name!r}; name one of its pictures, "
                f"for example {whole[0].name}"
            )
    return list({id(known[name]): known[name] for name in sorted(named, key=lambda name: named[name])}.values())


def _called(example: Example) -> list[str]:
    """What a pair may be called in a list of points."""
    paths = [path for path in (example.rgb, example.ir) if path is not None]
    return [str(example.id), *(name for path in paths for name in (path.name, path.stem))]


def _read_all(examples: Sequence[Example], *, needed: bool, progress: Progress) -> list[PairPictures]:
    """The pairs that can be read; one that cannot is told, or an error where it is `needed`."""
    tried = [_tried(example) for example in progress.track(examples, "reading", total=len(examples))]
    found = [read for read in tried if isinstance(read, PairPictures)]
    for problem in tried:
        if isinstance(problem, DatasetError):
            if needed or not found:
                raise problem
            progress.warn(f"a pair is left out: {problem}")
    return found


def _tried(example: Example) -> PairPictures | DatasetError:
    assert example.rgb is not None
    assert example.ir is not None
    try:
        return PairPictures(example.name, read_picture(example.rgb), read_picture(example.ir))
    except DatasetError as error:
        return error


def _estimate(
    pictures: Sequence[PairPictures],
    points: Sequence[Point] | None,
    source: str,
    moved: Spectrum,
    model: Model,
    progress: Progress,
) -> Estimate:
    from caffdet_cli import __version__

    made_by = f"caffdet {__version__} data align"
    if points is None:
        return estimate_rig(pictures, moved, model=model, made_by=made_by, progress=progress)
    sizes = {(pair.rgb.shape[:2], pair.ir.shape[:2]): pair.name for pair in pictures}
    if len(sizes) > 1:
        raise DatasetError(f"{source}: the pictures of {' and '.join(list(sizes.values())[:2])} are of different sizes")
    ((tall, wide), (ir_tall, ir_wide)) = next(iter(sizes))
    return rig_from_points(
        points, (wide, tall), (ir_wide, ir_tall), moved, model=model, made_by=f"{made_by} --points", source=source
    )


def _use(rig: Path, toml: Path | None) -> str:
    """`rig = "rig.toml"` relative to the TOML that says it, or an option for a shipped data set."""
    if toml is None:
        return f"--set data.rig={os.path.abspath(rig)}"
    there = Path(os.path.relpath(rig, toml.parent))
    called = there if there.parts.count("..") <= 1 else Path(os.path.abspath(rig))
    return f'rig = "{called.as_posix()}"'
