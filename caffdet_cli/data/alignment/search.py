"""Finding roughly how two cameras look at one scene: every size, turn and shift is tried at once.

One rig has one geometry, so that the correlations of all pairs are added up before the best place is looked for.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from caffdet_cli.data.alignment.structure import (
    Grey,
    Size,
    Structure,
    fitting,
    resized,
    structure,
    warped_structures,
)
from caffdet_cli.data.warp import Floats, through
from caffdet_cli.progress import Progress

LONGEST = 128
"""Longest side of the fixed picture while searching, pixels."""

SCALES: tuple[float, ...] = tuple(1.1**step for step in range(-7, 8))
"""Width of the moved picture's view by that of the fixed one: 0.51 to 1.95."""

TURNS: tuple[float, ...] = (-8.0, -4.0, 0.0, 4.0, 8.0)
"""Degrees."""

_LEAST_OVERLAP = 0.5  # of the smaller view

Spectrum = NDArray[np.complex64]  # of Fourier


class Guess(NamedTuple):
    """A similarity of pictures and how well it fits."""

    score: float
    matrix: Floats  # (3, 3) moved -> fixed, pixels of the full pictures


def search(
    moved: Sequence[Grey],
    fixed: Sequence[Grey],
    *,
    scales: Sequence[float] = SCALES,
    turns: Sequence[float] = TURNS,
    progress: Progress | None = None,
) -> list[Guess]:
    """The best shift for each scale and turn, the best of all first.

    Args:
        moved, fixed: the pictures of each pair; those of one camera are of one size.
    """
    full_moved, full_fixed = _size(moved[0]), _size(fixed[0])
    size = fitting(full_fixed, LONGEST)
    small = size[0], max(8, round(size[0] * full_moved[1] / full_moved[0]))
    fixed_maps = [structure(resized(one, size)) for one in fixed]
    movable = [resized(one, small) for one in moved]
    into, out = _stretch(full_moved, small), _stretch(size, full_fixed)
    guesses = []
    for scale in (progress or Progress()).track(scales, "searching", total=len(scales)):
        canvases = [_canvas(small, scale, turn) for turn in turns]
        room = _room(size, [canvas for _, canvas in canvases])
        fixed_waves = [_waves(one, room) for one in fixed_maps]
        for matrix, canvas in canvases:
            maps = warped_structures(movable, matrix, canvas)
            score, shift = _best_shift(maps, fixed_waves, size, room, scale)
            guesses.append(Guess(score, out @ _moved_by(shift) @ matrix @ into))
    return sorted(guesses, key=lambda guess: -guess.score)


class _Waves(NamedTuple):
    """What correlation needs of a map, after the Fourier transform."""

    directions: Spectrum  # (h, w, D)
    energy: Spectrum  # (h, w) of the squared directions
    inside: Spectrum


def _waves(one: Structure, room: tuple[int, int]) -> _Waves:
    energy = np.einsum("hwd,hwd->hw", one.directions, one.directions)
    return _Waves(fft.rfft2(one.directions, room, axes=(0, 1)), fft.rfft2(energy, room), fft.rfft2(one.inside, room))


def _best_shift(
    maps: Sequence[Structure], fixed: Sequence[_Waves], size: Size, room: tuple[int, int], scale: float
) -> tuple[float, tuple[int, int]]:
    """Score and (x, y) of the best place of the moved maps on the fixed ones."""
    match: Any = 0.0
    energies: Any = (0.0, 0.0)
    for one, there in zip(maps, fixed, strict=True):
        here = _waves(one, room)
        match = match + np.einsum("hwd,hwd->hw", there.directions, here.directions.conj())
        energies = energies[0] + there.energy * here.inside.conj(), energies[1] + there.inside * here.energy.conj()
    overlap = fft.irfft2(fixed[0].inside * here.inside.conj(), room).clip(0)
    norm = np.sqrt(np.maximum(fft.irfft2(energies[0], room) * fft.irfft2(energies[1], room), 1e-6))
    likeness = fft.irfft2(match, room) / norm
    # As a statistician would: a likeness counts by the root of the independent pixels it was seen on. Where the moved
    # picture is enlarged there are fewer than pixels of the canvas.
    score = likeness * np.sqrt(overlap) / max(1.0, scale)
    least = _LEAST_OVERLAP * min(size[0] * size[1], float(maps[0].inside.sum()))
    score[overlap < max(least, 1.0)] = -1.0
    y, x = (int(place) for place in np.unravel_index(int(score.argmax()), score.shape))
    wrapped = x - room[1] if x >= size[0] else x, y - room[0] if y >= size[1] else y
    return float(score[y, x]), wrapped


def _canvas(size: Size, scale: float, turn: float) -> tuple[Floats, Size]:
    """The map that scales and turns a picture into the smallest canvas that holds it, and the canvas."""
    angle = np.radians(turn)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    corners = through(matrix, np.array(list(itertools.product((0.0, size[0]), (0.0, size[1])))))
    low, high = corners.min(axis=0), corners.max(axis=0)
    matrix[:2, 2] = -low
    width, height = np.ceil(high - low).astype(int).tolist()
    return matrix, (width, height)


def _room(size: Size, canvases: Sequence[Size]) -> tuple[int, int]:
    """Height and width for a correlation without wrapping around."""
    widest, highest = (max(canvas[axis] for canvas in canvases) for axis in (0, 1))
    return fft.next_fast_len(size[1] + highest, real=True), fft.next_fast_len(size[0] + widest, real=True)


def _size(picture: Grey) -> Size:
    return picture.shape[1], picture.shape[0]


def _stretch(before: Size, after: Size) -> Floats:
    return np.diag([after[0] / before[0], after[1] / before[1], 1.0])


def _moved_by(shift: tuple[int, int]) -> Floats:
    return np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]], [0.0, 0.0, 1.0]])
