"""Which frames of KAIST a split has: by the official lists, or by the rule that these were made by.

imageSets/train-all-02.txt   every 2nd frame of sets 00-05, from I00001 on
imageSets/test-all-20.txt    every 20th frame of sets 06-11, from I00019 on
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.formats.hostile import short
from caffdet_cli.data.formats.kaist_index import frame_name, frame_number
from caffdet_cli.data.formats.layout import Request, SplitName, entries, read_list, subfolder
from caffdet_cli.errors import DatasetError

_OFFICIAL: dict[SplitName, str] = {"train": "train-all-02", "test": "test-all-20"}
_EVERY: dict[SplitName, int] = {"train": 2, "test": 20}


class Listed(NamedTuple):
    """Frames of a split, each once."""

    names: list[str]
    ids: Mapping[str, int | str]
    """From 0 on, by the place in the list: lines of published detectors count so, from 1 on."""


def is_listed_by_rule(split: SplitName, name: str) -> bool:
    """Whether the official list of its split has a frame."""
    return frame_number(name) % _EVERY[split] == _EVERY[split] - 1


def listed(split: SplitName, known: Iterable[str], request: Request) -> Listed:
    """Frames in the order of the list; without one those of `known` that the rule takes, by name.

    Raises:
        DatasetError: there are several lists, and none is the official one.
    """
    path = _list(split, request)
    if path is None:
        names = sorted(name for name in known if is_listed_by_rule(split, name))
        what = f"no imageSets/{_OFFICIAL[split]}.txt; every {_EVERY[split]}th frame is taken, as that list has them"
        request.findings.add("split by rule", split, what, "noted")
    else:
        names = _read(path, request)
    return Listed(names, {name: place for place, name in enumerate(names)})


def _list(split: SplitName, request: Request) -> Path | None:
    """The official list, else the only one of the split."""
    folder = subfolder(request.source, "imageSets")
    found = [] if folder is None else sorted(path for path in entries(folder) if _is_list(path, split))
    official = [path for path in found if path.stem == _OFFICIAL[split]]
    if not official and len(found) > 1:
        shown = ", ".join(path.name for path in found[:5])
        raise DatasetError(f"{folder} has several lists of {split}: {shown}; leave one, or add {_OFFICIAL[split]}.txt")
    if not official and found:
        what = f"the frames of {found[0].name}, which is not {_OFFICIAL[split]}"
        request.findings.add("split by another list", split, what, "noted")
    return next(iter(official or found), None)


def _is_list(path: Path, split: SplitName) -> bool:
    return path.suffix.lower() == ".txt" and path.name.lower().startswith(split) and path.is_file()


def _read(path: Path, request: Request) -> list[str]:
    names: dict[str, None] = {}
    for line in read_list(path, request):
        name = frame_name(line)
        if name is None or name in names:
            what = "it was listed before" if name else "a frame of KAIST is called set06/V000/I00019"
            request.findings.saw(pictures=1)
            request.findings.add("broken list", f"{request.place(path)}: {short(line)}", what, "dropped", pictures=1)
        else:
            names[name] = None
    return list(names)
