"""Reading files from outside: bounded size and depth, no entities, no name that leaves its folder."""

import json
import os
import reprlib
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from caffdet_cli.data.formats.records import BrokenAnnotation
from caffdet_cli.errors import DatasetError

LARGEST_JSON = 2 << 30  # bytes
LARGEST_XML = 16 << 20  # bytes; an annotation of ten thousand objects has a quarter of it
LARGEST_LIST = 64 << 20  # bytes
DEEPEST_XML = 32  # tags inside each other
LONGEST_NAME = 4096  # characters of a file name with its folders, the most that systems have

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 60
_brief.maxlevel = 3
_LONGEST = 300  # characters of a value in a message


class BrokenXml(BrokenAnnotation):
    """Not well-formed, too large, too deep, or with entities; the message has line and column where there are any."""


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a regular file.

    Raises:
        DatasetError: it is missing, cannot be read, is no regular file, or is larger than `largest` bytes.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise DatasetError(f"{path} is not a file")
        with path.open("rb") as file:
            content = file.read(largest + 1) if about.st_size <= largest else None
    except FileNotFoundError as error:
        raise DatasetError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DatasetError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if content is None or len(content) > largest:
        raise DatasetError(f"{path} is larger than {largest >> 20} MiB, the most that is read; split it")
    return content


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """The value in a JSON file. NaN and Infinity, which JSON does not have, come through as floats.

    Raises:
        DatasetError: unreadable, too large, too deeply nested, or broken (with line and column).
    """
    content = read_bytes(path, largest)
    try:
        return json.loads(content)
    except RecursionError as error:
        raise DatasetError(f"{path}: nested too deeply") from error
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}: {_broken(error)}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start}: broken JSON: no text in UTF-8") from error
    except ValueError as error:
        raise DatasetError(f"{path}: broken JSON: a number of thousands of digits") from error


def _broken(error: json.JSONDecodeError) -> str:
    """What is wrong with a JSON file, and what to do."""
    text = error.doc.strip()
    if not text:
        return "it is empty; fetch or copy it again"
    if text.startswith("<"):
        return "it is a web page or XML and no JSON; fetch it again"
    end = " at the end of the file, which seems cut off" if error.pos >= len(error.doc.rstrip()) else ""
    return f"line {error.lineno}, column {error.colno}: broken JSON{end}: {error.msg}; mend it, or fetch it again"


def parse_xml(content: bytes) -> Element:
    """The root element of an XML document without document type and entities.

    Raises:
        BrokenXml: see there.
    """
    if len(content) > LARGEST_XML:
        raise BrokenXml(f"larger than {LARGEST_XML >> 20} MiB")
    if not content.strip():
        raise BrokenXml("it is empty; fetch or copy it again")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST_XML:
            raise BrokenXml(f"line {parser.CurrentLineNumber}: more than {DEEPEST_XML} tags inside each other")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise BrokenXml(f"line {parser.CurrentLineNumber}: a document type or entity; annotations have none")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # LookupError, ValueError: the encoding it names
        raise error if isinstance(error, BrokenXml) else BrokenXml(str(error)) from error
    return builder.close()


def inside(folder: Path, name: object, place: str) -> Path:
    """`folder / name` of a name that a file from outside gives.

    Args:
        place: file and key for messages.

    Raises:
        DatasetError: the name is no text, is empty, or leads out of `folder`.
    """
    if not isinstance(name, str) or not name:
        raise DatasetError(f"{place} is {short(name)}, a file name is needed")
    if len(name) > LONGEST_NAME or not _can_be_written(name):
        raise DatasetError(f"{place} = {short(name)} is no name that a file can have")
    if (".." in name or ":" in name or "\0" in name or name[0] in "/\\") and not _stays(name):
        raise DatasetError(f"{place} = {short(name)} leads out of its folder; names are relative and have no '..'")
    return folder / name


def short(value: object) -> str:
    """A value of a file in a message, cut to a readable length."""
    text = _brief.repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _can_be_written(name: str) -> bool:
    """Not with half a surrogate pair in it; bytes that are no UTF-8 come as others of those."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _stays(name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    leaves = "\0" in name or posix.is_absolute() or windows.drive or windows.root
    return not leaves and ".." not in posix.parts and ".." not in windows.parts
