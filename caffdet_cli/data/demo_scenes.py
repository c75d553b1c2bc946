"""One street scene of the demo data set, drawn from a seed, as an RGB and an infrared camera see it.

Only whole numbers and OpenCV's 8-bit drawing are used, so the same seed gives the same bytes wherever the same
versions of numpy and OpenCV run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from caffdet_cli.data import demo_objects
from caffdet_cli.data.demo_backdrop import backdrop
from caffdet_cli.data.demo_canvas import FINE, Brush, Bytes, Canvas

Box = tuple[int, int, int, int]  # xyxy

MOST_OBJECTS = 6


class Kind(NamedTuple):
    """One class: how it is drawn and how large it is."""

    name: str
    draw: Callable[[Brush, Generator, bool], None]
    far: float  # its height at the horizon and at the lower edge, fractions of the picture's height
    near: float
    reach: float  # largest distance of a drawn pixel from its middle, sideways, fractions of its own height
    lift: float  # how high it hangs above the ground, fractions of its own height


KINDS = (
    Kind("person", demo_objects.person, 0.17, 0.44, 0.21, 0.0),
    Kind("dog", demo_objects.dog, 0.11, 0.25, 0.82, 0.0),
    Kind("car", demo_objects.car, 0.11, 0.23, 1.10, 0.0),
    Kind("sign", demo_objects.sign, 0.12, 0.20, 0.52, 1.7),
)
CLASSES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True, eq=False)
class Scene:
    """One pair and what is in it."""

    rgb: Bytes  # (H, W, 3)
    ir: Bytes  # (H, W)
    boxes: NDArray[np.int64]  # (n, 4) xyxy, pixels of both pictures
    names: tuple[str, ...]
    night: bool


class Place(NamedTuple):
    """Where an object will stand, canvas pixels."""

    kind: Kind
    x: int  # its middle
    y: int  # its lower edge
    unit: int  # its height
    claim: Box  # what it keeps free for itself, down to the ground


def scene(seed: Sequence[int], size: tuple[int, int]) -> Scene:
    """Draw one scene.

    Args:
        seed: numbers >= 0; other numbers, another scene.
        size: height and width in pixels, at least 64 each.
    """
    rng = np.random.default_rng(list(seed))
    night = bool(rng.random() < 0.5)
    canvas = Canvas.blank(size)
    horizon = canvas.height * int(rng.integers(30, 43)) // 100
    backdrop(canvas, rng, night, horizon)
    places = sorted(_places(rng, canvas, horizon), key=lambda place: place.claim[3])  # far ones first
    boxes = [draw_object(canvas, place, rng, night) for place in places]
    return Scene(
        rgb=_rgb_camera(canvas, rng, night),
        ir=_ir_camera(canvas, rng),
        boxes=np.array(boxes, np.int64),
        names=tuple(place.kind.name for place in places),
        night=night,
    )


def _places(rng: Generator, canvas: Canvas, horizon: int) -> list[Place]:
    """1 to MOST_OBJECTS places that keep clear of each other."""
    places: list[Place] = []
    wanted = int(rng.integers(1, MOST_OBJECTS + 1))
    for _ in range(10 * wanted):  # a crowded scene stays with fewer
        place = _place(rng, canvas, horizon)
        if len(places) < wanted and all(_apart(place.claim, other.claim) for other in places):
            places.append(place)
    return places


def _place(rng: Generator, canvas: Canvas, horizon: int) -> Place:
    """A random class at a random place; the nearer, the larger."""
    kind = KINDS[int(rng.integers(0, len(KINDS)))]
    depth = int(rng.integers(25, 97))  # percent of the way from the horizon to the lower edge
    foot = horizon + (canvas.height - horizon) * depth // 100
    unit = round(canvas.height * (kind.far + (kind.near - kind.far) * depth / 100))
    reach = round(unit * kind.reach) + FINE
    x = int(rng.integers(reach, canvas.width - reach))
    bottom = foot - round(unit * kind.lift)
    return Place(kind, x, bottom, unit, (x - reach, bottom - unit - FINE, x + reach, foot + FINE))


def _apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def draw_object(canvas: Canvas, place: Place, rng: Generator, night: bool) -> Box:
    """Draw the object; return the box around its pixels, picture pixels."""
    canvas.cover[:] = 0
    facing = 1 if rng.random() < 0.5 else -1
    place.kind.draw(Brush(canvas, place.x, place.y, place.unit, facing), rng, night)
    rows, columns = np.flatnonzero(canvas.cover.any(axis=1)), np.flatnonzero(canvas.cover.any(axis=0))
    left, top, right, bottom = (int(edge) // FINE for edge in (columns[0], rows[0], columns[-1], rows[-1]))
    return left, top, right + 1, bottom + 1


def _rgb_camera(canvas: Canvas, rng: Generator, night: bool) -> Bytes:
    """(H, W, 3): surfaces in daylight, or almost dark with what shines and its bloom; noise."""
    share = int(rng.integers(4, 8)) if night else int(rng.integers(190, 257))  # of 256
    picture = _averaged(canvas.colour).astype(np.int32) * share // 256
    if night:
        light = _averaged(canvas.light)
        bloom = np.asarray(cv2.blur(cv2.blur(light, _square(canvas, 9)), _square(canvas, 9)), np.int32)
        picture += light.astype(np.int32) + bloom // 2
    return _with_noise(picture, rng, 4 if night else 5)


def _ir_camera(canvas: Canvas, rng: Generator) -> Bytes:
    """(H, W): heat, a little out of focus, each column of the sensor slightly off; noise."""
    picture = np.asarray(cv2.blur(canvas.heat, (FINE, FINE)), np.uint8)
    columns = rng.integers(-2, 3, canvas.width // FINE)
    return _with_noise(_averaged(picture).astype(np.int32) + columns, rng, 5)


def _averaged(canvas: Bytes) -> Bytes:
    """Canvas pixels to picture pixels."""
    size = (canvas.shape[1] // FINE, canvas.shape[0] // FINE)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)


def _square(canvas: Canvas, length: int) -> tuple[int, int]:
    """Width and height of a blur given for a picture 128 pixels high."""
    side = length * canvas.height // (128 * FINE) | 1
    return side, side


def _with_noise(picture: NDArray[np.int32], rng: Generator, strength: int) -> Bytes:
    """Add the sum of two rolls of -strength/2 .. strength/2."""
    first, second = (rng.integers(0, strength, picture.shape, np.uint8) for _ in range(2))
    return np.asarray(np.clip(picture + first + second - (strength - 1), 0, 255), np.uint8)
