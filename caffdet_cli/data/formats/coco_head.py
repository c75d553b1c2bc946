"""What an annotation file that caffdet wrote says about itself, without reading all of it."""

import json
from pathlib import Path
from typing import Any

_HEAD = 1 << 16  # bytes


def head(path: Path) -> dict[str, Any]:
    """`info` of a file that caffdet wrote, which is its second line; empty for others."""
    with path.open("rb") as file:
        start, info, *_ = [*file.read(_HEAD).split(b"\n", 2), b""]
    if start != b"{" or not info.startswith(b'"info": '):
        return {}
    try:
        value = json.loads(info.removeprefix(b'"info": ').rstrip(b","))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def about(path: Path) -> dict[str, Any]:
    """What a file of our paired form says; empty for others."""
    found = head(path).get("caffdet")
    return found if isinstance(found, dict) else {}


def release_of(said: dict[str, Any]) -> str:
    """Which annotations a file says it holds; empty where it does not."""
    release = said.get("release")
    return release if isinstance(release, str) else ""
