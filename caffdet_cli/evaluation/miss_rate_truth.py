"""Annotated pedestrians as a miss rate needs them: height, occlusion, what is ignored, and day or night.

COCO files have them as keys of their records (`height`, `occlusion`, `ignore`), the KAIST test set among them; where
one is missing, the box's height is taken, and no occlusion.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import AnnotationSet, Category, Example
from caffdet_cli.data.daylight import part_of
from caffdet_cli.data.formats.hostile import read_json, short
from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.raw_records import Numbered, raw_images, raw_objects

PARTS: tuple[Literal["all", "day", "night"], ...] = ("all", "day", "night")
IGNORED = frozenset(("__ignore__", "ignore", "people", "person?", "person?a", "cyclist"))
"""Labels that are neither found nor missed: groups, unsure cases, and who rides."""

_PEDESTRIANS = ("person", "pedestrian")
_HIGHEST = 1e9  # pixels
_FRAME = re.compile(r"(set\d\d)[/\\_](V\d{3})[/\\_](?:(?:visible|lwir)[/\\_])?(I\d{5})", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture, G objects."""

    id: int | str
    part: Literal["day", "night"] | None  # None where nothing says it
    width: int
    height: int
    boxes: NDArray[np.float64]  # (G, 4) xyxy, pixels
    heights: NDArray[np.float64]  # (G,) pixels
    occlusions: NDArray[np.int64]  # (G,) 0 none, 1 partial, 2 heavy
    ignored: NDArray[np.bool_]  # (G,) whatever the setting
    first: int  # position of the object that has annotation id 0, which a public script loses; -1 for none


@dataclass(frozen=True, eq=False)
class MissRateTruth:
    """The pictures in the order of their ids, and what detections of them must name."""

    frames: tuple[Frame, ...]
    annotations: AnnotationSet
    label: int  # position of the pedestrians in its categories
    names: Mapping[str, int | str]
    """Ids by what else a file of detections may call a picture: KAIST's name for a frame, `set06/V000/I00019`, or the
    name of its file without ending, as `caffdet predict` does; only names of one picture."""

    @property
    def source(self) -> Path:
        return self.annotations.source


def miss_rate_truth(annotations: AnnotationSet) -> MissRateTruth:
    """The pedestrians of a COCO file that was read; its records are looked up once more for their further keys.

    Raises:
        DatasetError: no class is the pedestrians', or a key holds something else than a number.
    """
    annotations = in_order(annotations)
    document: dict[str, Any] = read_json(annotations.source)
    label = pedestrians(annotations.categories, annotations.source)
    records = raw_objects(annotations, document)
    images = raw_images(document)
    called = {example.id: _name(images.get(example.id, {}), example) for example in annotations.examples}
    frames = tuple(
        _frame(annotations, example, own, label, part_of(called[example.id]))
        for example, own in zip(annotations.examples, records, strict=True)
    )
    return MissRateTruth(frames, annotations, label, _names(called))


def in_order(annotations: AnnotationSet) -> AnnotationSet:
    """Pictures by number, or, where an id is a word, as the file has them: the order in which KAIST counts frames."""
    if not all(isinstance(example.id, int) for example in annotations.examples):
        return annotations
    return replace(annotations, examples=tuple(sorted(annotations.examples, key=lambda one: int(one.id))))


def pedestrians(categories: Sequence[Category], source: Path) -> int:
    """Which class counts: person or pedestrian; else the only one that is not ignored by its name; else people.

    Raises:
        DatasetError: none can be told.
    """
    names = [category.name.strip().casefold() for category in categories]
    for name in _PEDESTRIANS:
        if name in names:
            return names.index(name)
    others = [label for label, name in enumerate(names) if name not in IGNORED]
    if "people" in names and len(others) != 1:
        return names.index("people")
    if len(others) == 1:
        return others[0]
    raise DatasetError(
        f"{source}: no class is called person or pedestrian, whose miss rate is wanted; it has "
        f"{', '.join(repr(category.name) for category in categories[:5]) or 'none'}"
    )


def kaist_name(name: str) -> str:
    """`set06/V000/I00019` of all its spellings: with `_`, with a spectrum, with a file's ending."""
    found = _FRAME.search(name)
    return "/".join(found.groups()) if found else name


def is_kaist(name: str) -> bool:
    """Whether it is the name of a frame of KAIST."""
    return kaist_name(name) != name or re.fullmatch(_FRAME, name) is not None


def _names(called: Mapping[int | str, str]) -> dict[str, int | str]:
    short = {key: kaist_name(name) if is_kaist(name) else PurePath(name).stem for key, name in called.items()}
    often = Counter(short.values())
    return {name: key for key, name in short.items() if name and often[name] == 1}


def _name(image: Mapping[str, Any], example: Example) -> str:
    """What says whether it is day: the key of KAIST's file, a file name, or a word as id."""
    said = [image.get(key) for key in ("im_name", "file_name", "file_name_RGB", "file_name_IR")]
    return next((text for text in [*said, example.id] if isinstance(text, str)), "")


def _frame(
    annotations: AnnotationSet,
    example: Example,
    records: Sequence[Numbered],
    label: int,
    part: Literal["day", "night"] | None,
) -> Frame:
    objects = example.objects
    names = [annotations.categories[one].name.strip().casefold() for one in objects.labels.tolist()]
    matters = [own == label or name in IGNORED for own, name in zip(objects.labels.tolist(), names, strict=True)]
    keep = np.flatnonzero(matters)  # cars are no pedestrians: neither counted nor ignored
    chosen = [(records[at], float(objects.boxes[at, 3] - objects.boxes[at, 1])) for at in keep.tolist()]
    source = annotations.source
    heights = [_number(source, record, "height", tall) for record, tall in chosen]
    occlusions = [_number(source, record, "occlusion", 0) for record, _ in chosen]
    flagged = np.array([_is_set(record.content.get("ignore")) for record, _ in chosen], np.bool_)
    ids = [objects.ids[at] for at in keep.tolist()]
    return Frame(
        id=example.id,
        part=part,
        width=example.width,
        height=example.height,
        boxes=objects.boxes[keep],
        heights=np.array(heights, np.float64),
        occlusions=np.array(occlusions, np.int64),
        ignored=flagged | objects.crowd[keep] | (objects.labels[keep] != label),
        first=ids.index(0) if 0 in ids else -1,
    )


def _number(source: Path, record: Numbered, key: str, otherwise: float) -> float:
    value: Any = record.content.get(key)
    if value is None:
        return otherwise
    place = f"{source}: annotations[{record.number}].{key}"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _HIGHEST:
        raise DatasetError(f"{place} is {short(value)}, a number from 0 on is needed")
    if key == "occlusion" and value not in (0, 1, 2):
        raise DatasetError(f"{place} is {short(value)}; it is 0 (none), 1 (partial) or 2 (heavy)")
    return float(value)


def _is_set(flag: object) -> bool:
    return isinstance(flag, (int, float)) and flag == 1
