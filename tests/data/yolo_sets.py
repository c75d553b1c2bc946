"""YOLO label files and small data sets with them, for tests of converters."""

from collections.abc import Sequence
from pathlib import Path

from raw_sets import HEIGHT, WIDTH, Box, picture

NAMES = "names: [person, car]\n"


def row(number: object, box: Box, size: tuple[int, int] = (WIDTH, HEIGHT), decimals: int = 6) -> str:
    """A label line of a box in pixels, xyxy, rounded as files are."""
    left, top, right, bottom = box
    width, height = size
    sides = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height)
    return " ".join([str(number), *(f"{side:.{decimals}f}" for side in sides)])


def labels(
    path: Path, objects: Sequence[tuple[object, Box]] = ((0, (1, 2, 10, 12)),), size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Path:
    """A label file."""
    return write(path, "".join(row(number, box, size) + "\n" for number, box in objects))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def singles(
    root: Path, pictures: str = "images/{}", texts: str = "labels/{}", splits: Sequence[str] = ("train", "val")
) -> Path:
    """Two pictures a split, one object each."""
    for number, split in enumerate(splits):
        for at in (1, 2):
            picture(root / pictures.format(split) / f"{number}{at}.jpg")
            labels(root / texts.format(split) / f"{number}{at}.txt", [(at - 1, (1, 2, 10, 12))])
    write(root / "data.yaml", NAMES)
    return root


def pairs(
    root: Path,
    pictures: str = "{1}/{0}",
    texts: Sequence[str] = ("labels/{0}",),
    splits: Sequence[str] = ("train", "val"),
) -> Path:
    """Two pairs a split; label files where `texts` says, boxes of the infrared pictures one pixel further right."""
    for number, split in enumerate(splits):
        for at in (1, 2):
            for spectrum in ("visible", "infrared"):
                picture(root / pictures.format(split, spectrum) / f"{number}{at}.png", grey=spectrum == "infrared")
                for text in texts:
                    shift = int("{1}" in text and spectrum == "infrared")
                    labels(
                        root / text.format(split, spectrum) / f"{number}{at}.txt", [(0, (1 + shift, 2, 11 + shift, 12))]
                    )
    write(root / "data.yaml", NAMES)
    return root
