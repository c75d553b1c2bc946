"""`caffdet ops`: build, try, look at and clear the native operators."""

from typing import TYPE_CHECKING, Annotated

import typer

from caffdet_cli.commands import options
from caffdet_cli.commands.console import echo, print_json, progress, table
from caffdet_cli.errors import Findings

if TYPE_CHECKING:
    from caffdet_cli.kernels.trial import Trial

app = typer.Typer(help="The native operators (deformable attention): build, test, info, clear.")


@app.callback(invoke_without_command=True)
def _alone(context: typer.Context) -> None:
    options.help_if_alone(context)


@app.command("build")
def build_command(
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch", metavar="sm_80,sm_90", help="CUDA architectures, also without a GPU. Default: this GPU's."
        ),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="The CPU library only.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Build now what the first use would build: for containers, clusters and machines without a network."""
    from caffdet_cli.kernels.prebuild import prebuild

    built = prebuild(None if arch is None else arch.split(","), cpu_only=cpu, progress=progress(quiet))
    if json:
        print_json(
            {"schema": 1, "built": [{"for": one.target, "how": one.how, "path": str(one.path)} for one in built]}
        )
    else:
        table("", ["for", "how", "file"], [(one.target, one.how, one.path) for one in built])


@app.command("test")
def try_command(device: options.Device = "auto", json: options.Json = False, debug: options.Debug = False) -> None:
    """Compare the operators with their definition, forward in double and float, and check gradients."""
    from caffdet_cli.inference.device import choose_device
    from caffdet_cli.kernels.trial import implementation_of, trials

    place = choose_device(device)
    done = list(trials(place))
    if json:
        rows = [one._asdict() for one in done]
        print_json({"schema": 1, "device": str(place), "implementation": implementation_of(place), "trials": rows})
    else:
        echo(f"{place}: {implementation_of(place)}")
        table("", ["trial", "largest error", "result"], map(_row, done))
    if failed := [one.name for one in done if not one.passed]:
        raise Findings(
            f"{len(failed)} of {len(done)} trials failed on {place}: {', '.join(failed[:3])}; please report it"
        )


def _row(trial: "Trial") -> tuple[str, str, str]:
    error = "" if trial.error is None else f"{trial.error:.1e}"
    return trial.name, error, "ok" if trial.passed else "FAILED"


@app.command("info")
def info_command(json: options.Json = False, debug: options.Debug = False) -> None:
    """Which implementation runs on which device, and why."""
    from caffdet_cli.kernels.info import about_operators

    rows = about_operators()
    if json:
        print_json({"schema": 1, "operators": [one._asdict() for one in rows]})
    else:
        table("", ["device", "implementation", "remark"], [(one.device, one.implementation, one.note) for one in rows])


@app.command("clear")
def clear_command(json: options.Json = False, debug: options.Debug = False) -> None:
    """Remove everything that was built; it is built again when it is needed."""
    from caffdet_cli.kernels.prebuild import clear

    removed, folder = clear()
    if json:
        print_json({"schema": 1, "removed": removed, "folder": str(folder)})
    else:
        echo(f"{removed} files removed from {folder}")
