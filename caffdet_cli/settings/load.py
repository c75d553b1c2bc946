"""Names, files and overrides -> one `Config`, with the origin of every value.

Later wins: defaults, recipe, model, data set, further files, `--set`.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ValidationError

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings.config import Config
from caffdet_cli.settings.data import Data
from caffdet_cli.settings.files import (
    WORDS,
    Kind,
    Said,
    Source,
    Tree,
    find,
    is_path,
    leaves,
    merge,
    names,
    nearest,
    read,
    said_in,
)
from caffdet_cli.settings.problems import Problem, explain, report
from caffdet_cli.toml_text import BrokenToml, parse_toml

__all__ = ["Resolved", "flat", "load_config", "load_named", "names", "to_toml"]

_DEFAULT = Source("default")
_RECIPE, _MODEL, _DATASET, _FILES, _COMMAND = range(1, 6)  # ranks
_COMMAND_LINE = Source("command line", rank=_COMMAND)


@dataclass(frozen=True)
class Resolved:
    """The settings of one run, and who said what."""

    config: Config
    origins: dict[str, str]
    """Dotted key of every value -> file, "command line" or "default"."""


def load_config(
    *,
    model: str | None = None,
    dataset: str | None = None,
    recipe: str | None = None,
    files: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
) -> Resolved:
    """Read and check the settings of a run.

    Args:
        model, recipe: shipped names (`names()`) or TOML files; not given, those that the data set names.
        dataset: a shipped name, a TOML file, or a folder with a `dataset.toml`.
        files: further TOML files, for example the `config.toml` of a run.
        overrides: `dotted.key=value`; the value is TOML if it can be read so, else text.

    Raises:
        ConfigError: with all problems at once: file, line, key, and the nearest valid one.
    """
    said = _overrides(overrides)
    data = read(find(dataset, "dataset"), _DATASET) if dataset is not None else {}
    further: Tree = {}
    for file in files:
        further = merge(further, read(Path(file), _FILES))
    later = merge(merge(data, further), said)
    tree = said_in(Config().model_dump(mode="json"), _DEFAULT)
    lower: tuple[tuple[Kind, str | None, int], ...] = (("recipe", recipe, _RECIPE), ("model", model, _MODEL))
    for kind, name, rank in lower:
        path = find(name, kind) if name is not None else _of_dataset(kind, later) if dataset is not None else None
        tree = merge(tree, read(path, rank)) if path else tree
    tree = _rooted(merge(tree, later))
    try:
        config = Config.model_validate(_plain(tree))
    except ValidationError as error:
        raise ConfigError(explain(error, tree)) from error
    return Resolved(config, _origins(config, tree))


def load_data(dataset: str, overrides: Sequence[str] = ()) -> Data:
    """The settings of a data set alone, for what brings a model of its own or needs none.

    Args:
        dataset: as in `load_config`.
        overrides: `data.key=value`.

    Raises:
        ConfigError: as `load_config`; or an override is of something else, which would have no effect.
    """
    data = load_config(dataset=dataset, overrides=overrides).config.data
    for override in overrides:
        if override.split(".")[0].strip() in ("model", "train"):
            raise ConfigError(
                f"--set {override}: only settings of the data set have an effect here, data.KEY=VALUE; weights bring "
                "their own model (caffdet weights convert --set writes what their file does not tell)"
            )
    return data


def load_named(
    name: str | None,
    *,
    model: str | None = None,
    dataset: str | None = None,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
) -> Resolved:
    """`load_config` where `name` may be a data set, a model, a recipe, or a file that holds any of them.

    Raises:
        ConfigError: nothing is named, or nothing has this name.
    """
    given: dict[Kind, str | None] = {"model": model, "dataset": dataset, "recipe": recipe}
    if name is None and not any(given.values()):
        raise ConfigError(f"nothing to show; name one of: {', '.join(sorted({one.name for one in names()}))}")
    files = []
    if name is not None:
        slot = _slot(name)
        if slot == "files":
            files.append(name)
        elif given[slot]:
            raise ConfigError(f"{name} is a {WORDS[slot]}, and --{slot} {given[slot]} names another one")
        else:
            given[slot] = name
    return load_config(
        model=given["model"], dataset=given["dataset"], recipe=given["recipe"], files=files, overrides=overrides
    )


def _slot(name: str) -> Kind | Literal["files"]:
    """What a name or a file is, by where it is shipped or by the tables in it."""
    shipped = {one.kind for one in names() if one.name == name}
    order: tuple[Kind, ...] = ("dataset", "model", "recipe")
    for kind in order:
        if kind in shipped:
            return kind
    if not shipped and not os.path.exists(name) and not is_path(name):
        raise ConfigError(f"there is no configuration {name!r}{nearest(name, [one.name for one in names()])}")
    if os.path.isdir(name):
        return "dataset"
    tables = read(Path(name)).keys()
    return "dataset" if "data" in tables and "model" not in tables else "files"


def to_toml(settings: BaseModel) -> str:
    """Settings as TOML that `load_config(files=[...])` reads back; None has no form in TOML and is left out."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


def flat(settings: BaseModel) -> dict[str, Any]:
    """Dotted key -> value; lists and empty tables are values."""
    return dict(_flat(settings.model_dump(mode="json"), ""))


def _overrides(overrides: Sequence[str]) -> Tree:
    """`--set` as a tree, all of them joined before they meet a file: their order does not matter between keys."""
    tree: Tree = {}
    problems = []
    for text in overrides:
        key, equals, value = text.partition("=")
        keys = [part.strip() for part in key.split(".")]
        if not equals or not all(keys):
            problems.append(Problem(_COMMAND_LINE, None, f"--set {text}: write KEY=VALUE, for example train.epochs=12"))
            continue
        nested: dict[str, Any] = {keys[-1]: _value(value.strip())}
        for part in reversed(keys[:-1]):
            nested = {part: nested}
        tree = merge(tree, said_in(nested, _COMMAND_LINE))
    if problems:
        raise ConfigError(report(problems))
    return tree


def _value(text: str) -> Any:
    """A TOML value if it is one, else the bare text: `--set model.fusion.name=none` needs no quotes."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except BrokenToml:
        return text


def _of_dataset(kind: Kind, later: Tree) -> Path | None:
    """The model or recipe that the data set names, relative to the file that says so."""
    said = _said(later, "data", kind)
    if said is None or not isinstance(said.value, str) or not said.value:
        return None
    try:
        found = find(said.value, kind, said.source.folder)
        if not found.is_file():
            raise ConfigError(f"there is no file {found}")
        return found
    except ConfigError as error:
        raise ConfigError(f"{said.source.label}: data.{kind} = {said.value!r}: {error}") from error


def _rooted(tree: Tree) -> Tree:
    """`data.root` and `data.rig` as whole paths: relative to the file that says it, else to the working folder."""
    for key in ("root", "rig"):
        said = _said(tree, "data", key)
        if said is not None and isinstance(said.value, str) and said.value:
            path = (said.source.folder or Path()) / Path(said.value).expanduser()
            tree = merge(tree, {"data": {key: Said(os.path.abspath(path), said.source)}})
    return tree


def _said(tree: Tree, table: str, key: str) -> Said | None:
    inside = tree.get(table)
    found = inside.get(key) if isinstance(inside, dict) else None
    return found if isinstance(found, Said) else None


def _plain(tree: Tree) -> dict[str, Any]:
    return {key: value.value if isinstance(value, Said) else _plain(value) for key, value in tree.items()}


def _origins(config: Config, tree: Tree) -> dict[str, str]:
    said = {".".join(path): one.source.label for path, one in leaves(tree)}
    return {key: said.get(key, _DEFAULT.label) for key in flat(config)}


def _flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
