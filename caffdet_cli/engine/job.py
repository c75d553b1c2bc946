"""What a training run is asked to do, checked before anything long begins: settings, data, classes, folder, weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.camera_range import fixed_rule
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.splits import class_slots, load_split
from caffdet_cli.engine.checkpoint import last_of
from caffdet_cli.errors import ConfigError, DatasetError, OutputError, WeightsError
from caffdet_cli.paths import fresh_folder, numbered_folder
from caffdet_cli.progress import Progress
from caffdet_cli.settings.config import Config
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.data import PercentileRule
from caffdet_cli.settings.load import flat, load_config
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.known import find_weights

_MAY_CHANGE = (
    *("train.epochs", "train.workers", "train.validate_every", "train.save_every"),
    *("data.root", "data.rig", "train.augment.cache"),  # places: what lies there is compared by the fingerprint
)


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
    recipe: str | None = None,
    weights: str | None = None,
    from_scratch: bool = False,
    output: str | Path | None = None,
    data_root: str | Path | None = None,
    overwrite: bool = False,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Job:
    """Settings and words to a run.

    Args:
        model, recipe: None: the data set's.
        weights: what to start from; None: what the recipe says. `from_scratch` says no to it.
        output: None: `runs/<model>-<dataset>-<number>`.
        overrides: `dotted.key=value`.
        dry_run: make no folder.
    """
    if weights and from_scratch:
        raise ConfigError("--weights and --from-scratch contradict each other; give one of them")
    first = "" if from_scratch else weights
    said = [*overrides, *([] if first is None else [f"train.weights={json.dumps(first, ensure_ascii=False)}"])]
    config = load_config(dataset=dataset, model=model, recipe=recipe, overrides=said).config
    _check_sizes(config)
    root = place_of(config.data, Path(data_root) if data_root is not None else None, progress)
    if root is not None:  # the run must find its data again when it is continued from another folder
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": str(root.resolve())})})
    train, val, val_split = _splits(config, root, progress)
    start = _starting_weights(config.train.weights, progress)
    if start is not None and Path(config.train.weights).expanduser().exists():  # no name: found from any folder again
        config = config.model_copy(update={"train": config.train.model_copy(update={"weights": str(start.resolve())})})
    name = f"{Path(model or config.data.model or 'model').stem}-{config.data.name or Path(dataset).stem}"
    conventions = conventions_of(config, train, progress)
    if start is None and config.train.freeze_backbone and progress is not None:
        progress.warn(
            "the backbone has random weights and is not trained (train.freeze_backbone = true); from random weights "
            "take --recipe from-scratch and a model with trainable normalisation, such as caff-lite-dino-r18"
        )
    folder = Path(output) if output is not None else numbered_folder(Path("runs"), name, make=not dry_run)
    fresh_folder(folder, overwrite)
    _check_overwrite(folder, train)
    return Job(config, conventions, train, val, val_split, folder, start, resume=False)


def _starting_weights(weights: str, progress: Progress | None) -> Path | None:
    if not weights:
        return None
    try:
        return find_weights(weights, progress)
    except WeightsError as error:
        raise WeightsError(
            f"{error}, or train from random weights: --from-scratch, best with --model caff-lite-dino-r18 "
            "--recipe from-scratch"
        ) from error


def _check_sizes(config: Config) -> None:
    """Told before the first step rather than at it."""
    least, augment = config.model.smallest_side, config.train.augment
    sides = {"model.input.short_side": config.model.input.short_side}
    sides |= (
        {"train.augment.fixed_size": min(augment.fixed_size)}
        if augment.fixed_size
        else {"train.augment.scales": min(augment.scales)}
    )
    for key, side in sides.items():
        if side < least:
            raise ConfigError(
                f"{key} has {side}, and {config.model.fusion_words} needs {least} pixels on the short side"
            )


def _check_overwrite(folder: Path, train: AnnotationSet) -> None:
    """What is overwritten must be a run, and not the data."""
    first = train.examples[0]
    for path in filter(None, (train.source, first.rgb, first.ir)):
        if path.resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"--output {folder} holds the data set ({path}); choose another --output")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.toml").is_file():
        raise OutputError(f"{folder} is no run folder (it has no config.toml): --overwrite replaces runs only")


def resumed_job(run: str | Path, *, overrides: Sequence[str] = (), progress: Progress | None = None) -> Job:
    """The run in a folder, to be continued; settings are those it was started with.

    Raises:
        ConfigError: an override would change its numbers (train.epochs may change: it goes on for longer).
    """
    folder = Path(run)
    settings = folder / "config.toml"
    if not settings.is_file():
        raise OutputError(f"{folder} is no run folder: it has no config.toml; give the folder that caffdet train made")
    config = load_config(files=[settings], overrides=overrides).config
    before, after = flat(load_config(files=[settings]).config), flat(config)
    if changed := [key for key in before | after if before.get(key) != after.get(key) and key not in _MAY_CHANGE]:
        raise ConfigError(
            f"{changed[0]} cannot change when a run goes on (only {', '.join(_MAY_CHANGE)} can); "
            f"start another run from its weights with --weights {folder}"
        )
    train, val, val_split = _splits(config, None, progress)
    fresh = last_of(folder) is None  # killed before its first checkpoint
    start = find_weights(config.train.weights, progress) if config.train.weights and fresh else None
    return Job(config, conventions_of(config, train, progress), train, val, val_split, folder, start, resume=True)


def conventions_of(config: Config, train: AnnotationSet, progress: Progress | None = None) -> Conventions:
    """How this run's weights are to be used; goes into every checkpoint."""
    model = config.model
    names, ids = class_slots(model.labels, model.outputs, train, config.data.classes)
    _check_detections(model, len(names))
    spectra = model.spectra
    reference = train.label_spectrum if train.label_spectrum in spectra else spectra[0]
    return Conventions(
        input=model.input,
        spectra=spectra,
        label_spectrum=reference,
        thermal=fixed_rule(config.data.thermal, train, progress) if "ir" in spectra else PercentileRule(),
        rig=train.rig if len(spectra) == 2 else None,
        classes=names,
        category_ids=ids,
    )


def _check_detections(model: Model, outputs: int) -> None:
    """As the settings do where they have a number of outputs."""
    most = model.queries * outputs
    if most < model.detections != Model.model_fields["detections"].default:
        raise ConfigError(
            f"model.detections = {model.detections} is more than model.queries = {model.queries} times the {outputs} "
            "class slots of the data set; --set model.detections=N says how many boxes are kept"
        )


def _splits(config: Config, root: Path | None, progress: Progress | None) -> tuple[AnnotationSet, AnnotationSet, str]:
    _, train = load_split(config.data, "train", root, progress)
    if not {"val", "test"} & config.data.splits.keys():
        raise DatasetError(
            "training is judged on a split val or test, and the data set has none; add [data.splits.val] to its TOML, "
            "or convert it again: caffdet convert --val 0.2 holds whole scenes out of its training pictures"
        )
    val_split, val = load_split(config.data, None, root, progress)
    if not train.examples:
        raise DatasetError(f"{train.source} has no pictures to train on")
    return train, val, val_split
