"""A minimal valid raw data set of every format that is converted, and what hostile archives put under file names."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from kaist_sets import kaist
from raw_sets import llvip, picture, voc
from yolo_sets import labels, pairs, write


class Set(NamedTuple):
    """One format's data set, and the files of one frame of it; paths have {} for its name."""

    format: str
    build: Callable[[Path], Path]
    frame: str
    rgb: str
    ir: str  # as `rgb` where there is one spectrum
    annotation: str
    kind: str  # of annotation: a key of ANNOTATIONS
    lists: str = ""  # a file that says which frames a split has
    more: tuple[str, ...] = ()  # other annotations of the frame

    def path(self, place: str, name: str = "") -> Path:
        """A file of the frame, or of one with another name."""
        return Path(place.format(name or self.frame))

    def pictures(self) -> list[Path]:
        return [self.path(place) for place in dict.fromkeys((self.rgb, self.ir))]


def _flir(root: Path) -> Path:
    for at in (1, 2):
        picture(root / f"JPEGImages/FLIR_0000{at}_RGB.jpg")
        picture(root / f"JPEGImages/FLIR_0000{at}_PreviewData.jpeg")
        voc(root / f"Annotations/FLIR_0000{at}_PreviewData.xml")
    write(root / "align_train.txt", "FLIR_00001_PreviewData\n")
    write(root / "align_validation.txt", "FLIR_00002_PreviewData\n")
    return root


def _caff(root: Path) -> Path:
    for folder, name in (("train_RGB", "1_RGB.jpg"), ("train_thermal", "1_PreviewData.jpeg")):
        picture(root / folder / name)
    write(
        root / "annotations/train.json",
        '{"images": [{"id": 1, "width": 40, "height": 30, "file_name": "1_RGB.jpg", "file_name_RGB": "1_RGB.jpg",'
        f' "file_name_IR": "1_PreviewData.jpeg"}}], {_COCO_REST}}}',
    )
    return root


def _coco(root: Path) -> Path:
    picture(root / "train2017/1.jpg")
    image = '{"id": 1, "width": 40, "height": 30, "file_name": "1.jpg"}'
    write(root / "annotations/instances_train2017.json", f'{{"images": [{image}], {_COCO_REST}}}')
    return root


_COCO_REST = (
    '"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 10]}],'
    ' "categories": [{"id": 1, "name": "person"}]'
)


def _m3fd(root: Path) -> Path:
    for at in (1, 2):
        for folder in ("vi", "ir"):
            picture(root / folder / f"0000{at}.png")
        labels(root / f"labels/0000{at}.txt")
    write(root / "meta/train.txt", "00001.png\n")
    write(root / "meta/val.txt", "00002.png\n")
    return root


def _archive(root: Path) -> Path:
    for at in (1, 2):
        for folder in ("Vis", "Ir"):
            picture(root / folder / f"0000{at}.png")
        voc(root / f"Annotation/0000{at}.xml", [("Car", (1, 2, 10, 12))], filename=f"0000{at}.png")
    return root


def _vedai(root: Path) -> Path:
    for at in (1, 2):
        for kind in ("co", "ir"):
            picture(root / f"Vehicules512/0000000{at}_{kind}.png", 512, 512, grey=True)
    rows = (f"0000000{at} 30.5 20.0 -0.5 20 40 41 21 15 10 25 30 1 1 0\n" for at in (1, 2))
    write(root / "Annotations512/annotation512.txt", "".join(rows))
    write(root / "Annotations512/fold01.txt", "00000001\n")
    write(root / "Annotations512/fold01test.txt", "00000002\n")
    return root


def _cvc14(root: Path) -> Path:
    for spectrum in ("Visible", "FIR"):
        for split in ("Train", "NewTest"):
            folder = root / "Day" / spectrum / split
            picture(folder / "FramesPos" / f"{split}1.tif", grey=True)
            picture(folder / "FramesNeg" / f"{split}2.tif", grey=True)
            write(folder / "Annotations" / f"{split}1.txt", "20 15 6 10 1 0 0 0 0 1 0\n")
    return root


def _dronevehicle(root: Path) -> Path:
    for split in ("train", "val"):
        for kind in ("", "r"):
            picture(root / split / f"{split}img{kind}/00001.jpg")
            voc(root / split / f"{split}label{kind}/00001.xml", [("car", (1, 2, 10, 12))])
    return root


def _msrs(root: Path) -> Path:
    for at, split in enumerate(("train", "test")):
        for folder in ("vi", "ir"):
            picture(root / split / folder / f"{at}D.png")
        for folder in ("visible", "infrared", "fusion"):
            labels(root / "labels" / folder / split / f"{at}D.txt")
    return root


def _voc(root: Path) -> Path:
    for at in (1, 2):
        for folder in ("visible", "infrared"):
            picture(root / folder / f"{at}.jpg")
        voc(root / f"Annotations/{at}.xml")
    write(root / "ImageSets/Main/train.txt", "1\n")
    write(root / "ImageSets/Main/val.txt", "2\n")
    return root


def _paired(root: Path) -> Path:
    """As `caffdet convert` writes it."""
    for folder in ("rgb", "ir"):
        picture(root / folder / "1.png")
    image = '{"id": 1, "width": 40, "height": 30, "file_name": "rgb/1.png", "file_name_IR": "ir/1.png"}'
    write(
        root / "train.json",
        f'{{\n"info": {{"caffdet": {{"version": 1, "label_spectrum": "ir"}}}},\n"images": [{image}], {_COCO_REST}}}',
    )
    write(
        root / "dataset.toml", '[data]\nname = "own"\nroot = "."\n[data.splits.train]\nannotations = ["train.json"]\n'
    )
    return root


SETS: Mapping[str, Set] = {
    "llvip": Set(
        "llvip", llvip, "010001", "visible/train/{}.jpg", "infrared/train/{}.jpg", "Annotations/{}.xml", "xml"
    ),
    "flir": Set(
        "flir",
        _flir,
        "FLIR_00001",
        "JPEGImages/{}_RGB.jpg",
        "JPEGImages/{}_PreviewData.jpeg",
        "Annotations/{}_PreviewData.xml",
        "xml",
        "align_train.txt",
    ),
    "caff": Set(
        "flir",
        _caff,
        "1",
        "train_RGB/{}_RGB.jpg",
        "train_thermal/{}_PreviewData.jpeg",
        "annotations/train.json",
        "json",
    ),
    "kaist": Set(
        "kaist",
        kaist,
        "I00019",
        "images/set06/V000/visible/{}.bmp",
        "images/set06/V000/lwir/{}.bmp",
        "annotations_improved/set06/V000/{}.txt",
        "kaist",
        "imageSets/test-all-20.txt",
    ),
    "m3fd": Set("m3fd", _m3fd, "00001", "vi/{}.png", "ir/{}.png", "labels/{}.txt", "yolo", "meta/train.txt"),
    "m3fd-archive": Set("m3fd", _archive, "00001", "Vis/{}.png", "Ir/{}.png", "Annotation/{}.xml", "xml"),
    "vedai": Set(
        "vedai",
        _vedai,
        "00000001",
        "Vehicules512/{}_co.png",
        "Vehicules512/{}_ir.png",
        "Annotations512/annotation512.txt",
        "vedai",
        "Annotations512/fold01.txt",
    ),
    "cvc14": Set(
        "cvc14",
        _cvc14,
        "Train1",
        "Day/Visible/Train/FramesPos/{}.tif",
        "Day/FIR/Train/FramesPos/{}.tif",
        "Day/FIR/Train/Annotations/{}.txt",
        "cvc14",
        more=("Day/Visible/Train/Annotations/{}.txt",),
    ),
    "dronevehicle": Set(
        "dronevehicle",
        _dronevehicle,
        "00001",
        "train/trainimg/{}.jpg",
        "train/trainimgr/{}.jpg",
        "train/trainlabelr/{}.xml",
        "xml",
        more=("train/trainlabel/{}.xml",),
    ),
    "msrs": Set(
        "msrs",
        _msrs,
        "0D",
        "train/vi/{}.png",
        "train/ir/{}.png",
        "labels/infrared/train/{}.txt",
        "yolo",
        more=("labels/visible/train/{}.txt", "labels/fusion/train/{}.txt"),
    ),
    "voc": Set(
        "voc", _voc, "1", "visible/{}.jpg", "infrared/{}.jpg", "Annotations/{}.xml", "xml", "ImageSets/Main/train.txt"
    ),
    "yolo": Set("yolo", pairs, "01", "visible/train/{}.png", "infrared/train/{}.png", "labels/train/{}.txt", "yolo"),
    "coco": Set(
        "coco", _coco, "1", "train2017/{}.jpg", "train2017/{}.jpg", "annotations/instances_train2017.json", "json"
    ),
    "paired": Set("coco", _paired, "1", "rgb/{}.png", "ir/{}.png", "train.json", "json"),
}
"""By name: one line per layout."""


def annotation(one: Set, content: bytes) -> bytes:
    """`content` with the names of pictures that a set has."""
    match Path(one.annotation).name:
        case "train.json" if one.format == "coco":
            return content.replace(b'"1.jpg"', b'"rgb/1.png", "file_name_IR": "ir/1.png"')
        case "train.json":
            return _without_info(content).replace(b'"1.jpg"', b'"1_RGB.jpg"')
        case "instances_train2017.json":
            return _without_info(content)
    return content


def _without_info(content: bytes) -> bytes:
    """Of files that caffdet did not write."""
    return content.replace(b'"caffdet": {"version": 1,', b'"other": {"version": 1,')


def special(path: Path, what: str) -> None:
    """Something else than a file under a file's name."""
    path.unlink(missing_ok=True)
    match what:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "a socket":
            with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as server:
                patch.chdir(path.parent)  # names of sockets are short
                server.bind(path.name)
        case "a device":
            path.symlink_to("/dev/zero")
        case "a link to nowhere":
            path.symlink_to("nowhere")
        case "a link to itself":
            path.symlink_to(path.name)
        case "nothing":
            pass


SPECIAL = ("a folder", "a pipe", "a socket", "a device", "a link to nowhere", "a link to itself", "nothing")

NAMES = (
    "a b",
    " a",
    "a\nb",
    "\x1b[31mred",
    "é漢字",
    "-rf",
    "n" * 230,
    b"\xff\xfe".decode("utf-8", "surrogateescape"),
    "a.jpg",
)
"""For frames."""


def snapshot(folder: Path) -> dict[str, object]:
    """All that is below a folder, links as links."""
    return dict(_entries(folder))


def _entries(folder: Path) -> Iterator[tuple[str, object]]:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            content = (
                os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else path.stat().st_mode
            )
            yield str(path.relative_to(folder)), content
