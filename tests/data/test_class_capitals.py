"""Class names of a format are known in any capitals; names that differ in capitals only stay two classes."""

import pytest
from raw_sets import assert_books_balance, kinds, llvip, picture, read, voc
from yolo_sets import labels, singles, write

from caffdet_cli.data.convert import convert

BOX = (1, 2, 10, 12)


@pytest.mark.parametrize("spelt", ["Person", "PERSON"])
def test_llvip_knows_persons_in_any_capitals(tmp_path, spelt):
    raw = llvip(tmp_path / "raw")
    for path in (raw / "Annotations").iterdir():
        voc(path, [(spelt, BOX)])
    report = convert("llvip", raw, tmp_path / "out")
    assert (report.classes, report.splits["train"].boxes, report.findings.faults) == (("person",), 2, 0)
    assert_books_balance(report)


def test_other_names_are_not_guessed(tmp_path):
    raw = llvip(tmp_path / "raw")
    voc(raw / "Annotations/010001.xml", [("Persons", BOX), ("Person", BOX)])
    report = convert("llvip", raw, tmp_path / "out")
    assert kinds(report) == [("unknown class", "dropped")]


def test_a_class_may_be_asked_for_in_other_capitals(tmp_path):
    report = convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out", classes=["Person"])
    assert (report.classes, report.splits["train"].boxes) == (("Person",), 2)


def test_two_names_of_a_file_that_differ_in_capitals_only_stay_two_classes(tmp_path):
    raw = singles(tmp_path / "raw")
    write(raw / "data.yaml", "names: [car, Car]\n")
    file = min((raw / "labels/train").glob("*.txt"))
    labels(file, [(0, BOX), (1, BOX), (1, BOX)])
    report = convert("yolo", raw, tmp_path / "out")
    train = read(tmp_path / "out/train.json")
    image = next(one["id"] for one in train["images"] if one["file_name"].endswith(f"/{file.stem}.jpg"))
    of_image = [one["category_id"] for one in train["annotations"] if one["image_id"] == image]
    assert (report.classes, of_image) == (("car", "Car"), [0, 1, 1])


def test_names_of_voc_files_are_taken_as_they_are(tmp_path):
    for name, label in (("a", "Car"), ("b", "car")):
        picture(tmp_path / f"raw/JPEGImages/{name}.jpg")
        voc(tmp_path / f"raw/Annotations/{name}.xml", [(label, BOX)])
    assert convert("voc", tmp_path / "raw", tmp_path / "out").classes == ("Car", "car")
    assert convert("voc", tmp_path / "raw", tmp_path / "one", classes=["car"]).splits["train"].boxes == 1
