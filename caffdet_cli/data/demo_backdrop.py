"""The street behind the objects of a demo scene: sky, ground, buildings, trees, lamps, puddles."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from caffdet_cli.data.demo_canvas import DARK, Bytes, Canvas, Colour, Paint, pick

WALLS: tuple[Colour, ...] = ((150, 128, 112), (176, 160, 140), (128, 116, 116), (112, 120, 128), (160, 110, 88))
LEAVES: tuple[Colour, ...] = ((52, 92, 44), (70, 108, 50), (44, 78, 52))
MEADOWS: tuple[Colour, ...] = ((108, 132, 74), (136, 132, 92), (124, 118, 96), (98, 120, 80))
ASPHALT: tuple[Colour, ...] = ((112, 112, 116), (96, 98, 104), (128, 124, 120))
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((96, 148, 216), (196, 216, 234)),
    ((150, 160, 172), (204, 208, 210)),
    ((110, 120, 176), (240, 196, 150)),
)


def backdrop(canvas: Canvas, rng: Generator, night: bool, horizon: int) -> None:
    """Fill the whole canvas; `horizon` is a canvas row."""
    _sky(canvas, rng, night, horizon)
    _ground(canvas, rng, night, horizon)
    for _ in range(int(rng.integers(2, 5))):
        _building(canvas, rng, night, horizon)
    for _ in range(int(rng.integers(1, 4))):
        _tree(canvas, rng, night, horizon)
    for _ in range(int(rng.integers(1, 3))):
        _lamp(canvas, rng, night, horizon)
    for _ in range(int(rng.integers(0, 3))):
        _puddle(canvas, rng, night, horizon)


def _sky(canvas: Canvas, rng: Generator, night: bool, horizon: int) -> None:
    """Colder the higher one looks; clouds by day."""
    above, below = SKIES[int(rng.integers(0, len(SKIES)))]
    canvas.colour[:horizon] = _ramp(above, below, horizon)[:, None]
    canvas.heat[:horizon] = _ramp((14,) if night else (46,), (40,) if night else (92,), horizon)
    if night:
        canvas.light[:horizon] = _ramp((5, 7, 16), (14, 14, 24), horizon)[:, None]
    for _ in range(int(rng.integers(0, 4))):
        centre = (int(rng.integers(0, canvas.width)), int(rng.integers(0, horizon)))
        radii = (_units(canvas, int(rng.integers(10, 26))), _units(canvas, int(rng.integers(2, 5))))
        canvas.ellipse(centre, radii, Paint((222, 224, 228), 34 if night else 84, None))


def _ground(canvas: Canvas, rng: Generator, night: bool, horizon: int) -> None:
    """A meadow with a road to the horizon; the road keeps the day's heat into the night."""
    meadow, road = pick(rng, MEADOWS), pick(rng, ASPHALT)
    rows = canvas.height - horizon
    canvas.colour[horizon:] = _ramp(_dimmed(meadow, 220), meadow, rows)[:, None]
    canvas.heat[horizon:] = _ramp((62,) if night else (142,), (74,) if night else (156,), rows)
    goal = int(rng.integers(canvas.width // 4, canvas.width * 3 // 4))
    left = int(rng.integers(-canvas.width // 3, canvas.width // 4))
    right = left + int(rng.integers(canvas.width * 2 // 3, canvas.width * 5 // 4))
    edge = _units(canvas, 4)
    canvas.polygon(
        [(goal - edge, horizon), (goal + edge, horizon), (right, canvas.height), (left, canvas.height)],
        Paint(road, 92 if night else 166, DARK),
    )
    middle = (left + right) // 2
    for start in range(2, 10, 2):  # dashes, longer the nearer
        far, near = start * start, start * start + 14  # percent of the way to the lower edge
        corners = []
        for part, sides in ((far, (-1, 1)), (near, (1, -1))):
            x, half = goal + (middle - goal) * part // 100, 1 + part // 20
            corners += [(x + side * half, horizon + rows * part // 100) for side in sides]
        canvas.polygon(corners, Paint((206, 206, 200), None, None))


def _building(canvas: Canvas, rng: Generator, night: bool, horizon: int) -> None:
    """A wall with rows of windows, some of them lit or warm, and sometimes a warm vent."""
    wall = pick(rng, WALLS)
    wide, tall = _units(canvas, int(rng.integers(18, 46))), _units(canvas, int(rng.integers(14, 34)))
    left = int(rng.integers(-wide // 2, canvas.width - wide // 2))
    top = max(_units(canvas, 3), horizon - tall)
    warm = int(rng.integers(-6, 7)) + (78 if night else 118)
    canvas.rectangle(left, top, left + wide, horizon, Paint(wall, warm))
    step, pane = _units(canvas, 8), _units(canvas, 4)
    for y in range(top + _units(canvas, 3), horizon - pane, step):
        for x in range(left + _units(canvas, 3), left + wide - pane, step):
            lit = night and rng.random() < 0.25
            glass = Paint((70, 82, 96), warm + (10 if lit else -12), (120, 104, 66) if lit else DARK)
            canvas.rectangle(x, y, x + pane, y + pane, glass)
    if rng.random() < 0.5:
        x, y = left + wide // 2, top + step
        vent = Paint(_dimmed(wall, 200), 150 if night else 190)
        canvas.rectangle(x, y, x + _units(canvas, 5), y + _units(canvas, 2), vent)


def _tree(canvas: Canvas, rng: Generator, night: bool, horizon: int) -> None:
    """A trunk and three round masses of leaves."""
    leaves = pick(rng, LEAVES)
    x, size = int(rng.integers(0, canvas.width)), int(rng.integers(5, 10))
    foot = horizon + _units(canvas, int(rng.integers(0, 6)))
    warm = 74 if night else 112
    half = _units(canvas, 1)
    canvas.rectangle(x - half, foot - _units(canvas, 2 * size), x + half, foot, Paint((76, 60, 46), warm + 6))
    radii = (_units(canvas, size), _units(canvas, size * 3 // 4))
    for dx, dy, share in ((-4, 20, 236), (4, 21, 256), (0, 26, 275)):
        centre = (x + _units(canvas, dx * size // 8), foot - _units(canvas, dy * size // 10))
        canvas.ellipse(centre, radii, Paint(_dimmed(leaves, share), warm))


def _lamp(canvas: Canvas, rng: Generator, night: bool, horizon: int) -> None:
    """A street lamp: its head is warm and shines at night, and throws a faint pool of light on the ground."""
    x = int(rng.integers(_units(canvas, 6), canvas.width - _units(canvas, 6)))
    foot = horizon + _units(canvas, int(rng.integers(4, 16)))
    top = max(_units(canvas, 4), foot - _units(canvas, int(rng.integers(40, 52))))
    half = max(1, _units(canvas, 1) // 2)
    if night:
        canvas.ellipse((x, foot), (_units(canvas, 16), _units(canvas, 4)), Paint(None, None, (26, 22, 13)))
    canvas.rectangle(x - half, top, x + half, foot, Paint((84, 86, 90), 84 if night else 136))
    bulb = Paint((216, 214, 200), 170 if night else 132, (255, 226, 160) if night else DARK)
    canvas.ellipse((x, top), (_units(canvas, 3), _units(canvas, 2)), bulb)


def _puddle(canvas: Canvas, rng: Generator, night: bool, horizon: int) -> None:
    """Water mirrors the cold sky."""
    centre = (int(rng.integers(0, canvas.width)), int(rng.integers(horizon + _units(canvas, 12), canvas.height)))
    radii = (_units(canvas, int(rng.integers(6, 14))), _units(canvas, int(rng.integers(1, 4))))
    canvas.ellipse(centre, radii, Paint((122, 134, 150), 50 if night else 128))


def _ramp(first: Sequence[int], last: Sequence[int], steps: int) -> Bytes:
    """(steps, values) from `first` to `last`, whole numbers only."""
    share = np.arange(steps)[:, None]
    start, end = np.array(first), np.array(last)
    return np.asarray(start + (end - start) * share // max(1, steps - 1), np.uint8)


def _dimmed(colour: Colour, share: int) -> Colour:
    """`share` of 256 of a colour."""
    red, green, blue = (min(255, value * share // 256) for value in colour)
    return red, green, blue


def _units(canvas: Canvas, length: int) -> int:
    """Canvas pixels of a length given for a picture 128 pixels high."""
    return length * canvas.height // 128
