"""Pictures to look at: single files, folders and lists."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, no_objects
from caffdet_cli.data.formats.hostile import LARGEST_LIST, read_bytes
from caffdet_cli.data.formats.layout import PICTURES, entries
from caffdet_cli.data.images import picture_size
from caffdet_cli.data.warp import onto
from caffdet_cli.errors import DatasetError
from caffdet_cli.inference.pairing import Two, pair_name, paired
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.rig import Rig


class PictureSet(NamedTuple):
    """Pictures as examples without objects, by name."""

    pictures: AnnotationSet
    lonely: list[str]
    """Names of those without a partner; they are examples all the same."""
    left_out: dict[str, str]
    """Those that are none, and why."""


def picture_set(
    rgb: Path | None, ir: Path | None, conventions: Conventions, *, pair_by: str = "name", rig: Rig | None = None
) -> PictureSet:
    """The pictures of one place, or of two.

    Args:
        rgb, ir: a picture, a folder, or a text file with a path per line; None: this spectrum is missing.
        pair_by: how partners are found, as in `pairing`.
        rig: the cameras' geometry; None: their pictures fit as they are.

    Raises:
        ConfigError: no such rule of pairing.
        DatasetError: nothing is there, nothing of it can be read, or a name occurs twice.
    """
    if rgb is None and ir is None:
        raise DatasetError("there is no picture to look at; give --rgb PATH, --ir PATH or both")
    first, second = ([] if place is None else _pictures(place) for place in (rgb, ir))
    if not (rgb and ir):  # nothing to pair: by name, after a look at the rule
        paired([], [], pair_by)
        pairs = paired(first, second)
    elif len(first) == len(second) == 1:  # two single pictures are a pair, whatever their names
        paired([], [], pair_by)
        pairs = {pair_name(first[0]): Two(first[0], second[0])}
    else:
        pairs = paired(first, second, pair_by)
    lonely = [name for name, two in pairs.items() if not (two.rgb and two.ir)] if rgb and ir else []
    if rgb and ir and len(lonely) == len(pairs):
        _nothing_fits(rgb, ir, pair_by, lonely)
    left_out = _without_form([*first, *second], pairs, pair_by)
    examples = [one for name, two in pairs.items() if (one := _example(name, two, conventions, left_out))]
    if not examples:
        raise DatasetError(next(iter(left_out.values())))
    categories = [Category(slot, name) for slot, name in enumerate(conventions.classes) if name is not None]
    turned = None if rig is None else onto(rig, conventions.label_spectrum)
    source = rgb or ir or Path()
    pictures = AnnotationSet(tuple(examples), tuple(categories), conventions.label_spectrum, source, turned)
    return PictureSet(pictures, [name for name in lonely if name not in left_out], left_out)


def _without_form(paths: Iterable[Path], pairs: Mapping[str, Two], pair_by: str) -> dict[str, str]:
    """Pictures that the patterns of a rule pass over."""
    taken = {path for two in pairs.values() for path in two if path is not None}
    return {str(path): f"{path} has not the form of --pair-by {pair_by}" for path in paths if path not in taken}


def _nothing_fits(rgb: Path | None, ir: Path | None, pair_by: str, lonely: list[str]) -> None:
    """Not one pair."""
    if pair_by == "name":
        raise DatasetError(
            f"not one picture of {rgb} has a partner of its name in {ir} (for example {lonely[0]}); rename them, say "
            "how to pair them with --pair-by, or write two lists that name the pictures of each pair alike"
        )
    example = f" (for example {lonely[0]})" if lonely else ""
    raise DatasetError(f"--pair-by {pair_by}: not one picture of {rgb} has a partner in {ir}{example}")


def _example(name: str, two: Two, conventions: Conventions, left_out: dict[str, str]) -> Example | None:
    """None, and a reason in `left_out`, where the picture in whose pixels boxes are cannot be read."""
    first, second = two if conventions.label_spectrum == "rgb" else (two.ir, two.rgb)
    try:
        height, width = picture_size(first or second or Path())
    except DatasetError as error:
        left_out[name] = str(error)
        return None
    return Example(name, two.rgb, two.ir, width, height, no_objects())


def _pictures(place: Path) -> list[Path]:
    """The picture files of a place."""
    if place.is_dir():
        found = sorted(path for path in entries(place) if path.suffix.lower() in PICTURES)
        if not found:
            raise DatasetError(f"the folder {place} has no pictures ({', '.join(sorted(PICTURES))})")
        return found
    if not place.exists():
        raise DatasetError(f"{place} is not there")
    if place.suffix.lower() != ".txt":
        return [place]
    try:
        lines = read_bytes(place, LARGEST_LIST).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{place} is no list of pictures: it is not text") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if name := line.strip():
            found.append(place.parent / name)
            if not found[-1].is_file():
                raise DatasetError(f"{place}, line {number}: {found[-1]} is not there")
    if not found:
        raise DatasetError(f"{place} names no pictures")
    return found
