"""Names of pictures in one flat folder: told apart in large and small letters, and fit for lists and other systems."""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet, Example, label_picture
from caffdet_cli.data.formats.layout import PICTURES, SplitName
from caffdet_cli.settings.base import Spectrum

_NOT_IN_NAMES = frozenset('<>:"/\\|?*')  # on some system
_LONGEST = 180  # bytes; a number and a suffix follow
_SUFFIXES = PICTURES | {".xml", ".txt"}
_FORMS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"II": ".tif", b"MM": ".tif", b"RIFF": ".webp"}
"""By how a file begins."""


def flat_names(
    sets: Mapping[SplitName, AnnotationSet], root: Path, spectrum: Spectrum
) -> dict[SplitName, tuple[str, ...]]:
    """A name for each picture or pair, without suffix, no two alike in all splits together.

    It is the name of the picture; where several have that, with its folders in front; where they still agree, with a
    number behind.

    Args:
        root: folder that all pictures are in.
        spectrum: whose picture gives the name, where there is one.
    """
    pictures = {split: [_picture(one, spectrum) for one in some.examples] for split, some in sets.items()}
    often = Counter(_same(_clean(path.stem)) for some in pictures.values() for path in some)
    taken = {name for name, count in often.items() if count == 1}

    def name(picture: Path) -> str:
        alone = _clean(picture.stem)
        if often[_same(alone)] == 1:
            return alone
        whole = _clean("_".join(picture.relative_to(root).with_suffix("").parts))
        free, number = whole, 1
        while _same(free) in taken:
            free, number = f"{whole}-{number + 1}", number + 1
        taken.add(_same(free))
        return free

    return {split: tuple(map(name, some)) for split, some in pictures.items()}


def usual_suffix(picture: Path) -> str:
    """The suffix of a picture, or that of its form where programs would not take it for a picture's.

    Raises:
        OSError: it cannot be read.
    """
    if picture.suffix.lower() in PICTURES:
        return picture.suffix
    with picture.open("rb") as file:
        start = file.read(4)
    return next((suffix for begins, suffix in _FORMS.items() if start.startswith(begins)), ".png")


def _picture(example: Example, spectrum: Spectrum) -> Path:
    return label_picture(example, spectrum) or Path(str(example.id))


def _clean(name: str) -> str:
    """Without what a list of names, one a line, or a file system has no place for."""
    kept = "".join("_" if sign in _NOT_IN_NAMES or not sign.isprintable() else sign for sign in name)
    kept = kept.encode("utf-8")[:_LONGEST].decode("utf-8", "ignore").strip(" ").rstrip(".")
    if Path(kept).suffix.lower() in _SUFFIXES:  # would be cut off as a suffix
        kept = "_".join(kept.rsplit(".", 1))
    return f"_{kept[1:]}" if kept.startswith(".") else kept or "picture"


def _same(name: str) -> str:
    """Equal for names that are one on some system."""
    return unicodedata.normalize("NFC", name).casefold()
