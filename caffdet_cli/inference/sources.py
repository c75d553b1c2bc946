"""Pictures to look at: single files, folders and lists, paired by name."""

from collections.abc import Iterable
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, no_objects
from caffdet_cli.data.formats.hostile import LARGEST_LIST, read_bytes
from caffdet_cli.data.formats.layout import PICTURES, entries
from caffdet_cli.data.images import picture_size
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.conventions import Conventions


def picture_set(rgb: Path | None, ir: Path | None, conventions: Conventions) -> tuple[AnnotationSet, list[str]]:
    """Pictures as examples without objects.

    Args:
        rgb, ir: a picture, a folder, or a text file with a path per line; None: this spectrum is missing.

    Returns:
        The examples by name, and the names of those without a partner (they are examples all the same).

    Raises:
        DatasetError: nothing is there, or a name occurs twice.
    """
    if rgb is None and ir is None:
        raise DatasetError("there is no picture to look at; give --rgb PATH, --ir PATH or both")
    places: dict[Spectrum, Path | None] = {"rgb": rgb, "ir": ir}
    sides = {
        spectrum: _by_name(_pictures(place), spectrum) if place is not None else {}
        for spectrum, place in places.items()
    }
    if len(sides["rgb"]) == len(sides["ir"]) == 1:  # two single pictures are a pair, whatever their names
        sides["ir"] = dict(zip(sides["rgb"], sides["ir"].values(), strict=True))
    names = sorted(sides["rgb"].keys() | sides["ir"].keys())
    lonely = [name for name in names if not (name in sides["rgb"] and name in sides["ir"])] if rgb and ir else []
    if lonely and len(lonely) == len(names):
        raise DatasetError(
            f"not one picture of {rgb} has a partner of its name in {ir} (for example {lonely[0]}); "
            "rename them, or write two lists that name the pictures of each pair alike"
        )
    examples = tuple(_example(name, sides["rgb"].get(name), sides["ir"].get(name), conventions) for name in names)
    categories = [Category(slot, name) for slot, name in enumerate(conventions.classes) if name is not None]
    return AnnotationSet(examples, tuple(categories), conventions.label_spectrum, rgb or ir or Path()), lonely


def _example(name: str, rgb: Path | None, ir: Path | None, conventions: Conventions) -> Example:
    first, second = (rgb, ir) if conventions.label_spectrum == "rgb" else (ir, rgb)
    height, width = picture_size(first or second or Path())
    return Example(name, rgb, ir, width, height, no_objects())


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


def _by_name(paths: Iterable[Path], spectrum: str) -> dict[str, Path]:
    """Files by name without what differs between the spectra."""
    named: dict[str, Path] = {}
    for path in paths:
        name = common_name(path.stem)
        if name in named:
            raise DatasetError(f"{named[name]} and {path} ({spectrum}) have the same name; pairs are found by name")
        named[name] = path
    return named


def common_name(stem: str) -> str:
    """The part of a file name that both pictures of a pair share: without `_RGB`, `_PreviewData` and the like."""
    for ending in ("_PreviewData", "_visible", "_infrared", "_thermal", "_RGB", "_rgb", "_IR", "_ir", "_lwir", "_co"):
        if stem.endswith(ending) and len(stem) > len(ending):
            return stem[: -len(ending)]
    return stem
