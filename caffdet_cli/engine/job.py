"""What a training run is asked to do, checked before anything long begins: settings, data, classes, folder, weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.splits import class_slots, load_split
from caffdet_cli.errors import ConfigError, DatasetError, OutputError
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Progress
from caffdet_cli.settings.config import Config
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.load import load_config
from caffdet_cli.weights.known import find_weights


@dataclass(frozen=True)
class Job:
    """A run that can start."""

    config: Config
    conventions: Conventions
    train: AnnotationSet
    val: AnnotationSet
    val_split: str
    folder: Path
    weights: Path | None  # a file to start from; None: random weights
    resume: bool


def new_job(
    dataset: str,
    *,
    model: str | None = None,
    weights: str | None = None,
    from_scratch: bool = False,
    output: str | Path | None = None,
    data_root: str | Path | None = None,
    overwrite: bool = False,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Job:
    """Settings and words to a run.

    Args:
        model: None: the data set's.
        weights: what to start from; None: what the recipe says. `from_scratch` says no to it.
        output: None: `runs/<model>-<dataset>-<number>`.
        overrides: `dotted.key=value`.
    """
    if weights and from_scratch:
        raise ConfigError("--weights and --from-scratch contradict each other; give one of them")
    said = [*overrides, *(["train.weights=''"] if from_scratch else [f"train.weights={weights!r}"] if weights else [])]
    config = load_config(dataset=dataset, model=model, overrides=said).config
    root = place_of(config.data, Path(data_root) if data_root is not None else None, progress)
    if root is not None:  # the run must find its data again when it is continued from another folder
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": str(root.resolve())})})
    train, val, val_split = _splits(config, root, progress)
    start = find_weights(config.train.weights) if config.train.weights else None
    name = f"{Path(model or config.data.model or 'model').stem}-{config.data.name or Path(dataset).stem}"
    folder = Path(output) if output is not None else _numbered(Path("runs"), name)
    fresh_folder(folder, overwrite)
    return Job(config, conventions_of(config, train), train, val, val_split, folder, start, resume=False)


def resumed_job(run: str | Path, *, overrides: Sequence[str] = (), progress: Progress | None = None) -> Job:
    """The run in a folder, to be continued; settings are those it was started with."""
    folder = Path(run)
    settings = folder / "config.toml"
    if not settings.is_file():
        raise OutputError(f"{folder} is no run folder: it has no config.toml; give the folder that caffdet train made")
    config = load_config(files=[settings], overrides=overrides).config
    train, val, val_split = _splits(config, None, progress)
    start = find_weights(config.train.weights) if config.train.weights else None  # where no checkpoint was saved yet
    return Job(config, conventions_of(config, train), train, val, val_split, folder, start, resume=True)


def conventions_of(config: Config, train: AnnotationSet) -> Conventions:
    """How this run's weights are to be used; goes into every checkpoint."""
    model = config.model
    names, ids = class_slots(model.labels, model.outputs, train, config.data.classes)
    spectra = model.spectra
    reference = train.label_spectrum if train.label_spectrum in spectra else spectra[0]
    return Conventions(
        input=model.input,
        spectra=spectra,
        label_spectrum=reference,
        thermal=config.data.thermal,
        classes=names,
        category_ids=ids,
    )


def _splits(config: Config, root: Path | None, progress: Progress | None) -> tuple[AnnotationSet, AnnotationSet, str]:
    _, train = load_split(config.data, "train", root, progress)
    val_split, val = load_split(config.data, None, root, progress)
    if not train.examples:
        raise DatasetError(f"{train.source} has no pictures to train on")
    return train, val, val_split


def _numbered(parent: Path, name: str) -> Path:
    """`<parent>/<name>-<number>`, one above the highest that is there."""
    pattern = re.compile(re.escape(name) + r"-(\d+)$")
    taken = [int(found[1]) for path in parent.glob(f"{name}-*") if (found := pattern.match(path.name))]
    return parent / f"{name}-{max(taken, default=0) + 1}"
