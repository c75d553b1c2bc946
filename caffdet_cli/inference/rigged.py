"""Which rig live pictures go through, and detections in the pixels of either camera."""

from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.data.images import picture_size
from caffdet_cli.data.rig import read_rig
from caffdet_cli.data.warp import warp_boxes
from caffdet_cli.errors import ConfigError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.rig import Rig

NO_RIG = "none"


def check_asked(boxes: Spectrum | None, rig: str | Path | None, given: Container[Spectrum]) -> None:
    """What is asked for needs pictures of both spectra, or of one.

    Args:
        given: the spectra of which there are pictures.

    Raises:
        ConfigError: boxes in pixels of pictures that are not there, or a rig for one camera.
    """
    if boxes is not None and boxes not in given:
        raise ConfigError(f"--boxes {boxes}: there are no {boxes} pictures; give them with --{boxes} PATH")
    if rig is not None and str(rig) != NO_RIG and not ("rgb" in given and "ir" in given):
        raise ConfigError(f"--rig {rig} is for pairs; give both --rgb and --ir, or leave --rig out")


def rig_for(said: str | Path | None, conventions: Conventions, progress: Progress) -> Rig | None:
    """The rig of a file, or the one that the weights were trained with.

    Args:
        said: a rig file; "none": pictures fit as they are; None: what is stored with the weights.

    Raises:
        DatasetError: the file is no rig.
    """
    if said is None:
        if conventions.rig is not None:
            progress.warn(
                f"{conventions.rig.moved} pictures are warped by the camera rig of the training pictures; "
                "--rig FILE names another one, --rig none leaves them as they are"
            )
        return conventions.rig
    return None if str(said) == NO_RIG else read_rig(Path(said))


def in_pixels_of(
    spectrum: Spectrum, found: Mapping[int | str, DetectionArrays], pictures: AnnotationSet
) -> dict[int | str, DetectionArrays]:
    """Detections that are in the label spectrum's pixels, in those of `spectrum`: through the rig, else stretched.

    They are cut to its picture; what that camera does not see is left out.
    Where there is no picture of that spectrum they are in pixels of the one that there is, as with `label_spectrum`.
    """
    if spectrum == pictures.label_spectrum:
        return dict(found)
    examples = {example.id: example for example in pictures.examples}
    return {key: _turned(one, examples[key], pictures.rig, spectrum) for key, one in found.items()}


def _turned(found: DetectionArrays, example: Example, rig: Rig | None, spectrum: Spectrum) -> DetectionArrays:
    path = example.rgb if spectrum == "rgb" else example.ir
    if path is None:
        return found
    height, width = picture_size(path)
    if rig is None:
        boxes = found.boxes * np.array([width / example.width, height / example.height] * 2)
    else:
        sizes = {"moved_size": (height, width), "fixed_size": (example.height, example.width)}
        boxes = warp_boxes(found.boxes, rig, "moved", **sizes)
    boxes = np.clip(boxes, 0, [width, height, width, height])
    seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return DetectionArrays(boxes[seen], found.labels[seen], found.scores[seen])
