"""`caffdet config list` and `caffdet config show`: what exists, and every setting with its origin."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffdet_cli.commands import options
from caffdet_cli.commands.console import echo, print_json, table, wants_rich
from caffdet_cli.errors import ConfigError

if TYPE_CHECKING:
    from caffdet_cli.settings.model import Model

app = typer.Typer(help="What can be set, to what it is set, and who says so.")


@app.callback(invoke_without_command=True)
def _alone(context: typer.Context) -> None:
    options.help_if_alone(context)


@app.command("list")
def list_command(json: options.Json = False, debug: options.Debug = False) -> None:
    """Shipped models, data sets and recipes."""
    from caffdet_cli.settings.load import names

    shipped = names()
    if json:
        rows = [{"kind": one.kind, "name": one.name, "about": one.about, "path": str(one.path)} for one in shipped]
        print_json({"schema": 1, "configurations": rows})
    else:
        table("", ["kind", "name", "about"], [(one.kind, one.name, one.about) for one in shipped])


@app.command("show")
def show_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="Model, data set, recipe, or your own TOML.", show_default=False),
    ] = None,
    model: options.Model = None,
    dataset: options.Dataset = None,
    recipe: options.Recipe = None,
    set_: options.Set = None,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", metavar="FILE", help="Draw the model into FILE.png instead, with the shapes inside."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Height and width of the drawn pictures. Default: what the model makes of one of 1024x1280.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Every setting with its value and where it comes from; or the model as a drawing.

    A data set's name shows what `caffdet train --dataset NAME` would use: its own settings, its model and its recipe.
    """
    from caffdet_cli.settings.load import flat, load_named

    if draw is None and (size is not None or overwrite):
        raise ConfigError("--size and --overwrite are for --draw FILE.png")
    resolved = load_named(name, model=model, dataset=dataset, recipe=recipe, overrides=set_ or ())
    if draw is not None:
        _draw(resolved.config.model, draw, size, Path(name or model or dataset or "").name, overwrite, json)
        return
    values = flat(resolved.config)
    if json:
        origins = resolved.origins
        print_json({"schema": 1, "settings": {key: {"value": values[key], "origin": origins[key]} for key in values}})
    elif wants_rich(sys.stdout):
        table(
            "",
            ["setting", "value", "from"],
            [(key, _toml(value), resolved.origins[key]) for key, value in values.items()],
        )
    else:
        for key, value in values.items():
            echo(f"{key} = {_toml(value)}  # {resolved.origins[key]}")


def _draw(model: "Model", target: Path, size: str | None, title: str, overwrite: bool, json: bool) -> None:
    from caffdet_cli.benchmark.request import parsed_size

    wanted = None if size is None else parsed_size(size)  # before torch is imported
    from caffdet_cli.benchmark.model_drawing import save_model_drawing

    height, width = save_model_drawing(model, target, wanted, title=title, overwrite=overwrite)
    if json:
        print_json({"schema": 1, "drawing": str(target), "size": f"{height}x{width}"})
    else:
        echo(f"{target}: the model, and its shapes for pictures of {height}x{width}")


def _toml(value: Any) -> str:
    """A value as a TOML file has it, on one line."""
    import tomli_w

    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict) and value:  # in a list; others are shown key by key
        return f"{{ {', '.join(f'{key} = {_toml(one)}' for key, one in value.items())} }}"
    return tomli_w.dumps({"_": value}).removeprefix("_ = ").rstrip("\n") if value != {} else "{}"
