"""Rig files: a few lines of TOML that a data set names."""

import sys
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from caffdet_cli.data.formats.hostile import read_bytes, short
from caffdet_cli.errors import DatasetError
from caffdet_cli.paths import write_text
from caffdet_cli.settings.rig import Matrix, Rig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 1 << 16  # bytes

_ABOUT = "# caffdet: how the pictures of one camera are warped onto those of the other one\n"
_DIGITS = 12  # significant ones: far below a millionth of a pixel


def read_rig(path: Path) -> Rig:
    """The rig in a file.

    Raises:
        DatasetError: unreadable, too large, not TOML, or no rig; names the file and the key.
    """
    try:
        values = tomllib.loads(read_bytes(path, LARGEST).decode("utf-8-sig").replace("\r\n", "\n"))
    except RecursionError as error:
        raise DatasetError(f"{path}: nested too deeply; a rig file is written by caffdet data align") from error
    except ValueError as error:  # not text, not TOML, or a number of thousands of digits
        raise DatasetError(
            f"{path}: this is not TOML ({error}); a rig file is written by caffdet data align"
        ) from error
    try:
        return Rig.model_validate(values)
    except ValidationError as error:
        raise DatasetError(f"{path}: {_explained(error)}; make it again with caffdet data align") from error


def write_rig(rig: Rig, path: Path) -> None:
    """Write a rig file, whole or not at all.

    Raises:
        DiskFull, OutputError: it cannot be written.
    """
    values = rig.model_dump(mode="json")
    values["homography"] = [list(row) for row in rounded(rig.homography)]
    values["residual"] = round(rig.residual, 3)
    write_text(path, _ABOUT + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items()))


def rounded(matrix: Matrix) -> Matrix:
    """Without digits that mean nothing."""
    first, second, third = ((_short(a), _short(b), _short(c)) for a, b, c in matrix)
    return first, second, third


def _toml(value: object) -> str:
    """A value on one line, the rows of a matrix on one each."""
    if not isinstance(value, list):
        return tomli_w.dumps({"_": value}).removeprefix("_ = ").rstrip("\n")
    items = [_toml(item) for item in value]
    nested = any(isinstance(item, list) for item in value)
    return "".join(["[\n", *(f"    {item},\n" for item in items), "]"]) if nested else f"[{', '.join(items)}]"


def _short(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _explained(error: ValidationError) -> str:
    """The first thing that is wrong: `moved = "both": must be 'rgb' or 'ir'`."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(item) for item in first["loc"])
    if first["type"] == "missing":
        return f"{place} is missing"
    if first["type"] == "extra_forbidden":
        return f"there is no {place!r} in a rig file"
    context: dict[str, Any] = first.get("ctx", {})
    reason = str(context.get("error", first["msg"])).replace("Input should be", "must be")
    return f"{place} = {short(first['input'])}: {reason}" if place else reason
