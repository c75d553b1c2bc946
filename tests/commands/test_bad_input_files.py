"""Spoilt files: annotations, detections, VOC XML and pictures, for every command that reads them."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_input import DEEP, VOC, Cell, both, check_here, cut, edit, lose, put, replace

CELLS: list[Cell] = []

PAIR = "--weights weights/pair.safetensors"
TRAIN = "train --device cpu --dataset data -o out"
EVAL = f"eval {PAIR} --device cpu --workers 0 --dataset data -o out"
DRAW = "visualize --dataset data -o out"
PREDICT = f"predict {PAIR} --device cpu -o out"
ONE_PAIR = "--rgb data/rgb/0001.png --ir data/ir/0001.png"  # of many pictures it would look at the others
BEGUN = ("out", "out/config.toml", "out/run.json", "out/metrics.jsonl", "out/checkpoints")  # a run to go on with
NAN = float("nan")
BOMB = '<!DOCTYPE a [<!ENTITY b "x">' + "".join(
    f'<!ENTITY {"b" * n} "{("&" + "b" * (n - 1) + ";") * 9}">' for n in range(2, 10)
)
BOMB += f"]><annotation><filename>&{'b' * 9};</filename></annotation>"
EXTERNAL = f'<!DOCTYPE annotation SYSTEM "file:///etc/passwd">{VOC.format(name="a.jpg")}'
INCLUDED = f'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>{VOC.format(name="&b;")}'


def huge_png(here: Path) -> None:
    """A PNG of 30,000 x 30,000 pixels in a few bytes: only its header tells."""

    def part(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (30_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    content = part(b"IHDR", header) + part(b"IDAT", zlib.compress(bytes(99))) + part(b"IEND", b"")
    put("data/ir/0001.png", b"\x89PNG\r\n\x1a\n" + content)(here)


# annotations


def first(list_: str, **values: Any) -> Callable[[Any], object]:
    """Change the first record of a list; every record where it is the annotations."""
    return lambda content: [one.update(values) for one in content[list_][: None if list_ == "annotations" else 1]]


ANNOTATIONS: list[tuple[str, str, Callable[[str], Callable[[Path], object]]]] = [
    # fault, what is said besides the file, what is done to the file
    ("empty annotations", "it is empty", lambda file: put(file, "")),
    (
        "broken annotations",
        "line 2, column | broken JSON",
        lambda file: put(file, '{"images": [],\n "annotations": oh'),
    ),
    ("annotations cut off", "broken JSON", lambda file: cut(file, 0.8)),
    ("deep annotations", "nested too deeply", lambda file: put(file, DEEP)),
    ("deep annotations below a key", "nested too deeply", lambda file: put(file, '{"images":' * 100_000)),
    ("binary annotations", "broken JSON", lambda file: put(file, b"\x80\xff" * 99)),
    ("list as annotations", "a list of detections", lambda file: put(file, "[]")),
    ("number as annotations", "a JSON object", lambda file: put(file, "3")),
    ("no images", "'images' is missing", lambda file: edit(file, lambda content: content.pop("images"))),
    ("images of a wrong type", "'images' is 3", lambda file: edit(file, lambda content: content.update(images=3))),
    ("image that is a text", "images[0] is 'x'", lambda file: edit(file, lambda content: content.update(images=["x"]))),
    ("image without id", "images[0].id is None", lambda file: edit(file, first("images", id=None))),
    ("width that is a text", "images[0].width is 'x'", lambda file: edit(file, first("images", width="x"))),
    ("width that is NaN", "images[0].width is nan", lambda file: edit(file, first("images", width=NAN))),
    ("width that is infinite", "images[0].width is inf", lambda file: edit(file, first("images", width=1e999))),
    ("huge width", "images[0].width", lambda file: edit(file, first("images", width=10**300))),
    ("number of 9000 digits", "broken JSON", lambda file: put(file, f'{{"images": {"9" * 9000}}}')),
    ("picture outside", "leads out of its folder", lambda file: edit(file, first("images", file_name="../../x.png"))),
    ("absolute picture", "leads out of its folder", lambda file: edit(file, first("images", file_name_IR="/x.png"))),
    ("picture name of a wrong type", "images[0]", lambda file: edit(file, first("images", file_name=3))),
    (
        "boxes that are NaN",
        "none of its 2 annotations | broken box",
        lambda file: edit(file, first("annotations", bbox=[NAN] * 4)),
    ),
    (
        "boxes of a wrong type",
        "none of its 2 annotations | broken box",
        lambda file: edit(file, first("annotations", bbox="x")),
    ),
    (
        "unknown pictures",
        "none of its 2 annotations | unknown picture",
        lambda file: edit(file, first("annotations", image_id=10**300)),
    ),
    (
        "unknown classes",
        "none of its 2 annotations | unknown class",
        lambda file: edit(file, first("annotations", category_id=7)),
    ),
    ("class without name", "categories[0].name", lambda file: edit(file, first("categories", name=None))),
    ("class id that is NaN", "categories[0].id is nan", lambda file: edit(file, first("categories", id=NAN))),
    (
        "version of the future",
        "info.caffdet.version is 9",
        lambda file: edit(file, lambda content: content["info"]["caffdet"].update(version=9)),
    ),
    (
        "info of a wrong type",
        "info.caffdet is 3",
        lambda file: edit(file, lambda content: content.update(info={"caffdet": 3})),
    ),
]
SCORE = "eval --predictions data/found.json --annotations data/val.json"
for fault, said, spoil in ANNOTATIONS:
    for words, file in (
        (TRAIN, "data/train.json"),
        (EVAL, "data/val.json"),
        (DRAW, "data/val.json"),
        (SCORE, "data/val.json"),
    ):
        CELLS.append(
            Cell(words, f"{fault} (--annotations)" if words == SCORE else fault, f"{file} | {said}", spoil(file))
        )
CAFF = "raw/caff/annotations/train.json"
FLIR = "convert flir raw/caff -o out"
CELLS += [
    Cell(FLIR, "broken annotations", "annotations/train.json: line 1, column 1: broken JSON", put(CAFF, "oh")),
    Cell(FLIR, "deep annotations", "annotations/train.json: nested too deeply", put(CAFF, DEEP)),
    Cell(FLIR, "list as annotations", "annotations/train.json | a list", put(CAFF, "[]")),
    Cell(FLIR, "width that is NaN", "images[0].width is nan", edit(CAFF, first("images", width=NAN))),
    Cell(
        FLIR,
        "boxes that are NaN",
        "none of its 1 annotations | broken box",
        edit(CAFF, first("annotations", bbox=[NAN] * 4)),
    ),
    Cell(FLIR, "unknown pictures", "none of its 1 annotations", edit(CAFF, first("annotations", image_id=10**300))),
    Cell(FLIR, "picture outside", "leads out of its folder", edit(CAFF, first("images", file_name="../../x.jpeg"))),
    Cell(
        "convert flir raw/flir -o out",
        "binary list",
        "align_train.txt | UTF-8",
        put("raw/flir/align_train.txt", b"\xff\xfe"),
    ),
    Cell(f"{TRAIN} --set \"data.classes=['dog']\"", "class that the file lacks", "data/train.json has no class 'dog'"),
]

# detections


def entry(**values: Any) -> str:
    return json.dumps([{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, **values}])


DETECTIONS: list[tuple[str, str, str | bytes]] = [
    ("empty detections", "", ""),
    ("broken detections", "line 1, column", '[{"image_id": 0, '),
    ("deep detections", "nested too deeply", DEEP),
    ("binary detections", "", b"\x80\xff" * 99),
    ("detections that are an object", "", "{}"),
    ("entry of a wrong type", "entry 0", "[3]"),
    ("entry without score", "entry 0: score is missing", '[{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}]'),
    ("score that is NaN", "entry 0: score = nan", entry(score=NAN)),
    ("score that is a text", "entry 0: score is a text", entry(score="high")),
    ("box that is NaN", "entry 0: bbox[2] = nan", entry(bbox=[1, 2, NAN, 4])),
    ("box that is infinite", "entry 0: bbox[0] = -inf", entry(bbox=[-1e999, 2, 3, 4])),
    ("box of three numbers", "entry 0: bbox", entry(bbox=[1, 2, 3])),
    ("box of negative width", "entry 0: bbox | negative", entry(bbox=[1, 2, -3, 4])),
    ("unknown picture", "entry 0: image_id 99 is not in", entry(image_id=99)),
    ("huge picture id", "entry 0: image_id 1000 | is not in", entry(image_id=10**300)),
    ("picture id that is a list", "entry 0: image_id", entry(image_id=[0])),
    ("huge class id", "entry 0: category_id 1000 | is not in", entry(category_id=10**300)),
    ("class id that is true", "entry 0: category_id", entry(category_id=True)),
    ("number of 9000 digits", "broken JSON", f"[{'9' * 9000}]"),
]
for words in (SCORE.replace("found", "mine"), f"{DRAW} --predictions data/mine.json"):
    CELLS += [
        Cell(words, fault, f"data/mine.json | {said}".removesuffix(" | "), put("data/mine.json", content))
        for fault, said, content in DETECTIONS
    ]
    CELLS += [
        Cell(words, "missing detections", "data/mine.json"),
        Cell(words.replace("data/mine.json", "empty"), "folder as detections", "empty is not a file"),
        Cell(words.replace("data/mine.json", "data/val.json"), "annotations as detections", "data/val.json"),
    ]
CELLS += [
    Cell("eval --predictions data/found.json --annotations nowhere.json", "missing annotations", "nowhere.json"),
    Cell("eval --predictions data/found.json --annotations data", "folder as annotations", "data is not a file"),
    Cell(
        "eval --predictions data/found.json --annotations data/found.json",
        "detections as annotations",
        "data/found.json | a list of detections",
    ),
]

# VOC XML: a file that cannot be used is a finding; the error comes when none is left, or at once with --strict

XML: list[tuple[str, str | bytes]] = [
    ("billion laughs", BOMB),
    ("external DTD", EXTERNAL),
    ("external entity", INCLUDED),
    ("deep XML", "<a>" * 100_000),
    ("broken XML", "<annotation><object>"),
    ("empty XML", ""),
    ("binary XML", b"\x00\xff" * 99),
    ("unknown encoding", '<?xml version="1.0" encoding="x-none"?><annotation/>'),
    ("other XML", "<html/>"),
    ("boxes that are NaN", VOC.format(name="x").replace(">2<", ">nan<")),
    ("boxes that are huge", VOC.format(name="x").replace(">20<", f">{'9' * 400}<")),
    ("boxes without corners", VOC.format(name="x").replace("xmin", "x")),
]
PLACES = {
    "llvip": ("Annotations/00001.xml", "visible/train/00001.jpg", "infrared/train/00001.jpg"),
    "voc": ("Annotations/00001.xml", "visible/00001.png", "infrared/00001.png"),
    "flir": (
        "Annotations/FLIR_00001_PreviewData.xml",
        "JPEGImages/FLIR_00001_RGB.jpg",
        "JPEGImages/FLIR_00001_PreviewData.jpeg",
    ),
}
for format, (xml, rgb, ir) in PLACES.items():
    words, root = f"convert {format} raw/{format} -o out", f"raw/{format}"
    CELLS += [Cell(words, fault, f"{root}", put(f"{root}/{xml}", content), also=xml) for fault, content in XML]
    CELLS += [
        Cell(f"{words} --strict", f"{fault}, strict", f"findings in | {root}", spoil(f"{root}/{file}"), 1, file)
        for file in (rgb, ir)
        for fault, spoil in (
            ("truncated picture", cut),
            ("picture that is text", lambda path: put(path, "no picture")),
            ("picture of no bytes", lambda path: put(path, b"")),
        )
    ]
    CELLS += [
        Cell(
            f"{words} --strict",
            f"no {spectrum} picture, strict",
            f"findings in | {root} | missing partner",
            lose(f"{root}/{file}"),
            1,
            f"no {spectrum} picture",
        )
        for spectrum, file in (("rgb", rgb), ("ir", ir))
        if (format, spectrum) != ("flir", "ir")  # the infrared pictures are what a FLIR folder is known by
    ]
    CELLS.append(
        Cell(
            words,
            "no picture left",
            f"{root}: no picture can be used",
            both(cut(f"{root}/{rgb}"), cut(f"{root}/{ir}")),
            also=ir,
        )
    )

# pictures

for words, begun in ((TRAIN, BEGUN), (EVAL, ()), (DRAW, ())):
    for spectrum in ("rgb", "ir"):
        file = f"data/{spectrum}/0001.png"
        CELLS += [
            Cell(words, f"truncated {spectrum} picture", file, cut(file), leaves=begun),
            Cell(words, f"{spectrum} picture that is text", file, put(file, "no picture"), leaves=begun),
            Cell(words, f"empty {spectrum} picture", f"{file} | empty", put(file, b""), leaves=begun),
            Cell(words, f"missing {spectrum} picture", file, lose(file), leaves=begun),
        ]
    CELLS += [
        Cell(words, "huge picture", "data/ir/0001.png | pixels", huge_png, leaves=begun),
        Cell(
            words,
            "picture that is a folder",
            "data/rgb/0001.png",
            both(lose("data/rgb/0001.png"), put("data/rgb/0001.png/x", "")),
            leaves=begun,
        ),
    ]
for words, begun in ((TRAIN, BEGUN), (EVAL, ())):
    wrong = both(*(replace(f"data/{split}.json", '"width": 48', '"width": 49') for split in ("train", "val")))
    CELLS.append(
        Cell(
            words,
            "other size than annotated",
            "data/ir/0000.png is 48x32 | 49x32" if words == EVAL else "is 48x32 | 49x32",
            wrong,
            leaves=begun,
        )
    )


def without(spectrum: str) -> Callable[[Path], object]:
    """A data set without pictures of one spectrum."""
    key = "file_name" if spectrum == "rgb" else "file_name_IR"
    return both(
        *(
            edit(f"data/{split}.json", lambda content: [one.update({key: None}) for one in content["images"]])
            for split in ("train", "val")
        )
    )


ONE = "eval --device cpu --workers 0 --dataset data -o out --weights"
CELLS += [
    Cell(TRAIN, "pair model, data of RGB alone", "data/train.json | ir", without("ir")),
    Cell(TRAIN, "pair model, data of infrared alone", "data/train.json | rgb", without("rgb")),
    Cell(f"{ONE} weights/ir.safetensors", "infrared model, data of RGB alone", "data/val.json | ir", without("ir")),
    Cell(f"{ONE} weights/rgb.safetensors", "RGB model, data of infrared alone", "data/val.json | rgb", without("rgb")),
    Cell(f"{EVAL} --spectrum ir", "infrared asked for, data of RGB alone", "data/val.json | ir", without("ir")),
    Cell(PREDICT, "no picture named", "--rgb"),
    Cell(f"{PREDICT} --rgb data/rgb --ir nowhere", "missing infrared folder", "nowhere is not there"),
    Cell(f"{PREDICT} --rgb nowhere.png", "missing picture", "nowhere.png is not there"),
    Cell(f"{PREDICT} --rgb data/rgb --ir empty", "empty infrared folder", "empty has no pictures"),
    Cell(f"{PREDICT} --rgb raw", "folder of folders", "raw has no pictures"),
    Cell(f"{PREDICT} --ir data/text.png", "picture that is text", "data/text.png"),
    Cell(f"{PREDICT} --rgb file", "file that is no picture", "file"),
    Cell(
        f"{PREDICT} {ONE_PAIR}",
        "truncated infrared picture",
        "data/ir/0001.png",
        cut("data/ir/0001.png"),
    ),
    Cell(f"{PREDICT} {ONE_PAIR}", "truncated RGB picture", "data/rgb/0001.png", cut("data/rgb/0001.png")),
    Cell(f"{PREDICT} {ONE_PAIR}", "huge picture", "data/ir/0001.png | pixels", huge_png),
    Cell(
        f"{PREDICT} --rgb list.txt",
        "list with a missing picture",
        "list.txt, line 2: | x.png is not there",
        put("list.txt", "data/rgb/0000.png\nx.png\n"),
    ),
    Cell(
        f"{PREDICT} --rgb list.txt",
        "list with a missing picture below an empty line",
        "list.txt, line 3: | x.png is not there",
        put("list.txt", "data/rgb/0000.png\n\nx.png\n"),
    ),
    Cell(f"{PREDICT} --rgb list.txt", "binary list", "list.txt", put("list.txt", b"\xff\xfe\x00")),
    Cell(f"{PREDICT} --rgb list.txt", "list with a null character", "list.txt, line 1", put("list.txt", "a\0b.png\n")),
    Cell(f"{PREDICT} --rgb list.txt", "empty list", "list.txt names no pictures", put("list.txt", "\n")),
    Cell(
        f"{PREDICT} --rgb data/rgb",
        "one name twice",
        "0000.png | 0000_RGB.png | same name",
        put("data/rgb/0000_RGB.png", b""),
    ),
    Cell(f"{PREDICT.replace('pair', 'ir')} --rgb data/rgb", "RGB for an infrared model", "--ir"),
    Cell(f"{PREDICT.replace('pair', 'rgb')} --ir data/ir", "infrared for an RGB model", "--rgb"),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_spoilt_file_is_one_sentence_and_changes_nothing(
    cell: Cell, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_here(cell, here, capsys)
