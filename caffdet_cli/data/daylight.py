"""Whether a picture was taken by day or at night, as far as its name says it."""

import re
from typing import Literal

_SET = re.compile(r"(?:^|[/\\_])set(\d\d)(?=[/\\_])", re.IGNORECASE)
_DAY_SETS = (0, 1, 2, 6, 7, 8)
_NIGHT_SETS = (3, 4, 5, 9, 10, 11)


def part_of(name: str) -> Literal["day", "night"] | None:
    """Day or night by KAIST's set number, or by a folder of that name, as CVC-14 has them."""
    if found := _SET.search(name):
        number = int(found[1])
        return "day" if number in _DAY_SETS else "night" if number in _NIGHT_SETS else None
    folders = [part.casefold() for part in re.split(r"[/\\]", name)[:-1]]
    return "day" if "day" in folders else "night" if "night" in folders else None
