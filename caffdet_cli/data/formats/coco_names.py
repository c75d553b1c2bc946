"""Which two files an image record of a COCO file means: our paired form, and the published CAFF files as they are.

| key | means |
| --- | --- |
| `file_name` | the RGB picture |
| `file_name_RGB` | the same, in CAFF's FLIR files; there `file_name` is something else |
| `file_name_IR`, `image_IR` | the infrared picture; `image_IR` is how CAFF's page spells it |

Without an infrared key: FLIR's rule `X_RGB.jpg` -> `X_PreviewData.jpeg`, else the same name in both folders.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffdet_cli.data.formats.hostile import inside

_FLIR_RGB = re.compile(r"(?P<stem>.*)_RGB(?P<suffix>\.[^./\\]+)?", re.DOTALL)
_FLIR_IR = re.compile(r"(?P<stem>.*)_PreviewData(?P<suffix>\.[^./\\]+)?", re.DOTALL)
_SUFFIX_OF_IR = {".jpg": ".jpeg"}
_SUFFIX_OF_RGB = {".jpeg": ".jpg"}


@dataclass(frozen=True)
class PictureFolders:
    """Where the pictures of one annotation file are."""

    rgb: Path | None  # None: this spectrum is not there
    ir: Path | None
    paired_form: bool
    """Our own form, where a missing key is a missing picture."""


def pair_of(record: dict[str, Any], folders: PictureFolders, place: str) -> tuple[Path | None, Path | None]:
    """The RGB and the infrared file of an image record; None where there is none.

    Raises:
        DatasetError: a name is no text or leads out of its folder; `place` is the record's.
    """
    rgb_key = "file_name_RGB" if "file_name_RGB" in record else "file_name"
    ir_key = "file_name_IR" if "file_name_IR" in record else "image_IR"
    rgb, ir = record.get(rgb_key), record.get(ir_key)
    if not folders.paired_form:
        infrared_first = flir_rgb_name(rgb) if rgb_key == "file_name" and isinstance(rgb, str) else None
        if infrared_first is not None:  # CAFF's FLIR files name the label picture here
            rgb, ir = infrared_first, record.get(ir_key, rgb)
        elif ir_key not in record and isinstance(rgb, str):
            ir = flir_ir_name(rgb) or _same_name(rgb, folders)
    return _path(folders.rgb, rgb, place, rgb_key), _path(folders.ir, ir, place, ir_key)


def flir_ir_name(rgb: str) -> str | None:
    """`X_RGB.jpg` -> `X_PreviewData.jpeg`; None for other names."""
    match = _FLIR_RGB.fullmatch(rgb)
    return f"{match['stem']}_PreviewData{_other(match['suffix'], _SUFFIX_OF_IR)}" if match else None


def flir_rgb_name(ir: str) -> str | None:
    """`X_PreviewData.jpeg` -> `X_RGB.jpg`; None for other names."""
    match = _FLIR_IR.fullmatch(ir)
    return f"{match['stem']}_RGB{_other(match['suffix'], _SUFFIX_OF_RGB)}" if match else None


def _other(suffix: str | None, table: dict[str, str]) -> str:
    return table.get(suffix or "", suffix or "")


def _same_name(rgb: str, folders: PictureFolders) -> str | None:
    """The partner of the same name; in one common folder it would be the same file."""
    return rgb if folders.rgb != folders.ir else None


def _path(folder: Path | None, name: object, place: str, key: str) -> Path | None:
    return None if folder is None or name is None else inside(folder, name, f"{place}.{key}")
