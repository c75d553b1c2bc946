"""Tiny raw data sets on disk, for tests of converters."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffdet_cli.data.convert import ConvertReport

Box = tuple[Any, Any, Any, Any]
WIDTH, HEIGHT = 40, 30


def picture(path: Path, width: int = WIDTH, height: int = HEIGHT, *, grey: bool = False) -> Path:
    """A noisy picture; its content depends on its name only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(sum(path.stem.encode()))
    pixels = random.integers(0, 255, (height, width) if grey else (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def voc(
    path: Path,
    objects: Sequence[tuple[str, Box]] = (("person", (1, 2, 10, 12)),),
    *,
    filename: str | None = None,
    size: tuple[int, int] | None = (WIDTH, HEIGHT),
    extra: str = "",
) -> Path:
    """A Pascal VOC file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    path.write_text(
        f"<annotation><filename>{filename or path.stem + '.jpg'}</filename>{sides}{extra}"
        + "".join(voc_object(name, box) for name, box in objects)
        + "</annotation>",
        encoding="utf-8",
    )
    return path


def voc_object(name: str, box: Box) -> str:
    corners = "".join(f"<{tag}>{side}</{tag}>" for tag, side in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def llvip(root: Path, train: Sequence[str] = ("010001", "010002"), test: Sequence[str] = ("190001",)) -> Path:
    """LLVIP's layout, one person per pair."""
    for split, names in (("train", train), ("test", test)):
        for name in names:
            picture(root / "visible" / split / f"{name}.jpg")
            picture(root / "infrared" / split / f"{name}.jpg", grey=True)
            voc(root / "Annotations" / f"{name}.xml")
    return root


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kinds(report: ConvertReport) -> list[tuple[str, str]]:
    return sorted((finding.kind, finding.action) for finding in report.findings)


def assert_books_balance(report: ConvertReport) -> None:
    """Items read = items written + items that findings say were left out."""
    files = [read(report.output / f"{split}.json") for split in report.splits]
    pictures, boxes = (sum(len(file[key]) for file in files) for key in ("images", "annotations"))
    assert (pictures, boxes) == (
        sum(split.pictures for split in report.splits.values()),
        sum(split.boxes for split in report.splits.values()),
    )
    assert report.findings.pictures == pictures + report.findings.lost_pictures
    assert report.findings.boxes == boxes + report.findings.lost_boxes


def pairs(root: Path) -> Path:
    """Two classes, boxes at the edges and between pixels, an empty picture, a missing partner, three splits."""
    boxes = {
        "1": [("dog", (0, 0, WIDTH, HEIGHT)), ("a cat", ("1.3", 2, "30.7", 20))],
        "2": [],
        "3": [("dog", (3, 4, 5, 6))],
    }
    for split, name in (("train", "1"), ("val", "2"), ("test", "3")):
        voc(root / f"Annotations/{name}.xml", boxes[name])
        picture(root / f"visible/{name}.jpg")
        (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        (root / f"ImageSets/Main/{split}.txt").write_text(f"{name}\n")
    for name in ("1", "2"):
        picture(root / f"infrared/{name}.png", grey=True)
    return root
