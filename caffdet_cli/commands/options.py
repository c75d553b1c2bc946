"""Options that several commands share: one word, one meaning, one help text.

A command takes them as `dataset: options.Dataset`, with its own default where it has one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer


def _go_offline(context: typer.Context, said: bool) -> bool:
    if said:
        context.with_resource(_offline())
    return said


@contextmanager
def _offline() -> Iterator[None]:
    """As long as the command runs; files are looked up far below it, and in processes that it starts."""
    before = os.environ.get("CAFFDET_OFFLINE")
    os.environ["CAFFDET_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CAFFDET_OFFLINE"]
        else:
            os.environ["CAFFDET_OFFLINE"] = before


Dataset = Annotated[
    str | None,
    typer.Option("--dataset", metavar="NAME|FILE", help="A shipped data set (caffdet config list) or your own TOML."),
]
DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="Where its files are. Default: root in the data set's TOML, else $CAFFDET_DATA/NAME.",
    ),
]
Split = Annotated[
    Literal["train", "val", "test"] | None,
    typer.Option("--split", help="Default: val where the data set has one, else test."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME|FILE", help="A shipped configuration (caffdet config list) or your own TOML."
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe", metavar="NAME|FILE", help="A shipped training recipe (caffdet config list) or your own TOML."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="NAME|FILE|URL", help="A checkpoint of caffdet or a published one; an address is fetched."
    ),
]
WeightsIr = Annotated[
    str | None,
    typer.Option(
        "--weights-ir", metavar="NAME|FILE|URL", help="A second detector, of infrared: both are used and fused late."
    ),
]
Late = Annotated[
    list[str] | None,
    typer.Option(
        "--late", metavar="KEY=VALUE", help="Of late fusion: iou=X, least=X, prior=X, prior=uniform. Repeatable."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one setting; KEY as caffdet config show prints it. Repeatable."
    ),
]
Spectrum = Annotated[
    Literal["pair", "rgb", "ir"] | None,
    typer.Option("--spectrum", help="What a pair model is given: both pictures or one of them."),
]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[
    Literal["fp32", "bf16", "fp16"] | None, typer.Option("--precision", help="Numbers used for computing.")
]
TrainedIn = Annotated[
    Literal["fp32", "bf16"] | None,
    typer.Option("--precision", help="Numbers used for computing. To detect there is fp16 too."),
]
Batch = Annotated[int | None, typer.Option("--batch", min=1, metavar="N", help="Pictures or pairs per step.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=0, metavar="N", help="Processes that read pictures; 0: none beside this one."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, max=2**32 - 1, metavar="N", help="Where random numbers start.")
]
Score = Annotated[
    float, typer.Option("--score", min=0.0, max=1.0, metavar="X", help="Smallest score that is drawn or written.")
]
Output = Annotated[str | None, typer.Option("--output", "-o", metavar="DIR", help="Where results go; created.")]
Offline = Annotated[
    bool, typer.Option("--offline", callback=_go_offline, help="Fetch nothing: use what is at hand ($CAFFDET_OFFLINE).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to standard output and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell more, and more often.")]
Debug = Annotated[bool, typer.Option("--debug", help="After an error, show where in the program it happened.")]


def help_if_alone(context: typer.Context) -> None:
    """A group of commands without a command lists what exists, and exits 2."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
