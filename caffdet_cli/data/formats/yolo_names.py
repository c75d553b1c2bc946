"""Names of class numbers: from a `data.yaml` or a `classes.txt`.

data.yaml (Ultralytics): `names` is a list, or says number: name; of the other keys `nc`, `train`, `val` and `test` are
looked at, and none of its paths is followed.

classes.txt (labelImg): one name a line; or `0 person`, with the number before each.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from caffdet_cli.data.formats.hostile import read_bytes, short
from caffdet_cli.errors import DatasetError

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
TEXT_NAME = "classes.txt"
LARGEST_NAMES = 1 << 20  # bytes
LARGEST_YAML = 128 << 10  # bytes; reading YAML is slow, and names of a thousand classes have 20 KiB

_NUMBERED = re.compile(r"(\d+)\s+(.*)", re.ASCII)


class DataYaml(NamedTuple):
    """What a data.yaml says."""

    names: dict[int, str]  # empty: it has none
    splits: dict[str, tuple[str, ...]]  # the paths of train, val and test, as they are written


def read_data_yaml(folder: Path) -> tuple[Path, DataYaml] | None:
    """The first data.yaml in a folder; None where there is none.

    Raises:
        DatasetError: as `parse_data_yaml`, or it cannot be read.
    """
    path = next((folder / name for name in YAML_NAMES if (folder / name).is_file()), None)
    return None if path is None else (path, parse_data_yaml(read_bytes(path, LARGEST_NAMES), str(path)))


def read_classes_txt(folders: Iterable[Path]) -> tuple[Path, dict[int, str]] | None:
    """The first classes.txt in some folders; None where there is none.

    Raises:
        DatasetError: as `parse_classes_txt`, or it cannot be read.
    """
    path = next((folder / TEXT_NAME for folder in folders if (folder / TEXT_NAME).is_file()), None)
    return None if path is None else (path, parse_classes_txt(read_bytes(path, LARGEST_NAMES), str(path)))


def parse_data_yaml(content: bytes, place: str) -> DataYaml:
    """The content of a data.yaml; all values are read as text, so that a class may be called `no`.

    Raises:
        DatasetError: broken, too large, no table, poses instead of boxes, or `names` does not give each class one name.
    """
    table = _yaml(content, place)
    if not isinstance(table, dict):
        raise DatasetError(f"{place} is no table; it needs a line like: names: [person, car]")
    if "kpt_shape" in table:
        raise DatasetError(f"{place} has kpt_shape: labels of poses are no boxes, and are not read")
    names = _names(table.get("names"), place)
    count = table.get("nc")
    if names and count is not None and str(len(names)) != count:
        raise DatasetError(f"{place}: nc = {short(count)}, and names has {len(names)}; make them agree")
    return DataYaml(names, {key: _texts(table[key]) for key in ("train", "val", "test") if key in table})


def parse_classes_txt(content: bytes, place: str) -> dict[int, str]:
    """The content of a classes.txt.

    Raises:
        DatasetError: no text, an empty line between names, or a name twice.
    """
    lines = _text(content, place).rstrip().splitlines()
    rows = [line.strip() for line in lines]
    matches = [_NUMBERED.fullmatch(row) for row in rows]
    if rows and all(match and match[1] == str(at) for at, match in enumerate(matches)):
        rows = [match[2] for match in matches if match]
    return _checked(dict(enumerate(rows)), place)


class _Loader(yaml.BaseLoader):  # type: ignore[misc]  # PyYAML has no types
    """BaseLoader knows no types but texts, lists and tables, and runs nothing; here a key may be there once only."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{short(key.value)} is there twice", key.start_mark
                )
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _yaml(content: bytes, place: str) -> Any:
    """Texts, lists and tables."""
    if len(content) > LARGEST_YAML:
        raise DatasetError(f"{place} is larger than {LARGEST_YAML >> 10} KiB; put the names into {TEXT_NAME}")
    try:
        return yaml.load(_text(content, place), Loader=_Loader)
    except RecursionError as error:
        raise DatasetError(f"{place}: nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DatasetError(f"{place}: {where}broken YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a version of thousands of digits
        raise DatasetError(f"{place}: broken YAML: {error}") from error


def _text(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{place}: byte {error.start}: no text in UTF-8; save it so") from error


def _names(value: Any, place: str) -> dict[int, str]:
    if value is None or value == "":
        return {}
    if isinstance(value, list):
        return _checked(dict(enumerate(value)), place)
    if not isinstance(value, dict):
        raise DatasetError(f"{place}: names is {short(value)}; a list, or a table of number: name is needed")
    if strange := [key for key in value if not (isinstance(key, str) and key.isascii() and key.isdigit())]:
        raise DatasetError(f"{place}: names has the key {short(strange[0])}; the number of a class is needed")
    if long := [key for key in value if len(key) > 6 or str(int(key)) != key]:
        raise DatasetError(
            f"{place}: names has the key {short(long[0])}; numbers count from 0 and have no zeros before"
        )
    return _checked({int(key): value[key] for key in sorted(value, key=int)}, place)


def _checked(names: dict[int, Any], place: str) -> dict[int, str]:
    """Names without blanks around them; each is the name of one class."""
    numbers: dict[str, int] = {}
    for key, value in names.items():
        name = value.strip() if isinstance(value, str) else ""
        if not name or not name.isprintable():
            raise DatasetError(f"{place}: class {key} is called {short(value)}; a name is needed")
        if name in numbers:
            raise DatasetError(f"{place}: {short(name)} is the name of two classes; each needs its own")
        numbers[name] = key
    return {key: name for name, key in numbers.items()}


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str) and one)
