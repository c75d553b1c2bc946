"""From the words after --weights to a file."""

import difflib
import shlex
import sys
from pathlib import Path
from typing import Any

from caffdet_cli.errors import WeightsError
from caffdet_cli.paths import cache, shipped

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_IN_FOLDER = (
    "model.safetensors",
    "best/model.safetensors",
    "checkpoints/best/model.safetensors",
    "checkpoints/last/model.safetensors",
)


def find_weights(weights: str) -> Path:
    """The file of a run folder, a checkpoint folder, a file, or a published name.

    Raises:
        WeightsError: it is not at hand; says what to type.
    """
    path = Path(weights).expanduser()
    if path.is_dir():
        for inside in _IN_FOLDER:
            if (path / inside).is_file():
                return path / inside
        raise WeightsError(f"{path} has no checkpoint (looked for {', '.join(_IN_FOLDER)})")
    if path.is_file():
        return path
    names = _known()
    if weights in names:
        return _fetched(weights, names[weights])
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(f"{path} is not there; give a checkpoint file, a run folder, or one of: {', '.join(names)}")
    near = difflib.get_close_matches(weights, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise WeightsError(
        f"no weights are called {weights!r}; {hint}known: {', '.join(names)}; or give a file or a run folder"
    )


def _fetched(name: str, entry: dict[str, Any]) -> Path:
    """Where the published file `name` lies once somebody has put it there."""
    place = cache() / "weights" / str(entry["file"])
    if place.is_file():
        return place
    raise WeightsError(
        f"weights {name!r} ({entry['about']}) are not at hand. To fetch them:\n"
        f"  mkdir -p {shlex.quote(str(place.parent))} && curl -L -o {shlex.quote(str(place))} {entry['url']}\n"
        "or give another file with --weights FILE, "
        "or train from random weights: --from-scratch, best with --model caff-lite-dino-r18 --recipe from-scratch"
    )


def _known() -> dict[str, dict[str, Any]]:
    with (shipped("configs") / "weights.toml").open("rb") as file:
        return tomllib.load(file)
