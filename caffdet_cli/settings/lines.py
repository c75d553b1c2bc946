"""On which line of a TOML text a key is set: the parser does not tell, and a message should."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from caffdet_cli.toml_text import BrokenToml, parse_toml

_MOST_EFFORT = 2_000_000  # characters tried again to find where values of several lines end


@lru_cache(maxsize=16)
def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Of a valid TOML text: path of keys -> the line where it is first set, for tables and values."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, statement in _statements(text):
        parsed = _parsed(statement)
        if statement.lstrip().startswith("["):
            table = _header(parsed)
            paths = [table]
        else:
            paths = [(*table, *path) for path in _paths(parsed)]
        for path in paths:
            for length in range(1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The statements of a valid TOML text, each with the number of its first line."""
    lines = text.split("\n")
    index, effort = 0, 0
    while index < len(lines):
        first, index = index, index + 1
        statement = lines[first]
        if not statement.strip() or statement.lstrip().startswith("#"):
            continue
        while _parsed(statement) is None and index < len(lines):  # a value of several lines
            effort += len(statement)
            if effort > _MOST_EFFORT:
                return
            statement, index = f"{statement}\n{lines[index]}", index + 1
        yield first + 1, statement


def _parsed(statement: str) -> dict[str, Any] | None:
    try:
        return parse_toml(statement)
    except BrokenToml:
        return None


def _paths(values: object) -> Iterator[tuple[str, ...]]:
    """Paths of keys of the leaves of nested tables."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            for path in _paths(value):
                yield (key, *path)
    elif values is not None:
        yield ()


def _header(values: Any) -> tuple[str, ...]:
    """The path of a table's header line, which parses to empty tables inside each other."""
    path: tuple[str, ...] = ()
    while isinstance(values, dict) and values:
        key, values = next(iter(values.items()))
        path = (*path, key)
        values = values[0] if isinstance(values, list) else values
    return path
