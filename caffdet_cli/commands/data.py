"""`caffdet data`: a data set on this machine: what it holds, what is wrong with it, and making it known."""

import typer

from caffdet_cli.commands import options

app = typer.Typer(help="A data set on this machine: what it holds, and what is wrong with it.")


@app.callback(invoke_without_command=True)
def _alone(context: typer.Context) -> None:
    options.help_if_alone(context)
