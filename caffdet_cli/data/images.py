"""Reading pictures: 8 bits, 16 bits or floating point, one or three channels, turned as EXIF says.

Palettes and CMYK become RGB, alpha is dropped, of several pages or frames the first is read. A picture may be a link to
a file elsewhere; pipes, devices and folders are refused.

OpenCV decodes because it keeps 16-bit and floating-point values; Pillow (which torchvision needs anyway) reads headers
only, so that a size is cheap to ask for and a decompression bomb is refused before it is decoded.
"""

import io
import os
import stat
import warnings
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,  # noqa: F401  # registers itself
    GifImagePlugin,  # noqa: F401  # registers itself
    Image,
    ImageOps,
    Jpeg2KImagePlugin,  # noqa: F401  # registers itself
    JpegImagePlugin,  # noqa: F401  # registers itself
    PngImagePlugin,  # noqa: F401  # registers itself
    PpmImagePlugin,  # noqa: F401  # registers itself
    TiffImagePlugin,  # noqa: F401  # registers itself
    WebPImagePlugin,  # noqa: F401  # registers itself
)
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from caffdet_cli.errors import DatasetError

MAX_PIXELS = 89_000_000  # just below where Pillow itself would warn
MAX_BYTES = 1 << 30
MAX_SIDE = 1_000_000  # what libpng takes

_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "GIF", "PPM", "JPEG2000")
"""As Pillow calls them: those that OpenCV decodes too, so that nobody's reader of a rare form sees a hostile file."""

_FLAGS = (
    cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
)  # unlike IMREAD_UNCHANGED this applies the EXIF rotation and drops alpha
_RGB_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR_RGB  # of a JPEG alone: wrong for TIFF in OpenCV 5
_REDUCED = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
_ORIENTATION, _WIDTH, _HEIGHT, _BITS, _EXTRA = 0x0112, 256, 257, 258, 338  # EXIF and TIFF tags
_TURNED = (5, 6, 7, 8)  # orientations that swap height and width
_ROTATED = ("JPEG", "MPO", "PNG", "WEBP")  # forms whose EXIF orientation OpenCV applies
_JPEG, _TIFF = b"\xff\xd8", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_picture(path: Path) -> NDArray[Any]:
    """The pixels of a picture, in the depth of the file.

    Returns:
        (h, w) or (h, w, 3) in RGB order; uint8, uint16, int16, int32, float32 or float64.

    Raises:
        DatasetError: the file is missing, truncated, no picture, or has more than `MAX_PIXELS` pixels.
    """
    return decode(picture_bytes(path), path).pixels


class Decoded(NamedTuple):
    """A picture, perhaps smaller than it is."""

    pixels: NDArray[Any]  # as of `read_picture`
    height: int  # of the whole picture, after the EXIF rotation
    width: int


def decode(data: bytes, path: Path, enough: int | None = None, *, grey: bool = False) -> Decoded:
    """The picture in the bytes of a file.

    Args:
        path: what messages call it.
        enough: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which is faster, as long as its shorter side keeps so
            many pixels; None: at its own.
        grey: of a JPEG one channel will do, because all are known to be equal.

    Raises:
        DatasetError: as `read_picture`.
    """
    height, width, plain_alpha, colour_jpeg = _header(io.BytesIO(data), path)
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE:
        raise _too_large(path)
    is_jpeg = data.startswith(_JPEG)
    if is_jpeg and not _jpeg_ends(data):
        raise DatasetError(f"picture {path} is truncated: its end is missing; fetch or copy it again")
    flags = cv2.IMREAD_GRAYSCALE if is_jpeg and grey else _RGB_FLAGS if colour_jpeg else _FLAGS
    reduction = _reduction(min(height, width), enough) if is_jpeg and enough else 0
    if plain_alpha:
        return Decoded(_without_alpha(data, path), height, width)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | reduction)
    except cv2.error as error:
        raise DatasetError(f"picture {path} cannot be decoded ({error.err}); save it again as PNG or JPEG") from error
    if pixels is None:
        raise DatasetError(
            f"picture {path} cannot be decoded: it is truncated, damaged or of an unknown form; "
            "fetch it again or save it as PNG"
        )
    if not reduction and pixels.shape[:2] != (height, width):
        says, has = f"{width}x{height}", f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise DatasetError(f"picture {path} has {has} pixels, its header says {says}; save it again as PNG or JPEG")
    return Decoded(pixels if flags == _RGB_FLAGS else _as_rgb(pixels), height, width)


def _as_rgb(pixels: NDArray[Any]) -> NDArray[Any]:
    """OpenCV's channels the other way round; it does it fastest itself, for the types that it knows."""
    if pixels.ndim == 2:
        return pixels
    if pixels.dtype in (np.uint8, np.uint16, np.float32):
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(pixels[..., ::-1])


def _reduction(side: int, enough: int) -> int:
    """OpenCV's flag for the largest reduction that leaves `enough` pixels; 0 for none."""
    return next((flag for factor, flag in _REDUCED.items() if side >= factor * enough), 0)


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture after the EXIF rotation, from its header alone.

    Raises:
        DatasetError: the file is missing or no picture.
    """
    try:
        _check_file(path)
        with path.open("rb") as file:
            return _header(file, path)[:2]
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def picture_bytes(path: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        DatasetError: it is missing, no file, unreadable or has more than `MAX_BYTES`.
    """
    try:
        if (size := _check_file(path)) > MAX_BYTES:
            raise DatasetError(f"picture {path} has {size:,} bytes, more than {MAX_BYTES:,}; make it smaller")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise _unreadable(path, error) from error


def _check_file(path: Path) -> int:
    """The size of a file in bytes. Opening a named pipe would wait for ever, and a device may have no end."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise DatasetError(f"picture {path} is no file; a picture is needed")
    return about.st_size


def _unreadable(path: Path, error: OSError | ValueError) -> DatasetError:
    what = getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        what = f"it is a link to {os.readlink(path)}, which is not there"
    return DatasetError(f"picture {path} cannot be read: {what}")


def _too_large(path: Path) -> DatasetError:
    most = f"{MAX_PIXELS:,} pixels or a side of more than {MAX_SIDE:,}"
    return DatasetError(f"picture {path} has more than {most}; make it smaller or cut it into tiles")


class _Header(NamedTuple):
    height: int  # after the EXIF rotation
    width: int
    plain_alpha: bool = False  # a TIFF of 8-bit colours beside an alpha that they are not multiplied by
    colour_jpeg: bool = False  # a JPEG of three channels


def _header(file: BinaryIO, path: Path) -> _Header:
    start = file.read(16)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is an error below
            return _tiff_header(start, file) if start[:4] in _TIFF else _other_header(file)
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:  # Pillow's readers fail in many ways on damaged files
        raise DatasetError(f"picture {path} cannot be read: {_instead(start)}") from error


def _turned(width: int, height: int, orientation: int) -> _Header:
    return _Header(*((width, height) if orientation in _TURNED else (height, width)))


def _instead(start: bytes) -> str:
    """What a file is that is no whole picture, by its first bytes, and what to do."""
    if not start:
        return "it is empty; fetch or copy it again"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page, as a failed download leaves it; fetch it again"
    if start.startswith(b"version https://"):
        return "it is a pointer of Git LFS; fetch the picture itself: git lfs pull"
    return "it is truncated, damaged or no picture that is known; fetch or copy it again, or save it as PNG or JPEG"


def _tiff_header(start: bytes, file: BinaryIO) -> _Header:
    """Of any TIFF, also of those whose pixels Pillow does not know (float64)."""
    directory = ImageFileDirectory_v2(start if b"+" in start[:4] else start[:8])
    file.seek(directory.next)
    directory.load(file)
    plain_alpha = directory.get(_EXTRA) == (2,) and directory.get(_BITS) == (8, 8, 8, 8)
    size = _turned(int(directory[_WIDTH]), int(directory[_HEIGHT]), int(directory.get(_ORIENTATION, 1)))
    return size._replace(plain_alpha=plain_alpha)


def _without_alpha(data: bytes, path: Path) -> NDArray[Any]:
    """The colours as they are stored; OpenCV would multiply them by the alpha, so that what is clear becomes black."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as picture:
            return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(picture))[..., :3])
    except Exception as error:
        raise DatasetError(f"picture {path} cannot be decoded: it is truncated or damaged; fetch it again") from error


def _other_header(file: BinaryIO) -> _Header:
    with Image.open(file, formats=_FORMATS) as picture:
        size = _turned(*picture.size, _orientation(picture) if picture.format in _ROTATED else 1)
        return size._replace(colour_jpeg=picture.format in ("JPEG", "MPO") and picture.mode == "RGB")


def _orientation(picture: Image.Image) -> int:
    """As OpenCV sees it: of the EXIF block alone. Pillow's own `getexif` would also ask XMP, or decode a PNG."""
    exif = Image.Exif()
    try:
        exif.load(picture.info.get("exif", b""))
    except Exception:  # damaged: OpenCV does not turn the picture then
        return 1
    return int(exif.get(_ORIENTATION, 1))


def _jpeg_ends(data: bytes) -> bool:
    """Whether the end marker follows the compressed data; a thumbnail's end marker in a header does not count.

    OpenCV before 5 fills the missing part of a truncated JPEG with grey and says nothing.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:  # start of scan: from here 0xFF is followed by 0 or a restart number, or is a marker
            return data.find(b"\xff\xd9", position) >= 0
        if marker == 0xFF:  # fill byte
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False
