"""`caffdet data`: a data set on this machine: what it holds, what is wrong with it, and making it known."""

import typer

from caffdet_cli.commands import data_align, data_check, data_info, data_init, options

app = typer.Typer(help="A data set on this machine: what it holds, and what is wrong with it.")
app.command("info")(data_info.command)
app.command("check")(data_check.command)
app.command("init")(data_init.command)
app.command("align")(data_align.command)


@app.callback(invoke_without_command=True)
def _alone(context: typer.Context) -> None:
    options.help_if_alone(context)
