"""A split that is a list of names: the pictures of an annotation file that a text file names, one a line."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.formats.hostile import LARGEST_LIST, read_bytes, short
from caffdet_cli.data.formats.layout import PICTURES
from caffdet_cli.errors import DatasetError


def only_named(annotations: AnnotationSet, path: Path, root: Path, sha256: str = "") -> AnnotationSet:
    """The pictures that are named, in the order of the annotation file.

    A name is a picture's id, its file name without ending, or its path in `root` without ending.

    Args:
        path: the list.
        sha256: of the names (`names_hash`); empty: not compared.

    Raises:
        DatasetError: the list cannot be read, is empty, is another than the hash says, or a name is of no picture or
            of several.
    """
    names = read_names(path)
    found = names_hash(names)
    if sha256 and found != sha256.lower():
        raise DatasetError(f"{path} is another list than the data set's settings say: its sha256 is {found}")
    wanted = set(names)
    meant: dict[str, int] = {}
    for place, example in enumerate(annotations.examples):
        for name in wanted & names_of(example, root):
            if name in meant:
                raise DatasetError(
                    f"{path}: {short(name)} names several pictures of {annotations.source}; write their paths in {root}"
                )
            meant[name] = place
    if unknown := sorted(wanted - meant.keys()):
        raise DatasetError(
            f"{path} names {len(unknown)} pictures that {annotations.source} does not have, for example "
            f"{short(unknown[0])}"
        )
    return replace(annotations, examples=tuple(annotations.examples[place] for place in sorted(set(meant.values()))))


def read_names(path: Path) -> list[str]:
    """The names in a list, without the endings of pictures; each once.

    Raises:
        DatasetError: unreadable, no text in UTF-8, or empty.
    """
    try:
        text = read_bytes(path, LARGEST_LIST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start}: a list of names is text in UTF-8") from error
    names = list(dict.fromkeys(_without_ending(line.strip()) for line in text.splitlines() if line.strip()))
    if not names:
        raise DatasetError(f"{path} names no picture; write one name a line")
    return names


def names_hash(names: Iterable[str]) -> str:
    """sha256 of names whatever their order: sorted, each with a newline behind it."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(set(names))).encode()).hexdigest()


def names_of(example: Example, root: Path) -> set[str]:
    """All names that a list may call a picture or pair."""
    called = {str(example.id)}
    for path in filter(None, (example.rgb, example.ir)):
        called.add(path.stem)
        if path.is_relative_to(root):
            called.add(_without_ending(path.relative_to(root).as_posix()))
    return called


def _without_ending(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.with_suffix("").as_posix() if path.suffix.lower() in PICTURES else path.as_posix()
