"""Detections in pictures or pairs, as a COCO result file and as drawings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.detections import DetectionArrays, write_detections
from caffdet_cli.errors import ConfigError
from caffdet_cli.folders import whole_folder
from caffdet_cli.inference.agreement import tell_counts
from caffdet_cli.inference.device import How, choose_device
from caffdet_cli.inference.looking import called, detected, tell_left_out, tell_lonely, without
from caffdet_cli.inference.predictor import Predictor, relabelled
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.inference.rigged import check_asked, in_pixels_of, rig_for
from caffdet_cli.inference.sources import picture_set
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.visualization.show import visualize_set
from caffdet_cli.weights.load import load_detector


@dataclass(frozen=True)
class Predicted:
    """What was found, and where it is written."""

    folder: Path
    pictures: int
    found: int  # detections at or above the score
    lonely: tuple[str, ...]  # pictures without a partner
    left_out: Mapping[str, str]  # pictures that could not be used, and why


def predict(
    weights: str,
    output: str | Path,
    *,
    rgb: str | Path | None = None,
    ir: str | Path | None = None,
    rig: str | Path | None = None,
    pair_by: str = "name",
    boxes: Spectrum | None = None,
    classes: Sequence[str] = (),
    score: float = 0.3,
    device: str = "auto",
    precision: str | None = "fp32",
    batch: int | None = 1,
    workers: int | None = 0,
    draw: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Predicted:
    """Look for objects.

    Args:
        weights: run folder, checkpoint or published name.
        output: folder for `detections.json` (COCO result form, image_id = common name of the pair) and `pictures/`.
        rgb, ir: a picture, a folder, or a text file with a path per line. A pair model also takes pictures of one
            spectrum alone.
        rig: file of the cameras' geometry (`caffdet data align`); "none": pictures fit as they are; None: the rig that
            the weights were trained with, if there was one.
        pair_by: which pictures belong together: `name`, `time`, `time:SECONDS`, or two patterns, `*_rgb.png=*_ir.png`.
        boxes: in whose pixels detections are written; None: in those of the label spectrum.
        classes: names of the class slots, for weights that have none: in their order, `SLOT=NAME` for some of them, or
            `coco`. A published detector of one spectrum with 91 slots has COCO's anyway.
        score: smallest score that is written and drawn, 0..1.

    Raises:
        DatasetError, WeightsError, ConfigError, OutputError: what is wrong, and where.
    """
    progress = progress or Bars()
    fresh_folder(Path(output), overwrite)
    numbers = precision or "fp32"
    place = choose_device(device, numbers)
    loaded = load_detector(weights)
    conventions = called(loaded, classes)
    used = _used({"rgb": rgb, "ir": ir}, conventions)
    check_asked(boxes, rig, used)
    geometry = rig_for(rig, conventions, progress) if len(used) == 2 else None
    pictures, lonely, left_out = picture_set(
        used.get("rgb"), used.get("ir"), conventions, pair_by=pair_by, rig=geometry
    )
    tell_lonely(lonely, len(pictures.examples), progress)
    tell_counts(conventions, pictures, progress)
    predictor = Predictor(prepare(loaded.detector, numbers), conventions, place, numbers)
    with whole_folder(Path(output), overwrite=overwrite) as folder:
        how = How(place, numbers, batch or 1, workers or 0)
        found, unread = detected(predictor, pictures, conventions, how, progress, score)
        pictures, left_out = without(pictures, unread), {**left_out, **unread}
        tell_left_out(left_out, progress)
        written = in_pixels_of(boxes or pictures.label_spectrum, found, pictures)
        without_id = write_detections(folder / "detections.json", written, conventions.category_ids)
        if draw:
            _draw(pictures, found, conventions, folder / "pictures", score, progress)
    total = sum(len(each.scores) for each in written.values()) - without_id
    return Predicted(Path(output), len(pictures.examples), total, tuple(lonely), left_out)


def _used(given: Mapping[Spectrum, str | Path | None], conventions: Conventions) -> dict[Spectrum, Path]:
    """The places of the pictures that the detector looks at."""
    if not any(given[spectrum] for spectrum in conventions.spectra) and any(given.values()):
        raise ConfigError(
            f"this detector looks at {conventions.spectra[0]} pictures; give them with --{conventions.spectra[0]}"
        )
    return {spectrum: Path(place) for spectrum, place in given.items() if place and spectrum in conventions.spectra}


def _draw(
    pictures: AnnotationSet,
    found: Mapping[int | str, DetectionArrays],
    conventions: Conventions,
    folder: Path,
    score: float,
    progress: Progress,
) -> None:
    slots = [category.id for category in pictures.categories]
    places = [slots.index(slot) if slot in slots else -1 for slot in range(len(conventions.classes))]
    shown = relabelled(found, places)
    thermal = conventions.thermal
    visualize_set(pictures, folder, predictions=shown, score=score, truth=False, thermal=thermal, progress=progress)
