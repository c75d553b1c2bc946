"""KAIST's improved test annotations as one file, `KAIST_annotation.json`: COCO with keys of its own.

    images       id (from 0), im_name "set06/V000/I00019", width, height
    annotations  id (from 0), image_id, category_id, bbox (x y w h), occlusion, ignore

Ids, boxes and the order of both lists stay as they are: lines of published detectors count the frames of this list.
Boxes may reach out of the picture.
Source: Liu et al., Multispectral Deep Neural Networks for Pedestrian Detection, BMVC 2016.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects, no_objects
from caffdet_cli.data.formats.coco_rows import is_id
from caffdet_cli.data.formats.hostile import LARGEST_LIST, read_json, short
from caffdet_cli.data.formats.kaist_index import Named, frame_name
from caffdet_cli.data.formats.kaist_text import IGNORED, PERSON
from caffdet_cli.data.formats.layout import Request, entries
from caffdet_cli.data.formats.records import FARTHEST
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

_NAME = re.compile(r"kaist_annotations?(_\w+)?\.json", re.ASCII | re.IGNORECASE)
_NEITHER = frozenset(("__ignore__", *IGNORED))
_LARGEST_SIDE = 1_000_000  # pixels


def find_kaist_json(*folders: Path | None) -> Path | None:
    """The annotation file in one of the folders.

    Raises:
        DatasetError: there are several.
    """
    found = sorted(
        path for folder in folders if folder is not None for path in entries(folder) if _NAME.fullmatch(path.name)
    )
    if len(found) > 1:
        raise DatasetError(f"{found[0]} and {found[1]} are both annotations of the test split; leave one of them there")
    return found[0] if found else None


def read_kaist_json(path: Path, pictures: Named, request: Request, label_spectrum: Spectrum) -> AnnotationSet:
    """The test split; pictures that are not there are None.

    Raises:
        DatasetError: it is broken, or not of this form.
    """
    document = _document(path)
    frames = _frames(path, document["images"])
    request.findings.saw(pictures=len(frames), boxes=len(document["annotations"]))
    persons = [number for number, name in _names(path, document["categories"]).items() if name == PERSON]
    if len(persons) != 1:
        raise DatasetError(f"{path}: categories have {len(persons)} that are called {PERSON}, one is needed")
    objects = _objects(path, document, frames, request)
    examples = tuple(
        Example(key, pictures.rgb.get(name), pictures.ir.get(name), width, height, _columns(objects.get(key, [])))
        for key, (name, width, height) in frames.items()
    )
    return AnnotationSet(examples, (Category(persons[0], PERSON),), label_spectrum, path)


class _Frame(NamedTuple):
    name: str
    width: int
    height: int


class _Row(NamedTuple):
    """A usable object."""

    id: int | str
    box: tuple[float, float, float, float]  # left, top, width, height
    occlusion: int
    ignored: bool


def _document(path: Path) -> dict[str, Any]:
    document = read_json(path, LARGEST_LIST)
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise DatasetError(
                f"{path}: there is no list {key!r}; KAIST's file has one of images, annotations, categories"
            )
    found: dict[str, Any] = document
    return found


def _frames(path: Path, records: list[Any]) -> dict[int | str, _Frame]:
    frames: dict[int | str, _Frame] = {}
    names: set[str] = set()
    for number, record in enumerate(records):
        place = f"{path}: images[{number}]"
        about = record if isinstance(record, dict) else {}
        key, said = about.get("id"), about.get("im_name")
        name = frame_name(said) if isinstance(said, str) else None
        if name is None:
            raise DatasetError(f"{place}.im_name is {short(said)}; a frame of KAIST is called set06/V000/I00019")
        if not is_id(key):
            raise DatasetError(f"{place}.id is {short(key)}, a whole number is needed")
        if key in frames or name in names:
            raise DatasetError(f"{place}: id {short(key)} or frame {name} was there before; each may be there once")
        frames[key] = _Frame(name, *(_side(about.get(side), f"{place}.{side}") for side in ("width", "height")))
        names.add(name)
    return frames


def _side(value: object, place: str) -> int:
    if type(value) is not int or not 0 < value <= _LARGEST_SIDE:
        raise DatasetError(f"{place} is {short(value)}, a number of pixels is needed")
    return value


def _names(path: Path, records: list[Any]) -> dict[int, str]:
    """Class names in small letters by id."""
    names = {}
    for number, record in enumerate(records):
        about = record if isinstance(record, dict) else {}
        key, name = about.get("id"), about.get("name")
        if type(key) is not int or not isinstance(name, str) or key in names:
            raise DatasetError(
                f"{path}: categories[{number}] is {short(record)}; an id of its own and a name are needed"
            )
        names[key] = name.casefold()
    return names


def _objects(
    path: Path, document: Mapping[str, Any], frames: Mapping[int | str, _Frame], request: Request
) -> dict[int | str, list[_Row]]:
    """Usable objects by picture, in the order of the file; the others are written down."""
    names = _names(path, document["categories"])
    found: dict[int | str, list[_Row]] = {}
    seen: set[int | str] = set()
    for number, record in enumerate(document["annotations"]):
        about = record if isinstance(record, dict) else {}
        key: object = about.get("id")
        picture: Any = about.get("image_id")
        if not is_id(key) or key in seen:
            raise DatasetError(f"{path}: annotations[{number}].id is {short(key)}; each object has a number of its own")
        seen.add(key)
        if not is_id(picture) or picture not in frames:
            row: _Row | tuple[str, str] = ("unknown picture", f"image_id {short(picture)} is not in images")
        else:
            row = _row(key, about, names)
        if isinstance(row, _Row):
            found.setdefault(picture, []).append(row)
        else:
            request.findings.add(row[0], f"{request.place(path)}: annotations[{number}]", row[1], "dropped", boxes=1)
    return found


def _row(key: int | str, record: Mapping[str, Any], names: Mapping[int, str]) -> _Row | tuple[str, str]:
    """An object, or kind of finding and what is wrong with it."""
    label, box = record.get("category_id"), record.get("bbox")
    occlusion, ignore = record.get("occlusion", 0), record.get("ignore", 0)
    name = names.get(label) if type(label) is int else None
    if name != PERSON and name not in _NEITHER:
        return "unknown class", f"category_id {short(label)} is no pedestrian's"
    if not _is_box(box):
        return "broken box", f"bbox {short(box)} is not left, top, width, height"
    if box[2] <= 0 or box[3] <= 0:
        return "box without area", f"bbox {short(box)}"
    if occlusion not in (0, 1, 2) or ignore not in (0, 1):
        return "broken annotation", f"occlusion {short(occlusion)}, ignore {short(ignore)}"
    return _Row(key, (box[0], box[1], box[2], box[3]), int(occlusion), ignore == 1 or name != PERSON)


def _is_box(value: Any) -> TypeGuard[list[float]]:
    """Four numbers; NaN is in no range."""
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(type(side) in (int, float) and -FARTHEST < side < FARTHEST for side in value)
    )


def _columns(rows: list[_Row]) -> Objects:
    if not rows:
        return no_objects()
    boxes = np.array([row.box for row in rows], np.float64)
    areas = boxes[:, 2:].prod(axis=1)
    boxes[:, 2:] += boxes[:, :2]
    return Objects(
        boxes=boxes,
        labels=np.zeros(len(rows), np.int64),
        areas=areas,
        crowd=np.array([row.ignored for row in rows], np.bool_),
        ids=tuple(row.id for row in rows),
        occlusions=np.array([row.occlusion for row in rows], np.int64),
    )
