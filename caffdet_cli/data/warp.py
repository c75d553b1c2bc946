"""Pictures and boxes through a rig: from the moved camera into the pixels of the other one, and boxes back.

Pictures are (h, w) or (h, w, 3) of any depth. Points and boxes are in pixels from the upper left corner, as everywhere;
OpenCV counts from the middle of the first pixel, which is half a pixel away.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.rig import Rig

Size = tuple[int, int]  # height, width
Floats = NDArray[np.float64]

_WARPED_AS_THEY_ARE = (np.uint8, np.uint16, np.int16, np.float32, np.float64)  # what OpenCV interpolates
_SHRINKS = 0.75  # a warp to less than this size averages first, so that nothing flickers


def warp_picture(picture: NDArray[Any], rig: Rig, size: Size | None = None) -> NDArray[Any]:
    """A picture of the moved camera as the other camera would see it; 0 where it does not reach.

    Args:
        picture: of the rig's `moved_size`, or of another size with the same shape.
        size: height and width of the fixed picture, which the result has; None: those of the rig.

    Returns:
        (height, width) or (height, width, 3), of the picture's depth.

    Raises:
        DatasetError: the shape of the picture, or of `size`, is not that of the rig.
    """
    before = (picture.shape[0], picture.shape[1])
    after = _as_size(rig.fixed_size) if size is None else size
    return warp(picture, matrix_for(rig, before, after), after)


def warp_file(picture: NDArray[Any], path: Path, rig: Rig | None, spectrum: Spectrum, size: Size) -> NDArray[Any]:
    """The picture of a file as its partner's camera sees it; as it is where no rig warps this spectrum.

    Args:
        size: height and width of the partner.

    Raises:
        DatasetError: its shape is not that of the rig; names the file.
    """
    if rig is None or rig.moved != spectrum:
        return picture
    try:
        return warp_picture(picture, rig, size)
    except DatasetError as error:
        raise DatasetError(f"picture {path}: {error}") from error


def onto(rig: Rig, fixed: Spectrum) -> Rig:
    """The same rig with the other spectrum's pictures warped onto those of `fixed`.

    Raises:
        DatasetError: it cannot be turned round.
    """
    if rig.moved != fixed:
        return rig
    first, second, third = np.linalg.inv(np.array(rig.homography)).tolist()
    try:
        return Rig(
            moved="ir" if fixed == "rgb" else "rgb",
            homography=(tuple(first), tuple(second), tuple(third)),
            moved_size=rig.fixed_size,
            fixed_size=rig.moved_size,
            residual=rig.residual,
            pairs=rig.pairs,
            made_by=rig.made_by,
        )
    except ValidationError as error:
        raise DatasetError(
            f"the rig warps {rig.moved} pictures, and boxes are in their pixels; it cannot be turned round: make one "
            f"that warps the other ones with caffdet data align --moved {'ir' if fixed == 'rgb' else 'rgb'}"
        ) from error


def warp_boxes(
    boxes: NDArray[Any],
    rig: Rig,
    to: Literal["fixed", "moved"] = "fixed",
    *,
    moved_size: Size | None = None,
    fixed_size: Size | None = None,
) -> Floats:
    """Boxes of one camera's pictures in the pixels of the other's: the upright hull of the warped corners.

    What lies outside the picture that the boxes are in is cut off first: a homography means nothing there. The result
    may reach out of the other picture.

    Args:
        boxes: (n, 4) xyxy.
        to: `fixed`: from the moved picture into the other one; `moved`: back.
        moved_size, fixed_size: height and width of the pictures at hand; None: those of the rig.

    Returns:
        (n, 4) xyxy.

    Raises:
        DatasetError: a picture's shape is not that of the rig.
    """
    moved = _as_size(rig.moved_size) if moved_size is None else moved_size
    fixed = _as_size(rig.fixed_size) if fixed_size is None else fixed_size
    matrix = matrix_for(rig, moved, fixed)
    size = moved if to == "fixed" else fixed
    matrix = matrix if to == "fixed" else np.asarray(np.linalg.inv(matrix), np.float64)
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    places = through(matrix, corners.clip(0, size[::-1])).reshape(-1, 4, 2)
    return np.concatenate([places.min(axis=1), places.max(axis=1)], axis=1)


def matrix_for(rig: Rig, moved: Size, fixed: Size) -> Floats:
    """(3, 3): the rig's homography for pictures of these heights and widths."""
    into = _scale(moved, rig.moved_size, rig.moved)
    out = _scale(fixed, rig.fixed_size, "ir" if rig.moved == "rgb" else "rgb")
    return np.asarray(np.linalg.inv(out) @ np.array(rig.homography) @ into, np.float64)


def through(matrix: Floats, points: Floats) -> Floats:
    """Points (n, 2) through a homography (3, 3)."""
    places = points @ matrix[:, :2].T + matrix[:, 2]
    # Not above 0: behind the horizon. A valid rig has that outside its pictures only.
    return np.asarray(places[:, :2] / np.maximum(places[:, 2:], 1e-9), np.float64)


def warp(picture: NDArray[Any], matrix: Floats, size: Size, border: int = cv2.BORDER_CONSTANT) -> NDArray[Any]:
    """A picture through a homography onto a canvas of this height and width; 0 outside, or OpenCV's other border."""
    height, width = picture.shape[:2]
    pixels = picture if picture.dtype in _WARPED_AS_THEY_ARE else picture.astype(np.float64)
    shrink = _shrink(matrix, (height, width))
    if shrink < _SHRINKS:
        small = max(1, round(width * shrink)), max(1, round(height * shrink))
        matrix = matrix @ np.diag([width / small[0], height / small[1], 1.0])
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    warped = _warp(pixels, matrix, size, border)
    return warped if warped.dtype == picture.dtype else np.round(warped).astype(picture.dtype)


def _warp(picture: NDArray[Any], matrix: Floats, size: Size, border: int) -> NDArray[Any]:
    centres = _shift(-0.5) @ matrix @ _shift(0.5)
    return np.asarray(cv2.warpPerspective(picture, centres, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border))


def _shrink(matrix: Floats, size: Size) -> float:
    """How long a pixel in the middle of the picture becomes."""
    corner = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    steps = through(matrix, corner + np.array([size[1] / 2, size[0] / 2]))
    area = np.linalg.det(steps[1:] - steps[0])
    return float(np.sqrt(abs(area)))


def fits(size: Sequence[int], known: Sequence[int]) -> bool:
    """Whether a picture of one width and height has the shape of another, but for rounding."""
    width, height = size
    return abs(height * known[0] / known[1] - width) <= 1 or abs(width * known[1] / known[0] - height) <= 1


def _scale(size: Size, known: Sequence[int], spectrum: str) -> Floats:
    """(3, 3) from pixels of a picture to those of the rig, which must have the same shape."""
    height, width = size
    if not fits((width, height), known):
        raise DatasetError(
            f"the {spectrum} picture is {width}x{height}, and the rig was made for {known[0]}x{known[1]}: another "
            "shape, perhaps another camera or a crop; make a rig for these pictures with caffdet data align"
        )
    return np.diag([known[0] / width, known[1] / height, 1.0])


def _shift(by: float) -> Floats:
    return np.array([[1.0, 0.0, by], [0.0, 1.0, by], [0.0, 0.0, 1.0]])


def _as_size(width_height: Sequence[int]) -> Size:
    return width_height[1], width_height[0]
