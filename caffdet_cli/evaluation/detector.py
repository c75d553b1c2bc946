"""A detector scored on a data set; a pair model also with each spectrum removed."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.demo_set import place_of
from caffdet_cli.data.formats.detections import Found, write_detections
from caffdet_cli.data.splits import load_split
from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.evaluation import miss_rate_report
from caffdet_cli.evaluation.coco import CocoReport, evaluate_coco
from caffdet_cli.evaluation.detecting import detect, tell_padding, to_categories, with_classes
from caffdet_cli.evaluation.late import DETECTIONS, LATE_FILES, evaluate_late
from caffdet_cli.evaluation.receipt import Published, entry_of, published_beside, receipt, write_receipt
from caffdet_cli.evaluation.report import SpectraReport, write_report
from caffdet_cli.folders import whole_folder
from caffdet_cli.inference.agreement import tell_unlike
from caffdet_cli.inference.device import How, choose_device
from caffdet_cli.inference.predictor import Given
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.released.registry import Entry
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.late import Late
from caffdet_cli.settings.load import load_data
from caffdet_cli.weights.load import Loaded, load_detector

__all__ = ["Found", "check_rivals", "choices", "detect", "evaluate", "to_categories", "with_classes"]

_ALONE = ("rgb", "ir")  # order of the detectors after --against


def evaluate(
    weights: str,
    dataset: str,
    *,
    data_root: str | Path | None = None,
    split: str | None = None,
    spectrum: Given | None = None,
    against: tuple[str, str] | None = None,
    weights_ir: str | None = None,
    late: Late | None = None,
    device: str = "auto",
    precision: str | None = "fp32",
    batch: int | None = 1,
    workers: int | None = 2,
    output: str | Path | None = None,
    overwrite: bool = False,
    overrides: Sequence[str] = (),
    judge: Callable[[str, AnnotationSet, Found, Path | None], None] | None = None,
    progress: Progress | None = None,
) -> SpectraReport:
    """Score a checkpoint.

    Args:
        weights: run folder, checkpoint or published name.
        dataset: shipped name or TOML file.
        split: None: val where the data set has one, else test.
        spectrum: what a pair model is given; None: both, and each alone.
        against: checkpoints trained on RGB alone and on IR alone, to be beaten.
        weights_ir: a second detector, which looks at infrared; both are scored alone and in late fusion.
        late: settings of that fusion.
        batch: padding changes results of CAFF; 1, as published, has none.
        output: folder for `report.json`, `receipt.json` and `detections-<spectra>.json`.
        judge: of another metric; is handed the detections of each choice of spectra, and the folder if there is one.

    Raises:
        WeightsError, DatasetError, ConfigError, OutputError: what is wrong, and where.
    """
    progress = progress or Bars()
    if weights_ir is not None:
        refuse_with_late(spectrum, against)
        return evaluate_late(
            (weights, weights_ir),
            dataset,
            late or Late(),
            data_root=data_root,
            split=split,
            output=output,
            overwrite=overwrite,
            overrides=overrides,
            device=device,
            precision=precision or "fp32",
            batch=batch or 1,
            workers=2 if workers is None else workers,
            judge=judge,
            progress=progress,
        )
    if output is not None:
        fresh_folder(Path(output), overwrite)
    numbers = precision or "fp32"
    how = How(choose_device(device, numbers), numbers, batch or 1, 2 if workers is None else workers)
    main = load_detector(weights)
    others = dict(zip(_ALONE, map(load_detector, against or ()), strict=False))
    check_rivals(others)
    data = load_data(dataset, overrides)
    root = place_of(data, Path(data_root) if data_root is not None else None, progress)
    name, annotations = load_split(data, split, root, progress)
    given_all = choices(main.conventions, spectrum, annotations)
    if split is None:
        progress.say(f"scoring on the split {name!r} ({len(annotations.examples)} pictures)")
    used = with_classes(main, annotations, data)
    tell_padding(used, annotations, how.batch, progress)
    tell_unlike(used, annotations, data, progress)
    reports: dict[str, CocoReport] = {}
    written = ("report.json", "receipt.json", *miss_rate_report.FILES, *DETECTIONS, *LATE_FILES)
    place_of_results = (
        nullcontext() if output is None else whole_folder(Path(output), overwrite=overwrite, replaced=written)
    )
    with place_of_results as folder:
        for given in given_all:
            found, conventions = detect(main, annotations, data, given, how, progress)
            named = to_categories(found, conventions, annotations)
            reports[given] = evaluate_coco(annotations, named)
            if folder is not None:
                ids = [category.id for category in annotations.categories]
                write_detections(folder / f"detections-{given}.json", named, ids)
            if judge is not None:
                judge(given, annotations, named, folder)
        rivals = {}
        for alone, other in others.items():
            found, conventions = detect(other, annotations, data, "pair", how, progress)
            rivals[alone] = evaluate_coco(annotations, to_categories(found, conventions, annotations))
        published = None
        if (how.precision, how.batch) == ("fp32", 1) and (len(used.spectra) == 1 or "pair" in reports):
            main_report = reports.get("pair") or next(iter(reports.values()))
            published = published_beside(weights, main.source, data.name, name, main_report, len(annotations.examples))
        tell_released(entry_of(weights, main.source), data.name, published, folder is None, progress)
        report = SpectraReport(reports, rivals, published and published._replace(dataset=dataset))
        if folder is not None:
            write_report(report, folder / "report.json")
            facts = {"device": str(how.device), "precision": how.precision, "batch": how.batch, "spectra": given_all}
            made_of = receipt(weights, main.source, annotations, data.name, name, used, facts)
            write_receipt(made_of, folder / "receipt.json")
    return report


def tell_released(
    entry: Entry | None, dataset: str, published: Published | None, without_receipt: bool, progress: Progress
) -> None:
    """Of a released file on its own data set: that nothing is published of it, and how to keep what was measured."""
    if entry is None or entry.dataset != dataset:
        return
    if published is None and not entry.published:
        progress.say(f"no figures of {entry.name} on {dataset} are published, none are beside these")
    if without_receipt:
        progress.say("a receipt (hashes of weights and data, versions) is written with --output DIR")


def check_rivals(others: Mapping[str, Loaded]) -> None:
    """Refuse detectors after --against that look at something else than their place says, before anything long."""
    for alone, other in others.items():
        if other.conventions.spectra != (alone,):
            raise ConfigError(
                "--against takes a detector of RGB alone, then one of infrared alone; "
                f"{other.source} looks at {' and '.join(other.conventions.spectra)}"
            )


def refuse_with_late(spectrum: Given | None, against: tuple[str, str] | None) -> None:
    """What means nothing beside --weights-ir."""
    if spectrum is not None or against is not None:
        word = "--spectrum" if spectrum is not None else "--against"
        raise ConfigError(
            f"{word} is of one detector; with --weights-ir each of the two is shown what it was trained on, and is "
            "scored alone too"
        )


def choices(conventions: Conventions, spectrum: Given | None, annotations: AnnotationSet) -> list[Given]:
    """What a detector is to be shown, one after the other: by default the pair, and each spectrum that is there.

    Raises:
        ConfigError: a detector of one spectrum is asked for another.
        DatasetError: the data set has no picture of what is asked for.
    """
    has = {"rgb": any(one.rgb for one in annotations.examples), "ir": any(one.ir for one in annotations.examples)}
    if spectrum in has and not has[spectrum]:
        raise DatasetError(f"--spectrum {spectrum}: {annotations.source} has no {spectrum} pictures")
    if len(conventions.spectra) == 1:
        if spectrum not in (None, conventions.spectra[0]):
            raise ConfigError(f"--spectrum {spectrum}: this detector was trained on {conventions.spectra[0]} alone")
        return [conventions.spectra[0]]
    if spectrum:
        return [spectrum]
    return ["pair", "rgb", "ir"] if all(has.values()) else ["pair"]
