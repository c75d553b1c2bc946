"""Files of KAIST by the frame that they are of, whatever folders a copy has.

    set06/V000/visible/I00019.jpg   set06/V000/lwir/I00019.jpg   the official form
    set06/V000/I00019.txt                                        annotations of both pictures
    set06_V000_I00019_visible.png   set06_V000_I00019_lwir.png   flat copies
    visible/set06_V000_I00019.jpg   infrared/set06_V000_I00019.jpg

A frame is called `set06/V000/I00019`, as in KAIST's own lists.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.data.formats.layout import Request, entries
from caffdet_cli.settings.base import Spectrum

_SPECTRA: dict[str, Spectrum] = {"visible": "rgb", "lwir": "ir", "infrared": "ir"}
_FOLDER = re.compile(rf"set\d\d|v\d{{3}}|{'|'.join(_SPECTRA)}", re.ASCII | re.IGNORECASE)
_FRAME = re.compile(r"(set\d\d)[/\\_](v\d{3})[/\\_](i\d{5})", re.ASCII | re.IGNORECASE)
_DEEPEST = 3  # folders inside each other


class Named(NamedTuple):
    """Files by frame."""

    rgb: dict[str, Path]
    ir: dict[str, Path]
    both: dict[str, Path]  # whose name has no spectrum

    def names(self) -> set[str]:
        return {*self.rgb, *self.ir, *self.both}


class _File(NamedTuple):
    path: Path
    frame: str  # empty: its name is no frame's
    spectrum: Spectrum | None


def frame_name(text: str) -> str | None:
    """`set06/V000/I00019` of `set06_V000_I00019` and other spellings; None where it is no frame's name."""
    found = _FRAME.fullmatch(text)
    return f"{found[1].lower()}/{found[2].upper()}/{found[3].upper()}" if found else None


def set_number(name: str) -> int:
    """6 of `set06/V000/I00019`."""
    return int(name[3:5])


def frame_number(name: str) -> int:
    """19 of `set06/V000/I00019`."""
    return int(name[-5:])


def has_frames(folder: Path, suffixes: Collection[str], *, spectrum: bool = False) -> bool:
    """Whether a file with one of `suffixes` is called like a frame; with `spectrum`, of one spectrum."""
    return any(file.frame and (file.spectrum or not spectrum) for file in _walk(folder, suffixes, []))


def index(folder: Path, suffixes: Collection[str], request: Request) -> Named:
    """All files below `folder` that are called like a frame; of two with one name the first is taken.

    Args:
        suffixes: in small letters.
    """
    found = Named({}, {}, {})
    strangers = []
    for path, frame, spectrum in _walk(folder, suffixes, []):
        some = found.both if spectrum is None else found.rgb if spectrum == "rgb" else found.ir
        if not frame:
            strangers.append(path)
        elif frame in some:
            what = f"{request.place(some[frame])} is of the same frame and is taken"
            request.findings.saw(pictures=1)
            request.findings.add("duplicate id", request.place(path), what, "dropped", pictures=1)
        else:
            some[frame] = path
    if strangers:
        what = f"{len(strangers)} files have no name of a frame, for example {strangers[0].name}; they are not read"
        request.findings.add("no frame", request.place(folder), what, "noted")
    return found


def _walk(folder: Path, suffixes: Collection[str], words: list[str]) -> Iterator[_File]:
    """Files in the order of their names; only folders of sets, videos and spectra are entered, `_DEEPEST` deep.

    A link back to a folder that it lies in is passed over.
    """
    for path in sorted(entries(folder)):
        if path.suffix.lower() in suffixes:
            yield _file(path, [*words, *path.stem.split("_")])
        elif len(words) < _DEEPEST and _FOLDER.fullmatch(path.name) and path.is_dir() and not _leads_back(path):
            yield from _walk(path, suffixes, [*words, path.name])


def _leads_back(path: Path) -> bool:
    return path.is_symlink() and any(path.samefile(folder) for folder in path.parents[: _DEEPEST + 1])


def _file(path: Path, words: list[str]) -> _File:
    """What the names of folders and of the file say together."""
    spectra = {_SPECTRA[word.lower()] for word in words if word.lower() in _SPECTRA}
    name = frame_name("/".join(word for word in words if word.lower() not in _SPECTRA))
    if name is None or len(spectra) > 1:
        return _File(path, "", None)
    return _File(path, name, next(iter(spectra), None))
