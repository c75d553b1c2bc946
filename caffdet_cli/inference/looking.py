"""What looking with one detector and with two have in common: class names, a run over pictures, what is left out."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.formats.detections import DetectionArrays, Found
from caffdet_cli.data.loading import EpochSampler, Loader, closing_workers
from caffdet_cli.errors import DatasetError, WeightsError
from caffdet_cli.inference.device import How
from caffdet_cli.inference.members import Member
from caffdet_cli.inference.predictor import Predictor
from caffdet_cli.progress import Progress
from caffdet_cli.released.registry import entry_of_file
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.weights.class_names import with_names
from caffdet_cli.weights.coco_slots import coco_slots
from caffdet_cli.weights.load import Loaded


def called(loaded: Loaded | Member, classes: Sequence[str]) -> Conventions:
    """The conventions of a detector with names for its classes.

    Raises:
        WeightsError: nobody says them. ConfigError: `classes` are none of this detector.
    """
    known, slots = loaded.conventions, len(loaded.conventions.classes) or loaded.model.outputs
    if classes:
        return with_names(known, classes, slots)
    if known.classes:
        return known
    if is_of_coco(loaded.source) and slots == len(coco_slots()):
        return with_names(known, ["coco"], slots)
    raise WeightsError(
        f"{loaded.source} does not say what its {slots} class slots are called; say it: --classes 0=person,1=car, "
        "or --classes coco for those of COCO (which ones fire: caffdet weights check WEIGHTS --dataset DATASET)"
    )


def is_of_coco(source: Path) -> bool:
    """Whether a file is a released one that was trained on COCO; by its name."""
    entry = entry_of_file(source)
    return entry is not None and entry.dataset == "coco"


def detected(
    predictor: Predictor, pictures: AnnotationSet, conventions: Conventions, how: How, progress: Progress, score: float
) -> tuple[Found, dict[str, str]]:
    """Detections of all that can be read, labels as class slots; and why the others cannot.

    Args:
        score: smallest that is kept.

    Raises:
        DatasetError: not one can be read.
    """
    if not pictures.examples:  # of two detectors one may have nothing to look at
        return {}, {}
    dataset = PairDataset(pictures, conventions, augment=None, seed=0, tolerant=True)
    batches = Loader(dataset, EpochSampler(len(dataset), how.batch, seed=0, shuffle=False), how.workers)
    with closing_workers(batches):
        tracked = progress.track(batches, "detecting", total=len(batches))
        found = {identity: above(each, score) for identity, each in predictor.run(tracked, absent=False)}
    unread = {
        str(example.id): dataset.problem(index)
        for index, example in enumerate(pictures.examples)
        if example.id not in found
    }
    if len(unread) == len(pictures.examples):
        raise DatasetError(next(iter(unread.values())))
    return found, unread


def above(found: DetectionArrays, score: float) -> DetectionArrays:
    """Detections with this score or a better one."""
    kept = found.scores >= score
    return DetectionArrays(found.boxes[kept], found.labels[kept], found.scores[kept])


def without(pictures: AnnotationSet, unread: Container[str]) -> AnnotationSet:
    """The pictures that could be read."""
    return replace(pictures, examples=tuple(one for one in pictures.examples if str(one.id) not in unread))


def tell_left_out(left_out: Mapping[str, str], progress: Progress) -> None:
    """Warn of pictures that were not looked at."""
    if left_out:
        shown = "; ".join([*left_out.values()][:3]) + ("; ..." if len(left_out) > 3 else "")
        progress.warn(f"{len(left_out)} pictures or pairs are left out: {shown}")


def tell_lonely(lonely: Sequence[str], pictures: int, progress: Progress) -> None:
    """Warn of pictures without a partner."""
    if lonely:
        named = ", ".join(lonely[:5]) + (" ..." if len(lonely) > 5 else "")
        progress.warn(f"{len(lonely)} of {pictures} pictures have no partner: {named}")
