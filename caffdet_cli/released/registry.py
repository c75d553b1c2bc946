"""Released files: names, where they lie, and what is known about them. The list itself is `configs/weights.toml`.

`$CAFFDET_REGISTRY` names another TOML in the same form, whose entries are added: for what a group shares among itself.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caffdet_cli.errors import ConfigError, WeightsError
from caffdet_cli.paths import shipped
from caffdet_cli.released.addresses import is_safe, shown
from caffdet_cli.toml_text import parse_toml

KINDS = ("weights", "backbone", "annotations", "log")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,150}")
_OURS = (".json", ".part", ".lock")  # what lies beside a file in the cache
_MOST_BYTES = 1_000_000
_SHOWN = 12  # names in a sentence


@dataclass(frozen=True)
class Entry:
    """One released file. What is not known is empty."""

    name: str
    kind: str  # one of KINDS
    about: str
    file: str  # its name, in the cache too
    url: str = ""
    page: str = ""  # where a person must fetch it, because a program cannot
    record: str = ""  # the address that tells size and md5 (Zenodo's API)
    size: int | None = None
    md5: str = ""
    sha256: str = ""  # all of it, or its first digits
    configuration: str = ""  # name of the shipped one
    settings: tuple[str, ...] = ()  # KEY=VALUE: in what the model differs from it
    licence: str = ""
    source: str = ""  # repository and commit
    epochs: int | None = None
    published: Mapping[str, float] = field(default_factory=dict)  # AP, ...: 0 to 1
    published_by: str = ""  # where it is not the authors
    dataset: str = ""
    split: str = ""
    label_release: str = ""
    stream_order: tuple[str, ...] = ()
    thermal: str = ""
    citation: str = ""

    def facts(self) -> dict[str, Any]:
        """What is known, for JSON."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in ("", None, (), {})}


def registry() -> dict[str, Entry]:
    """All released files by name, in the order of the list.

    Raises:
        ConfigError: the list cannot be read, or an entry is wrong; says where.
    """
    paths = [shipped("configs") / "weights.toml"]
    if own := os.environ.get("CAFFDET_REGISTRY"):
        paths.append(Path(own).expanduser())
    entries: dict[str, Entry] = {}
    for path in paths:
        for entry in read_registry(path):
            if entry.name in entries:
                raise ConfigError(f"{path}, [{entry.name}]: caffdet ships a file of this name; take another one")
            entries[entry.name] = entry
    files: dict[str, str] = {}
    for entry in entries.values():
        if other := files.get(entry.file.lower()):
            raise ConfigError(f"{paths[-1]}: {entry.name} and {other} have the same file name, {entry.file}")
        files[entry.file.lower()] = entry.name
    return entries


def chosen(names: Iterable[str]) -> list[Entry]:
    """The entries of these names, each once.

    Raises:
        WeightsError: there is none; names those that are like it.
    """
    entries = registry()
    for name in names:
        if name not in entries:
            raise WeightsError(f"no released file is called {name!r}; {did_you_mean(name, entries)}")
    return [entries[name] for name in dict.fromkeys(names)]


def entry_of_file(path: Path) -> Entry | None:
    """The released file of this name, wherever it lies; no two have one name."""
    return next((entry for entry in registry().values() if entry.file == path.name), None)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about an unknown name."""
    near = difflib.get_close_matches(name, names := list(names), n=1)
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"did you mean {near[0]!r}? known: {shown}" if near else f"known: {shown}"


def read_registry(path: Path) -> list[Entry]:
    """The entries of one TOML file.

    Raises:
        ConfigError: it cannot be read, or an entry is wrong; says where.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ConfigError(f"{path} is no list of released files: it has more than {_MOST_BYTES} bytes")
        content = parse_toml(text.decode())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; it is what $CAFFDET_REGISTRY names") from error
    except ValueError as error:  # not UTF-8, not TOML
        raise ConfigError(f"cannot read {path}: {error}") from error
    return [_entry(name, facts, f"{path}, [{name}]") for name, facts in content.items()]


def _entry(name: str, facts: Any, where: str) -> Entry:
    if not isinstance(facts, dict):
        raise ConfigError(f"{where}: an entry is a table, such as [my-weights]")
    fields = {each.name: each.type for each in dataclasses.fields(Entry) if each.name != "name"}
    for key, value in facts.items():
        if key not in fields:
            raise ConfigError(f"{where}: {key!r} is no fact of a released file; {did_you_mean(key, fields)}")
        if not _is_a(value, str(fields[key])):
            raise ConfigError(f"{where}: {key} = {value!r} is not of the kind that {key} has in configs/weights.toml")
    if lacking := [key for key in ("kind", "about", "file") if not facts.get(key)]:
        raise ConfigError(f"{where}: {lacking[0]} is missing")
    values: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in facts.items()}
    entry = Entry(name, **values)
    _check(entry, where)
    return entry


def _is_a(value: Any, kind: str) -> bool:
    """Whether a TOML value can be what a field of `Entry` is annotated with."""
    if kind.startswith("int"):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind.startswith("tuple"):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if "Mapping" in kind:
        return isinstance(value, dict) and all(isinstance(each, float) and 0 <= each <= 1 for each in value.values())
    return isinstance(value, str)


def _check(entry: Entry, where: str) -> None:
    """What a type cannot say. Names become paths, addresses are opened."""
    if entry.kind not in KINDS:
        raise ConfigError(f"{where}: kind = {entry.kind!r} is none of {', '.join(KINDS)}")
    for key, text in (("name", entry.name), ("file", entry.file)):
        if text.lower().endswith(_OURS):
            raise ConfigError(
                f"{where}: {text!r} cannot be a {key}; .json, .part and .lock are taken: they end the names of what "
                "lies beside a file in the cache"
            )
        if not _FILE.fullmatch(text):
            raise ConfigError(f"{where}: {text!r} cannot be a {key}; take letters, digits, and . _ + - between them")
    if bool(entry.url) == bool(entry.page):
        raise ConfigError(f"{where}: it needs either url, or page where a program cannot fetch it")
    for key, address in (("url", entry.url), ("page", entry.page), ("record", entry.record)):
        if address and not is_safe(address):
            raise ConfigError(f"{where}: {key} = {shown(address)!r} is no https address")
    for key, digits, length in (("md5", entry.md5, "32"), ("sha256", entry.sha256, "8,64")):
        if digits and not re.fullmatch(rf"[0-9a-f]{{{length}}}", digits):
            raise ConfigError(f"{where}: {key} = {digits!r} is no {key} in small hexadecimal digits")
