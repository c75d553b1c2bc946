"""Geometry and colour of training and evaluation pictures; what is drawn is drawn once for both spectra.

Boxes follow the pictures. Random numbers come from the generator that is handed in and from nowhere else.

The recipe is that of kevinhelvig/CAFF-DETR and IDEA-Research/Lite-DETR (datasets/transforms.py, sltransform.py).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_iou
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from caffdet_cli.data.geometry import (
    Geometry,
    Random,
    Size,
    Window,
    evaluation_geometry,
    training_geometry,
)
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.train import Augment, ModalityDropout


class Pair(NamedTuple):
    """One picture, or two of the same moment, and the objects on them."""

    pictures: tuple[Tensor | None, ...]  # (3, h, w) uint8, or float32 in 0..1; in stream order, None where missing
    boxes: Tensor  # (n, 4) tv_tensors.BoundingBoxes: xyxy, pixels of `size`
    labels: Tensor  # (n,) int

    @property
    def size(self) -> Size:
        """Height and width in which the boxes are. A picture may have another size until the first `resize`."""
        height, width = self.boxes.canvas_size  # type: ignore[attr-defined]
        return int(height), int(width)


def pair_of(pictures: tuple[NDArray[Any] | None, ...], boxes: NDArray[Any], labels: NDArray[Any], size: Size) -> Pair:
    """A `Pair` from arrays: pictures (h, w, 3) or (h, w), boxes (n, 4) xyxy in pixels of `size`."""
    canvas = tv_tensors.BoundingBoxes(
        torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4), format="XYXY", canvas_size=size
    )
    views = tuple(None if picture is None else _view(picture) for picture in pictures)
    return Pair(views, canvas, torch.as_tensor(labels, dtype=torch.int64))


def _view(picture: NDArray[Any]) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(picture))
    planes = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)  # not moved: resized twice as fast
    view: Tensor = tv_tensors.Image(planes)
    return view


# Fixed steps


def hflip(pair: Pair) -> Pair:
    """Left becomes right."""
    return _each(pair, functional.horizontal_flip)


def resize(pair: Pair, size: Size) -> Pair:
    """Every picture to `size` (bilinear, antialiased), whatever its own size is; boxes with the canvas."""

    def step(value: Tensor) -> Tensor:
        resized: Tensor = functional.resize(value, list(size), InterpolationMode.BILINEAR, antialias=True)
        return resized

    return _each(pair, step)


def crop(pair: Pair, top: int, left: int, height: int, width: int) -> Pair:
    """Cut a window out of pictures that have one size; boxes are cut too, those without area are dropped."""
    return clip(_each(pair, lambda value: functional.crop(value, top, left, height, width)))


def clip(pair: Pair) -> Pair:
    """Boxes are cut at the border of the picture; those without area are dropped."""
    boxes = functional.clamp_bounding_boxes(pair.boxes).as_subclass(Tensor)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return pair._replace(boxes=tv_tensors.wrap(boxes[keep], like=pair.boxes), labels=pair.labels[keep])


def _each(pair: Pair, step: Callable[[Tensor], Tensor]) -> Pair:
    """One geometric step on every picture and on the boxes."""
    pictures = tuple(None if picture is None else step(picture) for picture in pair.pictures)
    return pair._replace(pictures=pictures, boxes=step(pair.boxes))


# Recipes


def for_evaluation(pair: Pair, short_side: int, max_side: int) -> Pair:
    """Resized by the `detr` rule."""
    return followed(pair, evaluation_geometry(pair.size, short_side, max_side))


def for_training(pair: Pair, augment: Augment, random: Random) -> Pair:
    """Geometry, then colour, as `Augment` says."""
    return recoloured(followed(pair, training_geometry(pair.size, augment, random)), augment, random)


def followed(pair: Pair, geometry: Geometry) -> Pair:
    """Every step of a chain one after the other, as published."""
    if geometry.flip:
        pair = hflip(pair)
    for step in geometry.steps:
        pair = crop(pair, *map(round, step)) if isinstance(step, Window) else resize(pair, step)
    return _three_channels(pair)


def merged(pair: Pair, geometry: Geometry) -> Pair:
    """A chain as one window and one resize: each pixel is resampled once, so that the result is sharper.

    The window has whole pixels of each picture: it is off by half a pixel at most.
    """
    window = geometry.window
    if geometry.flip:
        window = window._replace(left=geometry.size[1] - window.left - window.width)

    def step(value: Tensor) -> Tensor:
        top, left, height, width = _whole(window, geometry.size, tuple(functional.get_size(value)))
        part: Tensor = functional.resized_crop(
            value, top, left, height, width, list(geometry.end), InterpolationMode.BILINEAR, antialias=True
        )
        return part

    pair = _three_channels(clip(_each(pair, step)))
    return hflip(pair) if geometry.flip else pair


def _three_channels(pair: Pair) -> Pair:
    """Pictures of one channel seen as three equal ones; until here one was enough."""
    seen = (None if one is None else tv_tensors.wrap(one.expand(3, -1, -1), like=one) for one in pair.pictures)
    return pair._replace(pictures=tuple(seen))


def _whole(window: Window, size: Size, picture: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, left, height and width of a window of `size` in whole pixels of a picture of another size."""
    down, across = picture[0] / size[0], picture[1] / size[1]
    top, bottom = round(window.top * down), round((window.top + window.height) * down)
    left, right = round(window.left * across), round((window.left + window.width) * across)
    return min(top, picture[0] - 1), min(left, picture[1] - 1), max(1, bottom - top), max(1, right - left)


def recoloured(pair: Pair, augment: Augment, random: Random) -> Pair:
    """What `Augment.photometric` says."""
    match augment.photometric:
        case "caff":
            return pair._replace(pictures=_caff_colour(pair.pictures, random))
        case "strong":
            if random.integers(4) == 0:
                return _overlapping_window(pair, random)
            return pair._replace(pictures=_caff_colour(pair.pictures, random))
        case "independent":
            return pair._replace(pictures=_independent_colour(pair.pictures, random))
        case "none":
            return pair


def lost_spectrum(dropout: ModalityDropout, random: Random) -> Spectrum | None:
    """Which spectrum a training pair loses; one draw decides."""
    draw = random.random()
    if draw < dropout.rgb:
        return "rgb"
    return "ir" if draw < dropout.rgb + dropout.ir else None


_LEAST_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)  # None: the whole picture
_TRIALS = 50


def _overlapping_window(pair: Pair, random: Random) -> Pair:
    """A window that overlaps some object by a drawn IoU at least; objects whose centre lies outside are dropped.

    Source: Liu et al., SSD, ECCV 2016, section 2.2; arXiv:1512.02325. Sides are 0.3 to 1 of the picture's, their
    ratio 0.5 to 2. Where no window fits in 50 trials, or there is no object, nothing changes.
    """
    least = _LEAST_OVERLAPS[int(random.integers(len(_LEAST_OVERLAPS)))]
    if least is None or not len(pair.labels):
        return pair
    boxes, (rows, columns) = pair.boxes.as_subclass(Tensor), pair.size
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    for _ in range(_TRIALS):
        height, width = (max(1, int(side * random.uniform(0.3, 1))) for side in (rows, columns))
        if not 0.5 < height / width < 2:
            continue
        top, left = (int(random.integers(0, room, endpoint=True)) for room in (rows - height, columns - width))
        window = torch.tensor([[left, top, left + width, top + height]], dtype=boxes.dtype)
        inside = ((centres > window[:, :2]) & (centres < window[:, 2:])).all(dim=1)
        if inside.any() and box_iou(window, boxes).max() >= least:
            kept = pair._replace(boxes=tv_tensors.wrap(boxes[inside], like=pair.boxes), labels=pair.labels[inside])
            return crop(kept, top, left, height, width)
    return pair


# Colour


def _caff_colour(pictures: tuple[Tensor | None, ...], random: Random) -> tuple[Tensor | None, ...]:
    """One of channel order, brightness and contrast; factors in 1..2 are shared by both spectra."""
    kind, factor = int(random.integers(3)), float(random.uniform(1, 2))
    orders = [random.permutation(3).tolist() for _ in pictures]  # Kept as published: an order for each spectrum.
    if kind == 0:
        return _map(functional.permute_channels, pictures, orders)
    step = functional.adjust_brightness if kind == 1 else functional.adjust_contrast
    return _map(step, pictures, [factor] * len(pictures))


def _independent_colour(pictures: tuple[Tensor | None, ...], random: Random) -> tuple[Tensor | None, ...]:
    """Brightness and contrast times 0.8..1.2, drawn for each spectrum by itself."""
    brightness, contrast = random.uniform(0.8, 1.2, size=(2, len(pictures))).tolist()
    pictures = _map(functional.adjust_brightness, pictures, brightness)
    return _map(functional.adjust_contrast, pictures, contrast)


def _map(
    step: Callable[[Tensor, Any], Tensor], pictures: tuple[Tensor | None, ...], arguments: list[Any]
) -> tuple[Tensor | None, ...]:
    """`step` on every picture that is there, with its own argument."""
    pairs = zip(pictures, arguments, strict=True)
    return tuple(None if picture is None else step(picture, argument) for picture, argument in pairs)


# What the model sees


def normalised(pictures: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(..., 3, h, w) uint8, or float32 in 0..1, to float32 with `mean` and `std` (of values in 0..1) taken out."""
    given = pictures.as_subclass(Tensor)
    if given.dtype == torch.uint8 and given.device.type == "cpu":
        return _looked_up(given, mean, std)
    return _computed(given, mean, std)


def _computed(pictures: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    pixels = functional.to_dtype(pictures, torch.float32, scale=True)
    result: Tensor = functional.normalize(pixels, list(mean), list(std), inplace=pixels is not pictures)
    return result


def _looked_up(pictures: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """The same numbers out of a table of 256: one pass over memory, not four, and cores that load pictures go on."""
    levels = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    tables = _computed(levels, mean, std).numpy()  # (3, 1, 256)
    result = torch.empty(pictures.shape, dtype=torch.float32)
    planes = (each.flatten(0, -3).numpy() for each in (pictures.contiguous(), result))  # (n * 3, h, w)
    for number, (plane, place) in enumerate(zip(*planes, strict=True)):
        cv2.LUT(plane, tables[number % 3], dst=place)
    return result


def fractions(boxes: Tensor, size: Size) -> Tensor:
    """(n, 4) xyxy in pixels to cxcywh as fractions of height and width `size`."""
    height, width = size
    centred: Tensor = functional.convert_bounding_box_format(boxes, new_format="CXCYWH").as_subclass(Tensor)
    return centred / torch.tensor([width, height, width, height], dtype=torch.float32)
