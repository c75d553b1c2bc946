"""Facts of one picture and of one pair, from one look at each file; no picture is kept.

JPEGs are decoded at a fraction of their size where that is enough. A hash of 64 bits tells whether two pictures look
alike: each bit says whether a field of an 8x9 grid is darker than its right neighbour ("dHash", Krawetz 2013).
"""

import hashlib
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.annotations import Example
from caffdet_cli.data.images import decode, picture_bytes
from caffdet_cli.data.inspection.shift import Shift, shift_between
from caffdet_cli.data.warp import matrix_for, through, warp
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.rig import Rig

SIDE = 256
"""Pictures are looked at with so many pixels on their longer side, if they have them."""

_STEP = 4  # every so many pixels is enough for colours
_FLAT = 2.0  # grey levels: a picture whose standard deviation is below has nothing in it
_COLOURED, _GREY = 6.0, 2.0  # levels between the channels: from, and below; infrared JPEGs have some
_TIE = 0.5  # levels: fields that are closer look equal; noise must not set bits in a plain sky
_ENDS = (0.5, 99.5)  # percentiles of a picture of other than 8 bits that become black and white

Grey = NDArray[np.float32]


class PictureFacts(NamedTuple):
    """One file. Levels count from 0 to 255 whatever the depth."""

    problem: str = ""  # why it cannot be read; empty: it is whole
    missing: bool = False  # there is no such file
    width: int = 0  # pixels, after the EXIF rotation
    height: int = 0
    depth: str = ""  # uint8, uint16, ..
    channels: int = 0
    largest: int = 0  # value of 16 bits; 0 for other depths
    colour: float = 0.0  # levels between the channels, on average
    warmth: float = 0.0  # levels red minus blue, on average
    brightness: float = 0.0  # 0 to 1; of the range of the type
    contrast: float = 0.0  # levels, standard deviation
    hash: int = 0  # 64 bits
    digest: bytes = b""  # of the file

    @property
    def whole(self) -> bool:
        return bool(self.digest)

    @property
    def flat(self) -> bool:
        """Nothing can be seen in it."""
        return self.contrast < _FLAT

    @property
    def coloured(self) -> bool:
        """It has colours for sure."""
        return self.colour >= _COLOURED

    @property
    def grey(self) -> bool:
        """It has no colours for sure."""
        return self.colour < _GREY


class PairFacts(NamedTuple):
    """One example; None where it names no picture of a spectrum."""

    rgb: PictureFacts | None
    ir: PictureFacts | None
    shift: Shift | None = None  # pixels of the label spectrum's picture, through a rig; None without two pictures
    side: int = 0  # longer side of the label spectrum's picture, pixels; 0 where it cannot be read

    def of(self, spectrum: Spectrum) -> PictureFacts | None:
        return self.rgb if spectrum == "rgb" else self.ir

    def whole(self, spectrum: Spectrum) -> PictureFacts | None:
        """None too where it cannot be read."""
        picture = self.of(spectrum)
        return picture if picture is not None and picture.whole else None


def look_at(example: Example, label_spectrum: Spectrum, rig: Rig | None = None) -> PairFacts:
    """Read both pictures of an example. What is wrong with one is in its facts; nothing is raised.

    Args:
        rig: by which pictures are warped before they are compared; of other shapes than its own none are.
    """
    rgb, rgb_grey = _facts(example, "rgb")
    ir, ir_grey = _facts(example, "ir")
    label = rgb if label_spectrum == "rgb" else ir
    if label is None or not label.whole:
        return PairFacts(rgb, ir)
    shift = None
    if rgb is not None and ir is not None and rgb_grey is not None and ir_grey is not None:
        size = (label.width, label.height)
        if rig is None:
            shift = shift_between(rgb_grey, ir_grey, size)
        elif rig.moved == "rgb":
            shift = _through(rig, rgb, rgb_grey, ir, ir_grey, size)
        elif back := _through(rig, ir, ir_grey, rgb, rgb_grey, size):
            shift = back._replace(right=-back.right, down=-back.down)
    return PairFacts(rgb, ir, shift, max(label.width, label.height))


def _through(
    rig: Rig, moved: PictureFacts, moved_grey: Grey, fixed: PictureFacts, fixed_grey: Grey, size: tuple[int, int]
) -> Shift | None:
    """What is left of the shift once the moved picture is warped, where both cameras see something."""
    try:
        whole = matrix_for(rig, (moved.height, moved.width), (fixed.height, fixed.width))
    except DatasetError:
        return None
    matrix = np.linalg.inv(_enlarged(fixed, fixed_grey)) @ whole @ _enlarged(moved, moved_grey)
    height, width = moved_grey.shape
    corners = through(matrix, np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]))
    tall, wide = fixed_grey.shape
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, (wide, tall)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (wide, tall)).astype(int).tolist()
    if right <= left or bottom <= top:
        return None
    seen = np.s_[top:bottom, left:right]
    warped = np.asarray(warp(moved_grey, matrix, (tall, wide), cv2.BORDER_REPLICATE), np.float32)
    scaled = (max(1, round(size[0] * (right - left) / wide)), max(1, round(size[1] * (bottom - top) / tall)))
    return shift_between(warped[seen], fixed_grey[seen], scaled)


def _enlarged(picture: PictureFacts, grey: Grey) -> NDArray[np.float64]:
    """(3, 3) from pixels of the small copy to those of the picture."""
    return np.diag([picture.width / grey.shape[1], picture.height / grey.shape[0], 1.0])


def dhash(grey: Grey) -> int:
    """64 bits of how a picture (h, w) of levels from 0 to 255 looks."""
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, 1:] - small[:, :-1] > _TIE).tobytes(), "big")


def _facts(example: Example, spectrum: Spectrum) -> tuple[PictureFacts | None, Grey | None]:
    """Facts, and the picture in grey for what follows."""
    path = example.rgb if spectrum == "rgb" else example.ir
    if path is None:
        return None, None
    try:
        data = picture_bytes(path)
        decoded = decode(data, path, SIDE)
    except DatasetError as error:
        return PictureFacts(problem=str(error).replace(str(path), path.name), missing=not path.exists()), None
    shrunk = _shrunk(decoded.pixels)
    small = _levels(shrunk)
    grey = small if small.ndim == 2 else np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    colour, warmth = _colour(small)
    facts = PictureFacts(
        width=decoded.width,
        height=decoded.height,
        depth=decoded.pixels.dtype.name,
        channels=1 if decoded.pixels.ndim == 2 else 3,
        largest=int(decoded.pixels.max()) if decoded.pixels.dtype == np.uint16 else 0,
        colour=colour,
        warmth=warmth,
        brightness=_brightness(shrunk, decoded.pixels.dtype),
        contrast=float(cv2.meanStdDev(grey)[1][0, 0]),
        hash=dhash(grey),
        digest=hashlib.blake2b(data, digest_size=12).digest(),
    )
    return facts, grey


def _shrunk(pixels: NDArray[Any]) -> NDArray[Any]:
    """At most `SIDE` pixels on the longer side."""
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    height, width = pixels.shape[:2]
    share = SIDE / max(height, width)
    if share >= 1:
        return pixels
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _levels(pixels: NDArray[Any]) -> Grey:
    """0 to 255; what has other than 8 bits is stretched from its darkest to its brightest part."""
    values = pixels.astype(np.float32)
    if pixels.dtype == np.uint8:
        return values
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros_like(values)
    low, high = np.percentile(finite, _ENDS).tolist()
    if not low < high:
        return np.zeros_like(values)
    scaled: Grey = np.nan_to_num((values - low) * (255 / (high - low)), nan=0.0, posinf=255.0, neginf=0.0)
    return scaled.clip(0, 255).astype(np.float32)


def _colour(levels: Grey) -> tuple[float, float]:
    """How far the channels are from each other, and red from blue."""
    if levels.ndim == 2:
        return 0.0, 0.0
    some = levels[::_STEP, ::_STEP]
    apart = float((some.max(axis=2) - some.min(axis=2)).mean())
    red, _, blue = some.mean(axis=(0, 1)).tolist()
    return apart, red - blue


def _brightness(shrunk: NDArray[Any], depth: np.dtype[Any]) -> float:
    """0 to 1: the mean over the largest value of whole numbers, or over 1."""
    top = float(np.iinfo(depth).max) if np.issubdtype(depth, np.integer) else 1.0
    mean = float(np.nan_to_num(shrunk.astype(np.float64), nan=0.0, posinf=top, neginf=0.0).mean())
    return min(1.0, max(0.0, mean / top))
