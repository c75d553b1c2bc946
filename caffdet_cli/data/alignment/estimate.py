"""The rig of two cameras from a handful of pairs: one homography for all of them.

Automatic: every size, turn and shift is tried on the edge directions of all pairs at once (`search`), pieces are
matched coarse to fine (`refine`), and the result is refused unless enough of the picture agrees with it. Where
that fails, points named by hand do it (`points`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from caffdet_cli.data.alignment.fit import Model
from caffdet_cli.data.alignment.refine import Fit, refine
from caffdet_cli.data.alignment.search import Guess, search
from caffdet_cli.data.alignment.structure import Grey, grey, resized
from caffdet_cli.data.warp import Floats, through
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.rig import Matrix, Rig

_AGREE = 0.4  # share of the compared pieces that must lie where the map puts them
_FEWEST = 12  # of such pieces
_SPREAD = 0.25  # share of the compared area that they must enclose
_BEND = 0.08  # of the width: cameras that point 8 degrees apart, or pictures squeezed by a fifth
_GUESSES = 4  # different ones that are followed before giving up
_SAME = 0.05  # guesses whose corners are closer than this share of the width are one

_BY_HAND = "name at least 4 points by hand: --points FILE"


class PairPictures(NamedTuple):
    """The two pictures of one moment as they are read, any depth."""

    name: str
    rgb: NDArray[Any]  # (h, w) or (h, w, 3)
    ir: NDArray[Any]


class Estimate(NamedTuple):
    """A rig and how it was judged."""

    rig: Rig
    compared: int  # pieces of the pictures, or points
    agreeing: int


def estimate_rig(
    pairs: Sequence[PairPictures],
    moved: Spectrum = "rgb",
    *,
    model: Model = "homography",
    made_by: str = "",
    progress: Progress | None = None,
) -> Estimate:
    """The rig that `pairs` show, without help.

    Args:
        pairs: of one rig; of different scenes and depths, by day rather than by night. More of them are surer.
        moved: the spectrum to warp.
        model: how much freedom the map has; less is surer where the cameras are side by side and look far.

    Raises:
        DatasetError: no pairs, pictures of several shapes, or nothing that enough of the pictures agree on; what to
            do instead is named.
    """
    if not pairs:
        raise DatasetError("there are no pairs to align; an RGB and an infrared picture of one moment are needed")
    progress = progress or Progress()
    fixed_spectrum: Spectrum = "ir" if moved == "rgb" else "rgb"
    movable, fixed = _greys(pairs, moved), _greys(pairs, fixed_spectrum)
    guesses = _different(search(movable, fixed, progress=progress), movable[0])
    best: Fit | None = None
    for guess in progress.track(guesses, "refining", total=len(guesses)):
        fit = refine(movable, fixed, guess.matrix, model)
        best = fit if best is None or _share(fit) > _share(best) else best
        if doubt(fit) is None:
            break
    reason = "they show no edges" if best is None else doubt(best)
    if best is None or reason:
        raise DatasetError(f"the pictures of {len(pairs)} pairs could not be aligned: {reason}; {_advice(len(pairs))}")
    moved_size, fixed_size = _size(movable[0]), _size(fixed[0])
    rig = rig_of(best.matrix, moved, moved_size, fixed_size, best.residual, len(pairs), made_by)
    return Estimate(rig, best.pieces, best.agreeing)


def rig_of(
    matrix: Floats,
    moved: Spectrum,
    moved_size: tuple[int, int],
    fixed_size: tuple[int, int],
    residual: float,
    pairs: int,
    made_by: str,
) -> Rig:
    """A rig of an estimated homography; sizes are width and height.

    Raises:
        DatasetError: no two cameras can have it.
    """
    try:
        return Rig(
            moved=moved,
            homography=as_rows(matrix),
            moved_size=moved_size,
            fixed_size=fixed_size,
            residual=residual,
            pairs=pairs,
            made_by=made_by,
        )
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise DatasetError(f"what fits best cannot be two cameras: {reason}; {_BY_HAND}") from error


def as_rows(matrix: Floats) -> Matrix:
    """(3, 3) as a rig has it."""
    first, second, third = ((float(a), float(b), float(c)) for a, b, c in matrix.tolist())
    return first, second, third


def doubt(fit: Fit) -> str | None:
    """Why a map cannot be trusted, or None.

    A wrong map sends pieces into every direction: of those that are matched within 6 pixels, an eighth lies near enough
    by chance.
    """
    if fit.pieces < _FEWEST:
        return "the views hardly overlap, or the pictures are too small"
    if fit.agreeing < max(_FEWEST, _AGREE * fit.pieces):
        return f"only {fit.agreeing} of {fit.pieces} pieces of the pictures agree on one map"
    if fit.spread < _SPREAD:
        return "the pieces that agree lie in one small part of the picture"
    if fit.bend > _BEND:
        return f"the map would bend the picture by {fit.bend:.0%} of its width, more than two cameras side by side do"
    return None


def _advice(pairs: int) -> str:
    more = "" if pairs >= 6 else "take more pairs with edges that both cameras see (--pairs), or "
    return f"{more}{_BY_HAND}"


def _share(fit: Fit) -> float:
    return fit.agreeing / max(fit.pieces, 1)


def _greys(pairs: Sequence[PairPictures], spectrum: Spectrum) -> list[Grey]:
    """The pictures of one camera at the size of the first."""
    pictures = [(pair.name, pair.rgb if spectrum == "rgb" else pair.ir) for pair in pairs]
    first, (height, width) = pictures[0][0], pictures[0][1].shape[:2]
    greys = []
    for name, picture in pictures:
        tall, wide = picture.shape[:2]
        if abs(tall * width / height - wide) > 1 and abs(wide * height / width - tall) > 1:
            raise DatasetError(
                f"the {spectrum} picture of {name} is {wide}x{tall}, that of {first} {width}x{height}: one rig has "
                "pictures of one shape; put the pictures of each camera or crop into a data set of its own"
            )
        greys.append(resized(grey(picture), (width, height)))
    return greys


def _different(guesses: Sequence[Guess], moved: Grey) -> list[Guess]:
    """The best guesses that do not mean the same."""
    width, height = _size(moved)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    kept: list[tuple[Guess, Floats]] = []
    for guess in guesses:
        if guess.score <= 0:  # nothing to see in one of the spectra
            break
        places = through(guess.matrix, corners)
        wide = float(np.linalg.norm(places[1] - places[0]))
        if all(float(np.abs(places - other).max()) > _SAME * wide for _, other in kept):
            kept.append((guess, places))
        if len(kept) == _GUESSES:
            break
    return [guess for guess, _ in kept]


def _size(picture: Grey) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]
