"""Large pictures kept shrunk in a folder, so that later epochs decode less.

A file is known by its path, size and time of change: another picture under the same name is another entry. Entries are
JPEG (8 bits) or PNG (16 bits), each written whole; several processes may share a folder.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from caffdet_cli.data.images import Decoded, decode, picture_bytes, picture_size
from caffdet_cli.paths import whole_file

_FORM = "1"
_QUALITY = 95  # of JPEG, 0..100
_SUFFIX: dict[type, str] = {np.uint8: ".jpg", np.uint16: ".png"}  # others are not kept
_WORTH_IT = 1.2  # times as large as needed a picture must be


class PictureCache:
    """Pictures with a short side of `short_side` pixels at most.

    Args:
        folder: made when the first picture is kept.
    """

    def __init__(self, folder: Path, short_side: int):
        self.folder = folder
        self.short_side = short_side

    def read(self, path: Path, enough: int | None = None, *, grey: bool = False) -> Decoded:
        """As `decode`, of the shrunk picture where it is much smaller; height and width are those of the whole one.

        Raises:
            DatasetError: as `decode`.
            DiskFull, OutputError: the folder cannot be written.
        """
        height, width = picture_size(path)
        if min(height, width) <= _WORTH_IT * self.short_side:
            return decode(picture_bytes(path), path, enough, grey=grey)
        key = self._key(path)
        for suffix in (".jpg", ".png"):
            entry = self.folder / key[:2] / f"{key}{suffix}"
            if entry.is_file():
                return decode(picture_bytes(entry), entry, enough, grey=grey)._replace(height=height, width=width)
        return self._keep(path, self.folder / key[:2] / key, enough, grey)

    def _key(self, path: Path) -> str:
        about = path.stat()
        facts = [_FORM, str(path.resolve()), about.st_size, about.st_mtime_ns, self.short_side]
        return hashlib.sha256("\0".join(map(str, facts)).encode("utf-8", "surrogateescape")).hexdigest()[:40]

    def _keep(self, path: Path, entry: Path, enough: int | None, grey: bool) -> Decoded:
        """Shrink the picture, keep that where it loses no depth, and read it back: every epoch sees the same pixels."""
        whole = decode(picture_bytes(path), path)
        factor = self.short_side / min(whole.height, whole.width)
        size = max(1, round(whole.width * factor)), max(1, round(whole.height * factor))
        suffix = _SUFFIX.get(whole.pixels.dtype.type)
        if suffix is None:
            return whole
        small = np.asarray(cv2.resize(whole.pixels, size, interpolation=cv2.INTER_AREA), whole.pixels.dtype)
        stored = cv2.cvtColor(small, cv2.COLOR_RGB2BGR) if small.ndim == 3 else small
        _, data = cv2.imencode(suffix, stored, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if suffix == ".jpg" else [])
        with whole_file(entry.with_name(entry.name + suffix)) as part:
            part.write_bytes(data.tobytes())
        return decode(data.tobytes(), path, enough, grey=grey)._replace(height=whole.height, width=whole.width)
