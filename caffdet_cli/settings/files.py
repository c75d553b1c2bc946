"""Finding and reading TOML files: shipped names, extends, merging.

A tree is nested dicts by key; its leaves are `Said`, so that every value knows where it comes from.
"""

import difflib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union

from caffdet_cli.errors import ConfigError
from caffdet_cli.paths import shipped
from caffdet_cli.toml_text import BrokenToml, parse_toml

Kind = Literal["model", "dataset", "recipe"]
KINDS: tuple[Kind, ...] = ("model", "dataset", "recipe")
WORDS: dict[Kind, str] = {"model": "model", "dataset": "data set", "recipe": "recipe"}
_FOLDERS: dict[str, Kind] = {"datasets": "dataset", "recipes": "recipe"}  # every other folder holds models

_MOST_BYTES = 1_000_000
_MOST_FILES = 100  # files read for one configuration; a chain of `extends` can double with every link
_DEEPEST = 50  # tables inside each other


class Shipped(NamedTuple):
    """One configuration that comes with caffdet."""

    kind: Kind
    name: str
    about: str
    path: Path


@dataclass(frozen=True)
class Source:
    """Where values come from: a file, the command line, or the defaults."""

    label: str
    folder: Path | None = None
    text: str = field(default="", repr=False)
    rank: int = 0
    """Later sources win over earlier ones."""


class Said(NamedTuple):
    """A value and who said it."""

    value: Any
    source: Source


Tree = dict[str, Union["Tree", Said]]


def names() -> list[Shipped]:
    """Everything shipped: models, data sets, recipes, each sorted by name; `about` is a file's first comment line."""
    root = shipped("configs")
    found = [
        Shipped(_FOLDERS.get(path.parent.name, "model"), path.stem, _about(path), path)
        for path in root.glob("*/*.toml")
    ]
    return sorted(found, key=lambda one: (KINDS.index(one.kind), one.name))


def find(name: str, kind: Kind, beside: Path | None = None) -> Path:
    """The file that `name` means: a shipped name, else a path (relative to `beside`, else to the working folder).

    Raises:
        ConfigError: with the nearest names.
    """
    if not name:
        raise ConfigError(f"the name of a {WORDS[kind]} is empty; give a shipped name or a TOML file")
    known = {one.name: one.path for one in names() if one.kind == kind}
    if name in known:
        return known[name]
    path = (beside or Path()) / Path(name).expanduser()
    if os.path.isdir(path):
        if kind == "dataset":
            return _dataset_in(path)
        raise ConfigError(f"{name} is a folder; a {WORDS[kind]} is a TOML file or one of: {', '.join(sorted(known))}")
    if is_path(name) or os.path.exists(path):
        return path
    raise ConfigError(f"there is no {WORDS[kind]} {name!r}{nearest(name, known)}")


def is_path(name: str) -> bool:
    """Whether `name` can only mean a file."""
    return name.endswith(".toml") or "/" in name or os.sep in name


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that does not exist."""
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {_or(near)}?" if near else "."
    return f"{hint} Shipped: {', '.join(sorted(set(known))) or 'none'}. Or give a TOML file."


def read(path: Path, rank: int = 0) -> Tree:
    """A file's tree with everything it extends merged below it.

    Raises:
        ConfigError: unreadable, too large, not TOML, extends itself, or extends what is not there.
    """
    return _Reader(rank).read(path, ())


def merge(base: Tree, change: Tree, whole_file: bool = True) -> Tree:
    """`change` over `base`: tables are merged, unless they name another kind of thing.

    The name of the table [data] of a whole file is a title, not a kind.
    """
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, Said) and value.value == {}:
            continue  # an empty table changes nothing
        if isinstance(old, dict) and isinstance(value, dict):
            titled = whole_file and key == "data"
            value = merge(old, value, False) if titled or _same_kind(old, value) else value
        merged[key] = value
    return merged


def said_in(values: dict[str, Any], source: Source) -> Tree:
    """`values` as a tree whose every leaf was said by `source`."""
    return {
        key: said_in(value, source) if isinstance(value, dict) and value else Said(value, source)
        for key, value in values.items()
    }


def leaves(tree: Tree, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Said]]:
    """Every value with its path of keys."""
    for key, value in tree.items():
        if isinstance(value, Said):
            yield (*prefix, key), value
        else:
            yield from leaves(value, (*prefix, key))


def label(path: Path) -> str:
    """How a file is called in messages and origins: shipped ones by their place below configs/."""
    root = shipped("configs")
    path = Path(os.path.normpath(path))
    return path.relative_to(root.parent).as_posix() if path.is_relative_to(root) else str(path)


class _Reader:
    """Reads one configuration's files, and counts them."""

    def __init__(self, rank: int):
        self._rank = rank
        self._files = 0

    def read(self, path: Path, children: tuple[Path, ...]) -> Tree:
        """`children`: the files that led here, to find a circle."""
        text = _text(path)
        here = Path(os.path.realpath(path))
        if here in children:
            circle = " -> ".join(label(file) for file in (*children[children.index(here) :], here))
            raise ConfigError(f"{label(path)} extends itself: {circle}")
        self._files += 1
        if self._files > _MOST_FILES:
            raise ConfigError(f"{label(path)}: more than {_MOST_FILES} files are read through `extends`")
        values = _toml(path, text)
        parents = _parents(path, values.pop("extends", ()))
        tree: Tree = {}
        for parent in parents:
            tree = merge(tree, self.read(parent, (*children, here)))
        return merge(tree, said_in(values, Source(label(path), path.parent, text, self._rank)))


def _parents(path: Path, extends: object) -> list[Path]:
    """The files that `extends` of the file at `path` means."""
    named = [extends] if isinstance(extends, str) else extends
    if not isinstance(named, (list, tuple)) or not all(isinstance(name, str) and name for name in named):
        raise ConfigError(f"{label(path)}: extends is a file name or a list of them, not {extends!r}")
    return [_parent(path, name) for name in named]


def _parent(path: Path, name: str) -> Path:
    beside = path.parent / Path(name).expanduser()
    if beside.is_file():
        return beside
    stem = name.removesuffix(".toml")
    known = [one for one in names() if stem in (one.name, f"{one.path.parent.name}/{one.name}")]
    same = [one for one in known if one.path.parent == path.parent] or known
    if len(same) == 1:
        return same[0].path
    if same:
        choices = _or([f"{one.path.parent.name}/{one.name}" for one in same])
        raise ConfigError(f"{label(path)}: extends = {name!r} may mean {choices}; write the folder too")
    near = difflib.get_close_matches(stem, [one.name for one in names()], n=3)
    hint = f"; did you mean {_or(near)}?" if near else ""
    raise ConfigError(
        f"{label(path)}: extends = {name!r}: there is no file {beside} and no shipped name {stem!r}{hint}"
    )


def _text(path: Path) -> str:
    """A text file's content, of bounded size."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is not a file")
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}{_nearest_file(path)}") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(raw) > _MOST_BYTES:
        raise ConfigError(f"{path} is larger than {_MOST_BYTES // 1000} kB; that is no configuration")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file in UTF-8 (byte {error.start}); a TOML file is needed") from error


def _toml(path: Path, text: str) -> dict[str, Any]:
    try:
        values = parse_toml(text)
    except BrokenToml as error:
        raise ConfigError(f"{label(path)}: {error}") from error
    if _is_deep(values):
        raise ConfigError(f"{label(path)}: more than {_DEEPEST} tables inside each other; that is no configuration")
    return values


def _is_deep(values: dict[str, Any]) -> bool:
    tables = [values]
    for _ in range(_DEEPEST):
        tables = [one for table in tables for one in table.values() if isinstance(one, dict)]
    return bool(tables)


def _same_kind(old: Tree, change: Tree) -> bool:
    """Whether a table that says `name` (or `family`) says the same one as the table below it."""
    for key in ("name", "family"):
        said, was = change.get(key), old.get(key)
        if isinstance(said, Said) and isinstance(was, Said) and said.value != was.value:
            return False
    return True


def _dataset_in(folder: Path) -> Path:
    """`dataset.toml` of a converted data set; a raw one gets the command that converts it."""
    if (path := folder / "dataset.toml").is_file():
        return path
    if (path := folder / "config.toml").is_file():
        raise ConfigError(f"{folder} is the folder of a run, no data set; its settings: caffdet config show {path}")
    layout = next((name for marker, name in _RAW.items() if (folder / marker).exists()), None)
    raw = f"it looks like raw {layout.upper()}, convert it first" if layout else "a raw data set is converted first"
    raise ConfigError(f"{folder} has no dataset.toml; {raw}: caffdet convert {layout or 'FORMAT'} {folder} -o DIR")


_RAW = {  # something in the folder -> the layout that has it; narrow ones first
    "infrared/train": "llvip",
    "infrared/test": "llvip",
    "align_train.txt": "flir",
    "train_thermal": "flir",
    "JPEGImages": "voc",
    "Annotations": "voc",
}


def _about(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("#").strip()


def _nearest_file(path: Path) -> str:
    try:
        beside = [one.name for one in path.parent.iterdir()]
    except OSError:
        return f" (and no folder {path.parent})"
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


def _or(words: Sequence[str]) -> str:
    return " or ".join(repr(word) for word in words)
