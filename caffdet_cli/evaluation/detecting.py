"""Detections of a detector on a data set, by picture id, and their classes by name."""

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.camera_range import fixed_rule
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.formats.detections import Found
from caffdet_cli.data.loading import EpochSampler, Loader, closing_workers
from caffdet_cli.data.splits import class_slots
from caffdet_cli.inference.device import How
from caffdet_cli.inference.members import Member
from caffdet_cli.inference.predictor import Given, Predictor, relabelled
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.progress import Progress
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.data import Data
from caffdet_cli.weights.load import Loaded


def detect(
    loaded: Loaded,
    annotations: AnnotationSet,
    data: Data,
    given: Given,
    how: How,
    progress: Progress,
) -> tuple[Found, Conventions]:
    """Detections by picture id, labels as class slots; and the conventions with the class list that was used."""
    conventions = with_classes(loaded, annotations, data)
    predictor = Predictor(prepare(loaded.detector, how.precision), conventions, how.device, how.precision)
    dataset = PairDataset(annotations, conventions, augment=None, seed=0)
    batches = Loader(dataset, EpochSampler(len(dataset), how.batch, seed=0, shuffle=False), how.workers)
    label = f"detecting ({given})" if len(conventions.spectra) > 1 else "detecting"
    with closing_workers(batches):
        return dict(predictor.run(progress.track(batches, label, total=len(batches)), given)), conventions


def with_classes(loaded: Loaded | Member, annotations: AnnotationSet, data: Data) -> Conventions:
    """The detector's conventions; a published file has no class names, its data set gives them by category id."""
    if loaded.conventions.classes:
        return loaded.conventions
    names, ids = class_slots("category_ids", loaded.model.outputs, annotations, data.classes)
    infrared = "ir" in loaded.conventions.spectra
    changes = {
        "classes": names,
        "category_ids": ids,
        "label_spectrum": annotations.label_spectrum,
        "thermal": fixed_rule(data.thermal, annotations) if infrared else loaded.conventions.thermal,
    }
    return loaded.conventions.model_copy(update=changes)


def to_categories(found: Found, conventions: Conventions, annotations: AnnotationSet) -> Found:
    """Labels as positions in the annotation file's categories, by class name."""
    places = {category.name: index for index, category in enumerate(annotations.categories)}
    return relabelled(found, [-1 if name is None else places.get(name, -1) for name in conventions.classes])


def tell_padding(conventions: Conventions, annotations: AnnotationSet, batch: int, progress: Progress) -> None:
    """Warn where pictures of a pair model are padded."""
    differ = len({(example.height, example.width) for example in annotations.examples}) > 1
    if batch > 1 and differ and len(conventions.spectra) > 1:
        progress.warn(
            f"--batch {batch}: pictures have several sizes and are padded, which changes results of CAFF; "
            "--batch 1 pads nothing, as published"
        )
