"""Which pedestrians a miss rate is of: settings by name, and a short way to write one of your own.

| part of a setting | says |
| --- | --- |
| height | from and to how many pixels high, both ends included |
| occlusion | which levels count: 0 none, 1 partial, 2 heavy |
| margin | how far inside the picture a box must stay, in pixels |

What a setting leaves out is ignored: it may be found, and need not be.
"""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from caffdet_cli.errors import ConfigError

_ANY = frozenset((0, 1, 2))
_LARGEST = 1e6  # pixels
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True)
class Setting:
    """The objects that count."""

    name: str
    lowest: float = 0.0  # pixels
    highest: float = math.inf
    occlusions: frozenset[int] = _ANY
    margin: float = 5.0  # pixels; at 640x512, boxes from x 5 to 635 and y 5 to 507


USUAL = (
    Setting("Reasonable", 55, math.inf, frozenset((0, 1))),
    Setting("Reasonable_small", 50, 75, frozenset((0, 1))),
    Setting("Reasonable_occ=heavy", 50, math.inf, frozenset((2,))),
    Setting("All", 20),
)
"""What is scored when no setting is named."""

SETTINGS = (
    *USUAL,
    Setting("near", 115, math.inf, frozenset((0,))),
    Setting("medium", 45, 115, frozenset((0,))),
    Setting("far", 1, 45, frozenset((0,))),
    Setting("occ=none", 1, math.inf, frozenset((0,))),
    Setting("occ=partial", 1, math.inf, frozenset((1,))),
    Setting("occ=heavy", 1, math.inf, frozenset((2,))),
    Setting("LLVIP"),
)


def parse_settings(words: Sequence[str]) -> tuple[Setting, ...]:
    """Settings by name (`Reasonable`, `near,far`) or written out (`mine:height=40..90/occlusion=0+1/margin=0`).

    Raises:
        ConfigError: there is no such setting, or it is written wrongly.
    """
    texts = [text.strip() for word in words for text in word.split(",")]
    chosen = tuple(_written_out(text) if ":" in text else _named(text) for text in texts)
    names = [setting.name for setting in chosen]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"--setting {twice[0]!r} is given twice")
    return chosen or USUAL


def _named(text: str) -> Setting:
    known = {_plain(setting.name): setting for setting in SETTINGS}
    if (found := known.get(_plain(text))) is not None:
        return found
    near = difflib.get_close_matches(_plain(text), known, n=1)
    hint = f"did you mean {known[near[0]].name!r}? " if near else ""
    raise ConfigError(
        f"--setting {text!r}: {hint}there are {', '.join(setting.name for setting in SETTINGS)}; "
        "your own: NAME:height=40..90/occlusion=0+1/margin=5"
    )


def _plain(name: str) -> str:
    """Upper and lower case are one, and `Scale=near` of the Matlab tool is `near`."""
    return name.strip().casefold().removeprefix("scale=")


def _written_out(text: str) -> Setting:
    name, _, rules = text.partition(":")
    if not name.strip():
        raise ConfigError(f"--setting {text!r}: a name comes before the ':'")
    setting = Setting(name.strip())
    for rule in filter(None, rules.split("/")):
        key, _, value = (part.strip() for part in rule.partition("="))
        if key == "height":
            low, dots, high = value.partition("..")
            setting = replace(setting, lowest=_pixels(text, low or "0"))
            if dots:
                setting = replace(setting, highest=_pixels(text, high) if high else math.inf)
        elif key == "occlusion":
            setting = replace(setting, occlusions=_levels(text, value))
        elif key == "margin":
            setting = replace(setting, margin=_pixels(text, value))
        else:
            raise ConfigError(f"--setting {text!r}: {key!r} is not height, occlusion or margin")
    if setting.lowest > setting.highest:
        raise ConfigError(f"--setting {text!r}: the height goes from the smaller to the larger number")
    return setting


def _pixels(text: str, value: str) -> float:
    if not _NUMBER.fullmatch(value) or float(value) > _LARGEST:
        raise ConfigError(f"--setting {text!r}: {value!r} is no number of pixels from 0 to a million")
    return float(value)


def _levels(text: str, value: str) -> frozenset[int]:
    levels = value.split("+")
    if not set(levels) <= {"0", "1", "2"}:
        raise ConfigError(f"--setting {text!r}: occlusion is 0 (none), 1 (partial), 2 (heavy), or several: 0+1")
    return frozenset(map(int, levels))
