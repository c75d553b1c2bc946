"""COCO annotation files: our paired form, the published CAFF files as they are, and plain ones of one spectrum.

What cannot be used is left out and written down: objects of unknown pictures or classes, boxes that are no numbers or
have no area. Boxes are not clipped to the picture: evaluation wants them as they are.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco_names import PictureFolders, pair_of
from caffdet_cli.data.formats.coco_rows import Id, Rows, is_id, read_rows
from caffdet_cli.data.formats.hostile import read_json, short
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

FORMAT_VERSION = 1
"""Of the paired form, in `info.caffdet.version`."""

_LARGEST_SIDE = 1_000_000  # pixels


def read_coco(
    path: Path,
    *,
    rgb: Path | None = None,
    ir: Path | None = None,
    label_spectrum: Spectrum = "ir",
    findings: FindingLog | None = None,
) -> AnnotationSet:
    """One annotation file.

    Args:
        rgb, ir: picture folders of published files, which name pictures without one; only one of them: one spectrum.
            Neither, or a file of our own form: `info.root`, else the file's own folder.
        label_spectrum: in whose pixels the boxes are, where the file does not say it (`info.caffdet.label_spectrum`)
            and there are two spectra.
        findings: takes what was left out or repaired.

    Raises:
        DatasetError: unreadable, broken, no such file, nothing usable in it, or a name leads out of its folder.
    """
    findings = FindingLog() if findings is None else findings
    document = _document(path)
    info: Any = document.get("info")
    info = info if isinstance(info, dict) else {}
    own = _own(path, info)
    ours = bool(own) or said_spectrum(info) is not None
    folders = _folders(path, info, own, rgb, ir)
    categories = _categories(path, document["categories"])
    frames = _frames(path, document["images"], folders, findings)
    order = {key: position for position, key in enumerate(frames)}
    rows = read_rows(path, document["annotations"], order, categories, findings, own=ours)
    examples = _examples(list(frames.values()), rows)
    return AnnotationSet(
        examples=examples,
        categories=categories,
        label_spectrum=_label_spectrum(own.get("label_spectrum", label_spectrum), examples),
        source=path,
    )


def said_spectrum(info: dict[str, Any]) -> Spectrum | None:
    """Whose pictures a plain file that caffdet wrote is about, by its `info`; None for files of others."""
    spectrum, made_by = info.get("spectrum"), info.get("made_by")
    if not isinstance(made_by, str) or not made_by.startswith("caffdet "):
        return None
    return "ir" if spectrum == "ir" else "rgb" if spectrum == "rgb" else None


def _document(path: Path) -> dict[str, Any]:
    """The file's object with its three lists."""
    document = read_json(path)
    if not isinstance(document, dict):
        what = "a list of detections or annotations" if isinstance(document, list) else short(document)
        raise DatasetError(f"{path}: a COCO annotation file is a JSON object, this is {what}")
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            state = f"is {short(document[key])}" if key in document else "is missing"
            raise DatasetError(f"{path}: key {key!r} {state}; a COCO annotation file has a list there")
    return document


def _own(path: Path, info: dict[str, Any]) -> dict[str, Any]:
    """What our own form says about itself; empty for other files."""
    if "caffdet" not in info:
        return {}
    own = info["caffdet"]
    if not isinstance(own, dict) or not isinstance(own.get("version"), int):
        raise DatasetError(f"{path}: info.caffdet is {short(own)}; it has a version and a label_spectrum")
    if own["version"] > FORMAT_VERSION:
        raise DatasetError(
            f"{path}: info.caffdet.version is {own['version']}, this caffdet reads up to {FORMAT_VERSION}; update it"
        )
    if own.get("label_spectrum") not in ("rgb", "ir"):
        raise DatasetError(
            f"{path}: info.caffdet.label_spectrum is {short(own.get('label_spectrum'))}, not 'rgb' or 'ir'"
        )
    return own


def _folders(
    path: Path, info: dict[str, Any], own: dict[str, Any], rgb: Path | None, ir: Path | None
) -> PictureFolders:
    if not own and (rgb is not None or ir is not None):
        return PictureFolders(rgb, ir, paired_form=False)
    root = info.get("root", "")
    if not isinstance(root, str) or "\0" in root:
        raise DatasetError(f"{path}: info.root is {short(root)}, a folder is needed")
    folder = path.parent / root
    return PictureFolders(folder, folder, paired_form=bool(own))


def _label_spectrum(said: Spectrum, examples: tuple[Example, ...]) -> Spectrum:
    """What was said, unless there is only the other spectrum."""
    if all(example.ir is None for example in examples) and any(example.rgb for example in examples):
        return "rgb"
    if all(example.rgb is None for example in examples) and any(example.ir for example in examples):
        return "ir"
    return said


def _categories(path: Path, records: list[Any]) -> tuple[Category, ...]:
    found: dict[int, str] = {}
    for number, record in enumerate(records):
        place = f"{path}: categories[{number}]"
        if not isinstance(record, dict):
            raise DatasetError(f"{place} is {short(record)}, an object is needed")
        key, name = record.get("id"), record.get("name")
        if not isinstance(key, int) or isinstance(key, bool):
            raise DatasetError(f"{place}.id is {short(key)}, a whole number is needed")
        if not isinstance(name, str) or not name or _has_surrogate(name):
            raise DatasetError(f"{place}.name is {short(name)}, a class name is needed")
        if found.get(key, name) != name:
            raise DatasetError(
                f"{place}: id {key} is both {short(found[key])} and {short(name)}; give each class its own"
            )
        found[key] = name
    if len(set(found.values())) < len(found):
        name = next(name for name in found.values() if list(found.values()).count(name) > 1)
        raise DatasetError(f"{path}: categories has {short(name)} under several ids; classes are told apart by name")
    return tuple(Category(key, name) for key, name in found.items())


def _has_surrogate(text: str) -> bool:
    """Half a character, which no text file can hold."""
    return any("\ud800" <= sign <= "\udfff" for sign in text)


class _Frame(NamedTuple):
    """An image record."""

    id: Id
    rgb: Path | None
    ir: Path | None
    width: int
    height: int


def _frames(path: Path, records: list[Any], folders: PictureFolders, findings: FindingLog) -> dict[Id, _Frame]:
    frames: dict[Id, _Frame] = {}
    findings.saw(pictures=len(records))
    for number, record in enumerate(records):
        place = f"{path}: images[{number}]"
        if not isinstance(record, dict):
            raise DatasetError(f"{place} is {short(record)}, an object is needed")
        key: object = record.get("id")
        if not is_id(key):
            raise DatasetError(f"{place}.id is {short(key)}, a whole number or a text is needed")
        rgb, ir = pair_of(record, folders, place)
        if key in frames:
            what = f"id {short(key)} is taken by an earlier picture"
            findings.add("duplicate id", f"{path.name}: images[{number}]", what, "dropped", pictures=1)
            continue
        width, height = _side(record, "width", place), _side(record, "height", place)
        frames[key] = _Frame(key, rgb, ir, width, height)
    return frames


def _side(record: dict[str, Any], key: str, place: str) -> int:
    value: Any = record.get(key)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or not 0 < value <= _LARGEST_SIDE:
        raise DatasetError(f"{place}.{key} is {short(value)}, the picture's {key} in pixels is needed")
    return int(value)


def _told(levels: list[int | None]) -> NDArray[np.int64] | None:
    """Occlusions, where the file has some."""
    return np.array([level or 0 for level in levels], np.int64) if any(one is not None for one in levels) else None


def _examples(frames: list[_Frame], rows: Rows) -> tuple[Example, ...]:
    """Pictures with their objects, both in the order of the file."""
    owner = np.array(rows.frames, np.int64)
    order = np.argsort(owner, kind="stable")
    boxes = np.array(rows.boxes, np.float64).reshape(-1, 4)[order]
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array(rows.labels, np.int64)[order]
    areas, crowd = np.array(rows.areas, np.float64)[order], np.array(rows.crowd, np.bool_)[order]
    ids = [rows.ids[row] for row in order]
    levels = [rows.occlusions[row] for row in order]
    corners = [rows.corners[row] for row in order]
    labelled = [rows.labelled[row] for row in order]
    ends = np.searchsorted(owner[order], np.arange(len(frames)), side="right").tolist()
    examples, start = [], 0
    for frame, end in zip(frames, ends, strict=True):
        own = slice(start, end)
        objects = Objects(
            boxes[own],
            labels[own],
            areas[own],
            crowd[own],
            tuple(ids[own]),
            _told(levels[own]),
            tuple(corners[own]) if any(corners[own]) else None,
            tuple(labelled[own]) if any(labelled[own]) else None,
        )
        examples.append(Example(frame.id, frame.rgb, frame.ir, frame.width, frame.height, objects))
        start = end
    return tuple(examples)
