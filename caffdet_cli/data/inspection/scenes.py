"""Which scene a picture belongs to, by its name: pictures of one camera or video look alike.

| names | scene |
| --- | --- |
| `set06/V000/I00459`, `set06_V000_I00459_visible` (KAIST) | `set06/V000` |
| `010001` where the first two digits start a count of their own (LLVIP) | `01` |
| `road/0001`, `road_0001` | `road` |

A scene that most pictures share says nothing and is none.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

_KAIST = re.compile(r"(set\d\d)[/_](V\d{3})[/_]", re.IGNORECASE)
_NUMBERED = re.compile(r"(?P<prefix>.*?)[_\-. ]*\d+(?:[_\-. ]?[A-Za-z]+)?", re.DOTALL)
_LLVIP = re.compile(r"(?P<scene>\d\d)(?P<frame>\d{4})")
_FULL = 9_900  # a scene with a frame of this number is part of one long count
_MOST = 2 / 3  # share of the pictures
_NO_SCENE = frozenset(
    [
        "train",
        "val",
        "test",
        "valid",
        "validation",
        "training",
        "testing",
        "images",
        "image",
        "img",
        "imgs",
        "pictures",
        "data",
        "jpegimages",
        "visible",
        "vis",
        "vi",
        "rgb",
        "infrared",
        "ir",
        "lwir",
        "thermal",
        "train_rgb",
        "val_rgb",
        "test_rgb",
        "train_thermal",
        "val_thermal",
        "test_thermal",
    ]
)


def scenes(names: Sequence[str]) -> list[str | None]:
    """The scene of each picture; None where its name does not say one.

    Args:
        names: of all splits: paths below the data set's root, with `/`.
    """
    found = _by_number(names) or [_by_words(name) for name in names]
    often = Counter(found)
    return [scene if scene and often[scene] <= _MOST * len(names) else None for scene in found]


def _by_number(names: Sequence[str]) -> list[str] | None:
    """LLVIP's six digits; None where they are another count."""
    parts = [_LLVIP.fullmatch(PurePosixPath(name).stem) for name in names]
    last: dict[str, int] = defaultdict(int)
    for part in parts:
        if part is None:
            return None
        last[part["scene"]] = max(last[part["scene"]], int(part["frame"]))
    if len(last) < 2 or max(last.values()) >= _FULL:
        return None
    return [part["scene"] for part in parts if part is not None]


def _by_words(name: str) -> str:
    """Folders and the beginning of a name that are no word for a split or a spectrum."""
    if kaist := _KAIST.search(name):
        return f"{kaist[1]}/{kaist[2]}"
    path = PurePosixPath(name)
    numbered = _NUMBERED.fullmatch(path.stem)
    words = [*path.parts[:-1], numbered["prefix"] if numbered else ""]
    return "/".join(word for word in words if word and word.casefold() not in _NO_SCENE)
