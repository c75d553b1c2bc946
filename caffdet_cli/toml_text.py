"""TOML texts from anywhere to values, in bounded time."""

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_PARTS = 100
_LONG_KEY = re.compile(rf"""(?<![\w"'.-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{_MOST_PARTS}}}""")


class BrokenToml(ValueError):
    """What is wrong with a text and, where the parser tells it, in which line; goes on after the text's name."""


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text.

    Raises:
        BrokenToml: not TOML, or nothing that a person writes: nested too deeply, a huge number, or a key of more than
            100 parts, which would take the parser hours.
    """
    if long := _LONG_KEY.search(text):
        line = text.count("\n", 0, long.start()) + 1
        raise BrokenToml(f"line {line}: a key of more than {_MOST_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        where = re.match(r"line (\d+)", place)
        number = int(where.group(1)) if where else text.rstrip("\n").count("\n") + 1
        raise BrokenToml(f"line {number}: this is not TOML: {what[:1].lower()}{what[1:]}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of more than 4300 digits
        raise BrokenToml("this is not TOML that can be read: nested too deeply or a huge number") from error
