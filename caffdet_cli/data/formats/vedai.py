"""VEDAI: vehicles from the air in colour and near infrared (not thermal), with oriented boxes. Unverified.

    Vehicules1024/NNNNNNNN_co.png   Vehicules1024/NNNNNNNN_ir.png
    Annotations1024/annotation1024.txt   fold01.txt  fold01test.txt  ..  fold10.txt  fold10test.txt

or the same with 512. One file annotates all pictures; files may also lie in the folder itself. Its columns:

    picture   centre x, y   orientation   corners x1 x2 x3 x4 y1 y2 y3 y4   class   flags

A picture that a fold lists and no row names is one without vehicles; where no row names any picture, the set is
refused. What class ids mean is not stated with the annotations, and converters that people published disagree: without
a file classes.txt (lines `1 car`) classes are called by their ids.

Source: Razakarivony and Jurie, Vehicle detection in aerial imagery, JVCIR 2016.
"""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.formats.frames import read_frames, report_orphans
from caffdet_cli.data.formats.hostile import LARGEST_LIST, read_bytes, short
from caffdet_cli.data.formats.layout import (
    Frame,
    Frames,
    Raw,
    Request,
    SplitName,
    by_name,
    entries,
    list_files,
    note_unlisted,
    read_list,
    subfolder,
)
from caffdet_cli.data.formats.records import BrokenAnnotation, Corners, RawObject, RawRecord, hull, number
from caffdet_cli.data.images import picture_size
from caffdet_cli.errors import DatasetError

LOOKS = "Vehicules1024/*_co.png and *_ir.png, Annotations1024/annotation1024.txt; or the same with 512"
FOLDS = tuple(f"fold{number:02}" for number in range(1, 11))
IDS = (1, 2, 4, 5, 7, 8, 9, 10, 11, 23, 31)

_FORM = "columns are: picture, centre x, y, orientation, corners x1 x2 x3 x4 y1 y2 y3 y4, class, flags"
_ENDS = ("_co", "_ir")  # of the names of pictures
_COLUMNS = 13  # up to the class; flags follow
_MOST_FLAGS = 4
_OFF_CENTRE = 0.1  # of the box's longer side, from the stated centre to the middle of its corners
_ROUNDING = 2.0  # pixels, more of the same


class _Place(NamedTuple):
    """Where one resolution is."""

    side: int  # pixels of a picture
    pictures: Path
    annotation: Path


def looks_like_vedai(source: Path) -> bool:
    """Whether a folder has this layout."""
    return bool(_places(source))


def read_vedai(request: Request) -> Raw:
    """The fold that `request.variant` says, else the first; without lists all is one split.

    Raises:
        DatasetError: a file has another form, pictures another size, no row is of a picture, or nothing is usable.
    """
    place = _chosen(request)
    names, lists = _class_names(place, request), _lists(place, request)
    records = read_annotation(place.annotation, place.side, names)
    pictures = by_name(place.pictures, [".png"], request)
    shown = {name[:-3] for name in pictures if name.endswith(_ENDS)}
    _check_names(place, records, shown)
    frames = _frames(place, records, pictures, lists, request)

    def look_up(annotation: Path, _picture: Path | None) -> RawRecord:
        return records.get(annotation.name) or RawRecord("", (place.side, place.side), ())

    known = shown | {frame.name for some in frames.values() for frame in some}
    report_orphans([place.annotation / name for name in sorted(records.keys() - known)], request, look_up)
    classes = tuple(dict.fromkeys(names.values())) if names else tuple(map(str, IDS))
    sets = read_frames(frames, request, label_spectrum=request.label_spectrum or "ir", classes=classes, read=look_up)
    fold = f", {request.variant or FOLDS[0]}" if lists else ""
    return Raw(sets, ("rgb", "ir"), release=f"annotation{place.side}.txt{fold}")


def read_annotation(path: Path, side: int, names: dict[int, str]) -> dict[str, RawRecord]:
    """The one annotation file: what it says of each picture.

    Args:
        side: of the pictures, which are square, in pixels.
        names: of class ids; one that is not there is called by its number.

    Raises:
        DatasetError: it is not of the form that the module describes, with the line.
    """
    objects: dict[str, list[RawObject]] = defaultdict(list)
    rows = off = 0
    for line, text in enumerate(_text(path).splitlines(), start=1):
        columns = text.split()
        if not columns:
            continue
        try:
            one, is_off = _row(columns, names)
        except BrokenAnnotation as error:
            raise DatasetError(f"{path}:{line}: {error}; {_FORM}") from error
        objects[columns[0]].append(one)
        rows, off = rows + 1, off + is_off
    if not rows:
        raise DatasetError(f"{path} has no row, so that it is unknown what the pictures show; {_FORM}")
    if off * 2 > rows:
        raise DatasetError(f"{path}: in {off} of {rows} rows the corners do not lie around the centre; {_FORM}")
    return {name: RawRecord("", (side, side), tuple(some)) for name, some in objects.items()}


def _row(columns: list[str], names: dict[int, str]) -> tuple[RawObject, bool]:
    """One object, and whether its corners lie elsewhere than its centre."""
    if not _COLUMNS <= len(columns) <= _COLUMNS + _MOST_FLAGS:
        raise BrokenAnnotation(f"{len(columns)} columns, {_COLUMNS} and flags are needed")
    if not (columns[0].isascii() and columns[0].isdigit()):
        raise BrokenAnnotation(f"the picture is called {short(columns[0])}, a number is needed")
    if not (columns[12].isascii() and columns[12].isdigit() and len(columns[12]) < 10):
        raise BrokenAnnotation(f"the class is {short(columns[12])}, a number is needed")
    name = names.get(int(columns[12]), str(int(columns[12])))
    sides = [number(text) for text in columns[1:12]]
    if None in sides:
        broken = columns[1 + sides.index(None)]
        return RawObject(name, None, f"{short(broken)} among its numbers"), False
    across, down, _, *rest = [side for side in sides if side is not None]
    corners: Corners = tuple(zip(rest[:4], rest[4:], strict=True))
    if not _is_around(corners, across, down):
        what = f"its corners do not lie around its centre {across:g}, {down:g}"
        return RawObject(name, None, what), True
    return RawObject(name, hull(corners), corners=corners), False


def _is_around(corners: Corners, across: float, down: float) -> bool:
    left, top, right, bottom = hull(corners)
    far = _ROUNDING + _OFF_CENTRE * max(right - left, bottom - top)
    middle: list[float] = [sum(one) / 4 for one in zip(*corners, strict=True)]
    return abs(middle[0] - across) <= far and abs(middle[1] - down) <= far


def _places(source: Path) -> list[_Place]:
    """The resolutions that are there, pictures and annotation, the finer one first."""
    found = []
    for side in (1024, 512):
        folders = (subfolder(source, f"Annotations{side}", "annotations"), source)
        files = [folder / f"annotation{side}.txt" for folder in folders if folder is not None]
        pictures = subfolder(source, f"Vehicules{side}") or source
        annotation = next(filter(Path.is_file, files), None)
        if annotation is not None and any(map(_is_picture, entries(pictures))):
            found.append(_Place(side, pictures, annotation))
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() == ".png" and path.stem.endswith(_ENDS)


def _chosen(request: Request) -> _Place:
    """The finest resolution whose pictures have its size: annotations of both may lie beside pictures of one."""
    places = _places(request.source)
    sizes = [_size(place.pictures) or (place.side, place.side) for place in places]  # broken pictures are told later
    fitting = [place for place, size in zip(places, sizes, strict=True) if size == (place.side, place.side)]
    if not fitting:
        (height, width), place = sizes[0], places[0]
        raise DatasetError(
            f"{place.pictures}: pictures have {width}x{height} pixels, {place.annotation} is of "
            f"{place.side}x{place.side}; put the annotation file of the pictures' own size there"
        )
    for other in places:
        if other != fitting[0]:
            _note_other(fitting[0], other, request, fits=other in fitting)
    return fitting[0]


def _note_other(place: _Place, other: _Place, request: Request, *, fits: bool) -> None:
    """Say why an annotation file is not read."""
    why = (
        f"for {other.side} leave {request.place(place.annotation)} out of the folder"
        if fits
        else f"no picture with it has {other.side}x{other.side} pixels"
    )
    request.findings.add("other resolution", request.place(other.annotation), f"{place.side} is read; {why}", "noted")


def _size(folder: Path) -> tuple[int, int] | None:
    """Height and width of the first whole picture; None where there is none."""
    for path in sorted(filter(_is_picture, entries(folder))):
        with suppress(DatasetError):
            return picture_size(path)
    return None


def _check_names(place: _Place, records: dict[str, RawRecord], shown: set[str]) -> None:
    """Rows and pictures have the same names, or every picture would pass for one without vehicles."""
    if not records.keys() & shown:
        raise DatasetError(
            f"{place.annotation}: no row names a picture of {place.pictures}, for example {short(min(records))} and "
            f"{short(min(shown))}; both have the same number, with its zeros"
        )


def _lists(place: _Place, request: Request) -> dict[SplitName, Path]:
    """Of the fold; empty where there are no folds at all."""
    fold = request.variant or FOLDS[0]
    for folder in (place.annotation.parent, request.source):
        if lists := list_files(folder, {"train": (fold,), "test": (f"{fold}test",)}):
            return lists
    if request.variant is not None:
        raise DatasetError(f"there is no {fold}.txt beside {place.annotation} or in {request.source}")
    what = "no fold01.txt; all pictures are one split, train"
    request.findings.add("no official split", request.place(place.annotation), what, "noted")
    return {}


def _frames(
    place: _Place,
    records: dict[str, RawRecord],
    pictures: dict[str, Path],
    lists: dict[SplitName, Path],
    request: Request,
) -> Frames:
    """Frames by split; a frame's annotation is called by the file and its own name."""

    def frame(name: str) -> Frame:
        rgb, ir = pictures.get(f"{name}_co"), pictures.get(f"{name}_ir")
        known = name in records or (lists and (rgb or ir))  # a list says that it belongs to the set
        return Frame(name, rgb, ir, place.annotation / name if known else None)

    names = sorted({name[:-3] for name in pictures if name.endswith(_ENDS)})
    if not lists:
        return {"train": [frame(name) for name in names]}
    frames: Frames = {split: [frame(name) for name in read_list(path, request)] for split, path in lists.items()}
    note_unlisted({name: frame(name) for name in names}, frames, request)
    return frames


def _class_names(place: _Place, request: Request) -> dict[int, str]:
    """The user's own table of class names."""
    for folder in (place.annotation.parent, request.source):
        if (path := folder / "classes.txt").is_file():
            return _read_names(path)
    what = "no classes.txt with lines like `1 car`; classes are called by their ids"
    request.findings.add("classes without names", request.place(place.annotation), what, "noted")
    return {}


def _read_names(path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for line, text in enumerate(_text(path).splitlines(), start=1):
        key, _, name = text.strip().partition(" ")
        if not text.strip():
            continue
        if not (key.isascii() and key.isdigit() and len(key) < 10) or not name.strip():
            raise DatasetError(f"{path}:{line}: {short(text)}; a class id and its name are needed, `1 car`")
        if int(key) in names:
            raise DatasetError(f"{path}:{line}: class id {int(key)} has two names")
        names[int(key)] = name.strip()
    return names


def _text(path: Path) -> str:
    try:
        return read_bytes(path, LARGEST_LIST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start}: text in UTF-8 is needed") from error
