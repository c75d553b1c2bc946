"""Detections of two detectors in pictures or pairs, fused, as a COCO result file and as drawings."""

from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.formats.detections import Found, write_detections
from caffdet_cli.folders import whole_folder
from caffdet_cli.inference.agreement import tell_counts
from caffdet_cli.inference.device import How, choose_device
from caffdet_cli.inference.ensemble import fuse_all
from caffdet_cli.inference.looking import above, called, detected, tell_left_out, tell_lonely, without
from caffdet_cli.inference.members import (
    Member,
    Two,
    check_pictures,
    joint_classes,
    seen_by,
    tell_differences,
    two_members,
)
from caffdet_cli.inference.predict import Predicted
from caffdet_cli.inference.predictor import Predictor, relabelled
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.inference.rigged import check_asked, in_pixels_of, rig_for
from caffdet_cli.inference.sources import picture_set
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.late import Late
from caffdet_cli.settings.rig import Rig
from caffdet_cli.visualization.show import visualize_set
from caffdet_cli.weights.load import load_detector


class _Pictures(NamedTuple):
    """What there is to look at."""

    rgb: Path | None
    ir: Path | None
    pair_by: str
    rig: Rig | None


def predict_late(
    weights: str,
    weights_ir: str,
    output: str | Path,
    *,
    rgb: str | Path | None = None,
    ir: str | Path | None = None,
    late: Late | None = None,
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
    """Look for objects with two detectors; arguments as those of `predict.predict`, but for these.

    Each detector is in memory while it looks at the pictures, and not longer. It sees them as if it were alone.

    Args:
        weights: a detector that looks at RGB.
        weights_ir: a detector that looks at infrared.
        late: how their detections are fused.
        rig: file of the cameras' geometry; "none": pictures fit as they are; None: the rig that one of the detectors
            was trained with.
        boxes: in whose pixels detections are fused and written; None: in those of infrared, where it is there.
        classes: names of the class slots, for a detector that has none.

    Raises:
        DatasetError, WeightsError, ConfigError, OutputError: what is wrong, and where.
    """
    progress = progress or Bars()
    fresh_folder(Path(output), overwrite)
    numbers = precision or "fp32"
    how = How(choose_device(device, numbers), numbers, batch or 1, workers or 0)
    two = _called(two_members(weights, weights_ir), classes)
    place = _place(two, rgb, ir, boxes)
    joint = _joint(two, place, progress)
    geometry = rig_for(rig, _with_rig(two, progress), progress) if rgb and ir else None
    given = _Pictures(Path(rgb) if rgb else None, Path(ir) if ir else None, pair_by, geometry)
    pictures, lonely, left_out = picture_set(*given[:2], joint, pair_by=pair_by, rig=geometry)
    tell_lonely(lonely, len(pictures.examples), progress)
    for each in two:
        tell_counts(each.conventions, pictures, progress, f"the weights of {each.option}")
    with whole_folder(Path(output), overwrite=overwrite) as folder:
        (first, unread), (second, also_unread) = (_alone(each, given, joint, left_out, how, progress) for each in two)
        left_out = {**left_out, **unread, **also_unread}
        fused = fuse_all(first, second, late or Late())
        found = {key: above(each, score) for key, each in fused.items() if str(key) not in left_out}
        pictures = without(pictures, left_out)
        tell_left_out(left_out, progress)
        write_detections(folder / "detections.json", found, joint.category_ids)
        if draw:
            visualize_set(
                pictures,
                folder / "pictures",
                predictions=found,
                score=score,
                truth=False,
                thermal=joint.thermal,
                progress=progress,
            )
    total = sum(len(each.scores) for each in found.values())
    return Predicted(Path(output), len(pictures.examples), total, tuple(lonely), left_out)


def _called(two: Two, classes: Sequence[str]) -> Two:
    """Both with names for their classes; `classes` are of those that have none."""
    first, second = (
        each._replace(conventions=called(each, () if each.conventions.classes else classes)) for each in two
    )
    return first, second


def _place(two: Two, rgb: str | Path | None, ir: str | Path | None, boxes: Spectrum | None) -> Spectrum:
    """In whose pixels boxes are, after a look at which pictures there are."""
    has: dict[Spectrum, bool] = {"rgb": bool(rgb), "ir": bool(ir)}
    check_pictures(two, has, "there are")
    check_asked(boxes, None, [spectrum for spectrum, there in has.items() if there])
    return boxes or ("ir" if ir else "rgb")


def _joint(two: Two, place: Spectrum, progress: Progress) -> Conventions:
    """What the fused detections mean: the classes of both, and in whose pixels boxes are."""
    classes = joint_classes(two, progress)
    tell_differences(two, progress)
    thermal = two[1].conventions.thermal
    ids = _category_ids(two, classes)
    return Conventions(spectra=("rgb", "ir"), label_spectrum=place, thermal=thermal, classes=classes, category_ids=ids)


def _category_ids(two: Two, classes: Sequence[str]) -> tuple[int, ...]:
    """Ids to write: those of the first member, then those of the second one; a free number where both are taken."""
    ids: dict[str, int] = {}
    for member in two:
        conventions = member.conventions
        known = conventions.category_ids or tuple(range(len(conventions.classes)))
        for name, number in zip(conventions.classes, known, strict=True):
            if name is not None and name not in ids:
                taken = set(ids.values())
                free = next(each for each in range(len(taken) + 1) if each not in taken)
                ids[name] = free if number is None or number in taken else number
    return tuple(ids[name] for name in classes)


def _with_rig(two: Two, progress: Progress) -> Conventions:
    """The conventions whose rig is used where none is said."""
    rigs = [member for member in two if member.conventions.rig is not None]
    if len(rigs) == 2 and rigs[0].conventions.rig != rigs[1].conventions.rig:
        progress.warn(f"the two detectors were trained with different camera rigs; that of {rigs[0].option} is used")
    return (rigs or two)[0].conventions


def _alone(
    member: Member,
    given: _Pictures,
    joint: Conventions,
    left_out: Container[str],
    how: How,
    progress: Progress,
) -> tuple[Found, dict[str, str]]:
    """Detections of one member: as it sees the pictures, in the pixels and classes of both; and what it cannot read.

    Args:
        left_out: names of pairs that are not looked at.
    """
    conventions = member.conventions
    pictures, _, own_left_out = picture_set(given.rgb, given.ir, conventions, pair_by=given.pair_by, rig=given.rig)
    seen = without(replace(pictures, examples=seen_by(conventions, pictures.examples)), left_out)
    progress.say(f"{member.option}: {member.source}")
    detector = prepare(load_detector(member.weights).detector, how.precision)
    predictor = Predictor(detector, conventions, how.device, how.precision)
    raw, unread = detected(predictor, seen, conventions, how, progress, score=0.0)
    found = in_pixels_of(joint.label_spectrum, raw, seen)
    slots = {name: slot for slot, name in enumerate(joint.classes)}
    return relabelled(found, [-1 if name is None else slots[name] for name in conventions.classes]), {
        **own_left_out,
        **unread,
    }
