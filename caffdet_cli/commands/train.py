"""`caffdet train`: trains a detector, or goes on with a run."""

from typing import TYPE_CHECKING, Annotated

import typer

from caffdet_cli.commands import console, missing, options
from caffdet_cli.errors import ConfigError

if TYPE_CHECKING:
    from caffdet_cli.engine.job import Job
    from caffdet_cli.engine.train import Trained


def command(
    dataset: options.Dataset = None,
    model: options.Model = None,
    recipe: options.Recipe = None,
    weights: options.Weights = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Go on with the run in this folder.")
    ] = None,
    output: options.Output = None,
    data_root: options.DataRoot = None,
    set_: options.Set = None,
    device: options.Device = "auto",
    precision: options.TrainedIn = None,
    batch: options.Batch = None,
    workers: options.Workers = None,
    seed: options.Seed = None,
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Train a detector on a data set.

    The data set names the model, the recipe and the weights to start from; each can be said otherwise. A run that was
    stopped goes on with --resume and ends with the same numbers as one that was not.
    """
    said = {"precision": precision, "batch": batch, "workers": workers, "seed": seed}
    overrides = [*(set_ or ()), *(f"train.{key}={value}" for key, value in said.items() if value is not None)]
    words = {
        "model": model,
        "recipe": recipe,
        "weights": weights,
        "from_scratch": from_scratch,
        "output": output,
        "data_root": data_root,
    }
    if resume is not None and (clash := [key for key, value in {"dataset": dataset, **words}.items() if value]):
        raise ConfigError(f"--resume goes on with a run as it was started; leave out --{clash[0].replace('_', '-')}")
    if resume is None and dataset is None:
        raise missing.too_little({"--dataset": dataset}, {"for example": "caffdet train --dataset demo"})
    if dataset is not None:
        from caffdet_cli.settings.load import load_config

        load_config(dataset=dataset, model=model, recipe=recipe, overrides=overrides)  # before torch is imported
    if dry_run:
        from caffdet_cli.engine.job import new_job, resumed_job

        progress = console.progress(quiet, verbose)
        if resume is not None:
            job = resumed_job(resume, overrides=overrides, progress=progress)
        else:
            job = new_job(
                str(dataset),
                model=model,
                recipe=recipe,
                weights=weights,
                from_scratch=from_scratch,
                output=output,
                data_root=data_root,
                overwrite=overwrite,
                overrides=overrides,
                dry_run=True,
                progress=progress,
            )
        _show_plan(job, json)
        return
    from caffdet_cli.commands.live import make_watch
    from caffdet_cli.denormals import denormals_as_zero
    from caffdet_cli.engine.train import train

    with denormals_as_zero():
        trained = train(
            dataset,
            model=model,
            recipe=recipe,
            weights=weights,
            from_scratch=from_scratch,
            resume=resume,
            output=output,
            data_root=data_root,
            device=device,
            overwrite=overwrite,
            overrides=overrides,
            watch=make_watch(quiet, verbose),
        )
    _show(trained, json)


def _show_plan(job: "Job", json: bool) -> None:
    """What would be done."""
    settings = job.config.train
    if json:
        facts = {"run": str(job.folder), "weights": job.weights and str(job.weights), "epochs": settings.epochs}
        counts = {"train": len(job.train.examples), job.val_split: len(job.val.examples)}
        console.print_json({"schema": 1, "dry_run": True, **facts, "pictures": counts})
        return
    start = f"the weights {job.weights}" if job.weights else "random weights"
    console.echo(f"would train {'+'.join(job.config.model.spectra)} from {start} into {job.folder}:")
    console.echo(
        f"  {len(job.train.examples)} training and {len(job.val.examples)} {job.val_split} pictures, "
        f"{settings.epochs} epochs of batches of {settings.batch}, {len(job.conventions.classes)} class slots"
    )


def _percent(ap: float) -> str:
    """As in all tables; a dash where there is no object to find."""
    return "-" if ap < 0 else f"{100 * ap:.1f}"


def _show(trained: "Trained", json: bool) -> None:
    """The outcome."""
    best = trained.folder / "checkpoints" / "best"
    if json:
        console.print_json({"schema": 1, "run": str(trained.folder), "epochs": trained.epochs, "AP": trained.best})
        return
    console.echo(f"best AP {_percent(trained.best)} after {trained.epochs} epochs: {best}")
