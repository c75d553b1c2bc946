"""Reading pictures: 8 bits, 16 bits or floating point, one or three channels, turned as EXIF says.

OpenCV decodes because it keeps 16-bit and floating-point values; Pillow (which torchvision needs anyway) reads headers
only, so that a size is cheap to ask for and a decompression bomb is refused before it is decoded.
"""

import io
import warnings
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from caffdet_cli.errors import DatasetError

MAX_PIXELS = 89_000_000  # just below where Pillow itself would warn
MAX_BYTES = 1 << 30

_FLAGS = (
    cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
)  # unlike IMREAD_UNCHANGED this applies the EXIF rotation and drops alpha
_REDUCED = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 256, 257  # EXIF and TIFF tags
_TURNED = (5, 6, 7, 8)  # orientations that swap height and width
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
    height, width = _header_size(io.BytesIO(data), path)
    if height * width > MAX_PIXELS:
        raise _too_large(path)
    is_jpeg = data.startswith(_JPEG)
    if is_jpeg and not _jpeg_ends(data):
        raise DatasetError(f"picture {path} is truncated: its end is missing; fetch or copy it again")
    flags = _FLAGS if not (is_jpeg and grey) else cv2.IMREAD_GRAYSCALE
    if is_jpeg and enough:
        flags |= _reduction(min(height, width), enough)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DatasetError(f"picture {path} cannot be decoded ({error.err}); save it again as PNG or JPEG") from error
    if pixels is None:
        raise DatasetError(
            f"picture {path} cannot be decoded: it is truncated, damaged or of an unknown form; "
            "fetch it again or save it as PNG"
        )
    return Decoded(_as_rgb(pixels), height, width)


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
        with path.open("rb") as file:
            return _header_size(file, path)
    except OSError as error:
        raise _unreadable(path, error) from error


def picture_bytes(path: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        DatasetError: it is missing, no file, unreadable or has more than `MAX_BYTES`.
    """
    try:
        if path.exists() and not path.is_file():
            raise DatasetError(f"{path} is no file; a picture is needed")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DatasetError(f"picture {path} has {size:,} bytes, more than {MAX_BYTES:,}; make it smaller")
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"picture {path} cannot be read: {error.strerror or error}")


def _too_large(path: Path) -> DatasetError:
    return DatasetError(f"picture {path} has more than {MAX_PIXELS:,} pixels; make it smaller or cut it into tiles")


def _header_size(file: BinaryIO, path: Path) -> tuple[int, int]:
    """Height and width after the EXIF rotation."""
    start = file.read(16)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is an error below
            width, height, orientation = _tiff_header(start, file) if start[:4] in _TIFF else _other_header(file)
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:  # Pillow's readers fail in many ways on damaged files
        what = "empty" if not start else "truncated, damaged or no picture"
        raise DatasetError(f"picture {path} cannot be read: it is {what}; fetch or copy it again") from error
    return (width, height) if orientation in _TURNED else (height, width)


def _tiff_header(start: bytes, file: BinaryIO) -> tuple[int, int, int]:
    """Width, height and orientation of any TIFF, also of those whose pixels Pillow does not know (float64)."""
    directory = ImageFileDirectory_v2(start if b"+" in start[:4] else start[:8])
    file.seek(directory.next)
    directory.load(file)
    return int(directory[_WIDTH]), int(directory[_HEIGHT]), int(directory.get(_ORIENTATION, 1))


def _other_header(file: BinaryIO) -> tuple[int, int, int]:
    with Image.open(file) as picture:
        exif = Image.Image.getexif(picture)  # PngImageFile.getexif would decode the picture
        return *picture.size, exif.get(_ORIENTATION, 1)


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
