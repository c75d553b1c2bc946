"""Sizes and checksums: what a file must have, what it has, and what is remembered of it beside the file."""

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.errors import WeightsError
from caffdet_cli.released.addresses import shown
from caffdet_cli.released.cache_files import write_whole

_BLOCK = 1 << 20
_DIGITS = {"sha256": 64, "md5": 32}
_MOST_BYTES = 100_000


class Facts(NamedTuple):
    """What a file must have; what nobody has told is None or empty."""

    size: int | None = None
    md5: str = ""
    sha256: str = ""  # all of it, or its first digits
    told_by: str = ""
    is_checked: bool = True  # False: somebody publishes a checksum, but nobody has asked for it

    @property
    def verifies(self) -> bool:
        """Whether there is a checksum."""
        return bool(self.md5 or self.sha256)


def measure(path: Path) -> Facts:
    """Size and both checksums of a file, read once.

    Raises:
        WeightsError: it cannot be read.
    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                size += len(block)
                md5.update(block)
                sha256.update(block)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    return Facts(size, md5.hexdigest(), sha256.hexdigest(), str(path))


def difference(found: Facts, expected: Facts) -> str | None:
    """`size 3, not 4 as the registry says`; None where everything that is expected is so."""
    by = f" as {expected.told_by} says" if expected.told_by else ""
    if expected.size is not None and found.size != expected.size:
        return f"{found.size} bytes, not {expected.size}{by}"
    for kind in _DIGITS:
        has, must = getattr(found, kind), getattr(expected, kind)
        if not has.startswith(must):
            return f"{kind} {has}, not {must}{by}"
    return None


def note_of(target: Path) -> Path:
    """The note beside a file of the cache."""
    return target.with_name(f"{target.name}.json")


def how_to_accept(target: Path, expected: Facts) -> str:
    """The end of a sentence about a changed file, where only this cache remembers another one."""
    note = note_of(target)
    return f"; to accept the other file, remove {note} first" if expected.told_by.endswith(str(note)) else ""


def remember(target: Path, facts: Facts, url: str) -> None:
    """Write the note beside `target`, whole or not at all.

    Raises:
        DiskFull, OutputError: it cannot be written.
    """
    content: dict[str, object] = {"schema": 1, "size": facts.size, "md5": facts.md5, "sha256": facts.sha256}
    content |= {"from": shown(url), "checked": facts.is_checked}
    write_whole(note_of(target), json.dumps(content, indent=2) + "\n")


def remembered(target: Path) -> Facts | None:
    """What the note beside `target` says; None where there is none, or it is spoilt."""
    with suppress(OSError, ValueError, RecursionError), note_of(target).open("rb") as file:
        return parse_note(file.read(_MOST_BYTES), f"the note {note_of(target)}")
    return None


def parse_note(text: bytes, told_by: str) -> Facts:
    """Raises: ValueError or RecursionError: it is no note."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("no object")
    size, digits = content.get("size"), {kind: content.get(kind) for kind in _DIGITS}
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("no size")
    for kind, length in _DIGITS.items():
        if not re.fullmatch(rf"[0-9a-f]{{{length}}}", str(digits[kind])):
            raise ValueError(f"no {kind}")
    is_checked = content.get("checked") is not False
    return Facts(size, str(digits["md5"]), str(digits["sha256"]), told_by, is_checked)
