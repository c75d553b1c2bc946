"""`convert flir` of the ADAS set: thermal annotations with gapped ids, an RGB camera that is not aligned."""

import json
import shutil

import cv2
import numpy as np
import pytest
from raw_sets import assert_books_balance, kinds, picture, read, tree

from caffdet_cli.data.convert import convert
from caffdet_cli.data.raw import recognise
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.load import load_config

CLASSES = {1: "person", 2: "bicycle", 3: "car", 18: "dog", 91: "other vehicle"}


def adas(root, splits=("train", "val", "video"), prefix="thermal_8_bit/"):
    for at, split in enumerate(splits):
        names = [f"FLIR_{at}000{number}" for number in (1, 2)]
        for name in names:
            picture(root / split / "thermal_8_bit" / f"{name}.jpeg", grey=True)
            deep = root / split / "thermal_16_bit" / f"{name}.tiff"
            deep.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(deep), np.full((30, 40), 7000 + at, np.uint16))
        picture(root / split / "RGB" / f"{names[0]}.jpg", 80, 64)
        images = [
            {"id": number, "file_name": f"{prefix}{name}.jpeg", "width": 40, "height": 30}
            for number, name in enumerate(names)
        ]
        boxes = [
            {"id": key, "image_id": key % 2, "category_id": key, "bbox": [3, 4, 10, 12], "area": 120, "iscrowd": 0}
            for key in CLASSES
        ]
        document = {
            "images": images,
            "annotations": boxes,
            "categories": [{"id": key, "name": name} for key, name in CLASSES.items()],
        }
        (root / split / "thermal_annotations.json").write_text(json.dumps(document))
    return root


def test_thermal_boxes_keep_their_gapped_ids_and_find_their_rgb_pictures(tmp_path):
    raw = adas(tmp_path / "raw")
    assert recognise(raw) == "flir"
    report = convert("flir", raw, tmp_path / "out")
    assert {name: split.pictures for name, split in report.splits.items()} == {"train": 2, "val": 2, "test": 2}
    assert (report.verified, report.label_spectrum) == (False, "ir")
    file = read(tmp_path / "out/train.json")
    assert {one["id"]: one["name"] for one in file["categories"]} == CLASSES
    first, second = file["images"]
    assert (first["file_name"], first["file_name_IR"]) == (
        "train/RGB/FLIR_00001.jpg",
        "train/thermal_8_bit/FLIR_00001.jpeg",
    )
    assert (first["width"], first["width_other"]) == (40, 80)
    assert second["file_name"] is None
    assert ("spectra not aligned", "noted") in kinds(report)
    assert_books_balance(report)
    config = load_config(dataset=str(tmp_path / "out")).config
    assert (config.data.name, config.model.spectra) == ("flir-adas", ("ir",))
    assert file["info"]["caffdet"]["release"] == "FLIR ADAS v1, thermal"
    before = tree(tmp_path / "out")
    convert("flir", raw, tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == before


def test_boxes_never_stay_on_an_rgb_picture_alone(tmp_path):
    raw = adas(tmp_path / "raw", ("train",))
    (raw / "train/thermal_8_bit/FLIR_00001.jpeg").unlink()
    report = convert("flir", raw, tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [1]
    assert ("no picture", "dropped") in kinds(report)
    assert_books_balance(report)


def test_without_an_rgb_folder_it_is_a_set_of_one_spectrum(tmp_path):
    raw = adas(tmp_path / "raw", ("train",))
    shutil.rmtree(raw / "train/RGB")
    picture(raw / "train/thermal_8_bit/FLIR_09999.jpeg")
    report = convert("flir", raw, tmp_path / "out", strict=True)
    assert report.spectra == ("ir",)
    assert kinds(report) == [("not listed", "noted")]


def test_sixteen_bit_pictures_are_taken_where_asked(tmp_path):
    convert("flir", adas(tmp_path / "raw", ("train",), prefix=""), tmp_path / "out", variant="16-bit")
    names = [image["file_name_IR"] for image in read(tmp_path / "out/train.json")["images"]]
    assert names == ["train/thermal_16_bit/FLIR_00001.tiff", "train/thermal_16_bit/FLIR_00002.tiff"]


def test_what_does_not_fit_is_refused(tmp_path):
    raw = adas(tmp_path / "raw", ("train",))
    with pytest.raises(DatasetError, match="boxes in infrared pixels only"):
        convert("flir", raw, tmp_path / "out", label_spectrum="rgb")
    with pytest.raises(DatasetError, match="flir has no annotations called '12-bit'; it has 8-bit, 16-bit"):
        convert("flir", raw, tmp_path / "out", variant="12-bit")
    (raw / "train/thermal_16_bit").rename(raw / "train/other")
    with pytest.raises(DatasetError, match="train has no folder thermal_16_bit"):
        convert("flir", raw, tmp_path / "out", variant="16-bit")
    (raw / "train/thermal_annotations.json").write_text("{")
    with pytest.raises(DatasetError, match=r"thermal_annotations\.json: .*broken JSON"):
        convert("flir", raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_aligned_pairs_have_one_kind_of_pictures(shared, tmp_path):
    with pytest.raises(DatasetError, match="leave --variant out"):
        convert("flir", shared / "data/flir_layout_fixture/align", tmp_path / "out", variant="16-bit")
