"""Where the pictures of a COCO file are, and of which spectrum: seen from names, and tried on the disk."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from caffdet_cli.data.formats.coco_names import PictureFolders, pair_of
from caffdet_cli.data.formats.layout import PICTURES
from caffdet_cli.data.images import read_picture
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

WORDS: dict[Spectrum, frozenset[str]] = {
    "rgb": frozenset({"rgb", "visible", "vis", "vi", "visual", "color", "colour", "co"}),
    "ir": frozenset({"ir", "infrared", "thermal", "lwir", "tir", "mwir", "swir", "nir", "previewdata"}),
}
"""Parts of folder and file names, in small letters."""

DEEPEST = 4  # folders inside each other
MOST_FOLDERS = 500
_NOWHERE = Path("\x01")  # a folder that nothing is in


class Found(NamedTuple):
    """The picture folders of one annotation file, and what is in them."""

    rgb: Path | None  # folder that the file's names are relative to
    ir: Path | None
    pictures: dict[Spectrum, list[Path]]  # that are there, of the records that were tried
    guesses: tuple[str, ...]


def folders_in(source: Path) -> list[Path]:
    """The folder and those inside it, the outer ones first; hidden ones and links left out."""
    found, level = [source], [source]
    for _ in range(DEEPEST):
        level = [folder for parent in level for folder in _inside(parent)][:MOST_FOLDERS]
        found += level
    return found[:MOST_FOLDERS]


def find_pictures(
    source: Path, records: Sequence[dict[str, Any]], beside: Path, split: str, *, certain: bool = False
) -> Found:
    """Look for the pictures that `records` of a COCO file name.

    Args:
        records: image records, a handful.
        beside: the file's folder, or what `info.root` makes of it.
        split: its name in a folder's path tells which of two that fit is meant.
        certain: names are relative to `beside`, and each says its spectrum: a file of caffdet's own form.

    Raises:
        DatasetError: a name leads out of its folder, or no picture is anywhere.
    """
    if certain:
        return _certain(records, beside)
    places = list(dict.fromkeys([beside, *folders_in(source)]))
    best: dict[Spectrum, tuple[Path, list[Path]]] = {}
    guesses: list[str] = []
    both: tuple[Spectrum, ...] = ("rgb", "ir")
    for spectrum in both:
        tried = [(place, _there(place, spectrum, records)) for place in places]
        fitting = [(place, there) for place, there in tried if there and _may_be(there[0], source, spectrum)]
        if fitting:
            best[spectrum] = _best(fitting, source, spectrum, split)
    if best.get("rgb", (None, []))[1] == best.get("ir", (None, []))[1]:  # one file under both: names do not tell
        best = _by_content(best, source, guesses)
    if not best:
        name = records[0].get("file_name") if records else None
        raise DatasetError(f"{beside}: pictures such as {name!r} are nowhere in {source}; put them there")
    rgb, ir = best.get("rgb"), best.get("ir")
    pictures: dict[Spectrum, list[Path]] = {spectrum: there for spectrum, (_, there) in best.items()}
    return Found(rgb and rgb[0], ir and ir[0], pictures, tuple(guesses))


def spectrum_of(path: Path, source: Path) -> Spectrum | None:
    """What the name of a picture and of its folders says, the last word first; None where it says nothing."""
    parts = path.relative_to(source).parts if path.is_relative_to(source) else path.parts
    for part in reversed(parts):
        words = set(re.split(r"[^a-z]+", part.lower()))
        said: list[Spectrum] = [spectrum for spectrum, known in WORDS.items() if words & known]
        if len(said) == 1:
            return said[0]
    return None


def looks_thermal(path: Path) -> bool:
    """Whether a picture has no colour, or more than 8 bits."""
    picture = read_picture(path)
    if picture.dtype != np.uint8 or picture.ndim == 2:
        return True
    return bool(int(np.ptp(picture.astype(np.int16), axis=2).max()) <= 2)


def _certain(records: Sequence[dict[str, Any]], root: Path) -> Found:
    folders = PictureFolders(root, root, paired_form=True)
    pairs = [pair_of(record, folders, f"images[{number}]") for number, record in enumerate(records)]
    rgb, ir = ([path for path in paths if path is not None and path.is_file()] for paths in zip(*pairs, strict=True))
    pictures: dict[Spectrum, list[Path]] = {}
    if rgb:
        pictures["rgb"] = rgb
    if ir:
        pictures["ir"] = ir
    if not pictures:
        raise DatasetError(f"{root}: pictures such as {records[0].get('file_name')!r} are not there; put them there")
    return Found(root, root, pictures, ())


def _there(place: Path, spectrum: Spectrum, records: Sequence[dict[str, Any]]) -> list[Path]:
    """The pictures of one spectrum that exist if names are relative to `place`."""
    if spectrum == "rgb":
        folders = PictureFolders(place, _NOWHERE, paired_form=False)
    else:
        folders = PictureFolders(_NOWHERE, place, paired_form=False)
    both = (pair_of(record, folders, f"images[{number}]") for number, record in enumerate(records))
    paths = [pair[0 if spectrum == "rgb" else 1] for pair in both]
    return [path for path in paths if path is not None and path.suffix.lower() in PICTURES and path.is_file()]


def _may_be(path: Path, source: Path, spectrum: Spectrum) -> bool:
    return spectrum_of(path, source) in (spectrum, None)


def _best(
    fitting: Sequence[tuple[Path, list[Path]]], source: Path, spectrum: Spectrum, split: str
) -> tuple[Path, list[Path]]:
    return max(fitting, key=lambda one: _fitness(one[0], one[1], source, spectrum, split))


def _fitness(
    place: Path, there: list[Path], source: Path, spectrum: Spectrum, split: str
) -> tuple[int, bool, bool, int]:
    """The more pictures the better, then names that say spectrum and split, then the shorter path."""
    inside = there[0].relative_to(source) if there[0].is_relative_to(source) else there[0]
    words = re.split(r"[^a-z]+", str(inside).lower())
    return len(there), spectrum_of(there[0], source) == spectrum, split in words, -len(place.parts)


def _by_content(
    best: dict[Spectrum, tuple[Path, list[Path]]], source: Path, guesses: list[str]
) -> dict[Spectrum, tuple[Path, list[Path]]]:
    """One folder that could be of either spectrum: its pictures tell."""
    if not best:
        return {}
    place, there = next(iter(best.values()))
    spectrum = spectrum_of(there[0], source)
    if spectrum is None:
        spectrum = "ir" if looks_thermal(there[0]) else "rgb"
        reason = "has no colour" if spectrum == "ir" else "has colour"
        guesses.append(f"the pictures are {spectrum}, because {there[0].name} {reason}")
    return {spectrum: (place, there)}


def _inside(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            names = sorted(one.name for one in found if one.is_dir(follow_symlinks=False) and one.name[:1] != ".")
    except OSError:
        return
    yield from (folder / name for name in names)
