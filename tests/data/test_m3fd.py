"""`convert m3fd`: TarDAL's layout, the archive's, lists and class orders."""

import pytest
from raw_sets import assert_books_balance, kinds, picture, read, tree, voc
from yolo_sets import labels, write

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.m3fd import CLASSES
from caffdet_cli.data.raw import recognise
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import load_config

BOX = (1, 2, 10, 12)


def tardal(root, names=("00000", "00001", "00002"), *, lists=True):
    """TarDAL's layout: a picture has an object of its own class number and one of the next."""
    for at, name in enumerate(names):
        picture(root / f"vi/{name}.png")
        picture(root / f"ir/{name}.png")
        labels(root / f"labels/{name}.txt", [(at, BOX), (at + 1, BOX)])
    if lists:
        write(root / "meta/train.txt", "00000.png\n00001.png\n")
        write(root / "meta/val.txt", "00002.png\n")
        write(root / "meta/pred.txt", "00000.png\n00002.png\n")
    return root


def archive(root, folders=("Vis", "Ir", "Annotation")):
    rgb, ir, annotations = folders
    for at, name in enumerate(("00000", "00001")):
        picture(root / rgb / f"{name}.png")
        picture(root / ir / f"{name}.png")
        voc(root / annotations / f"{name}.xml", [(CLASSES[at], BOX), (CLASSES[at + 3], BOX)], filename=f"{name}.png")
    return root


def names_of(folder, split="train"):
    file = read(folder / f"{split}.json")
    names = {one["id"]: one["name"] for one in file["categories"]}
    return [names[one["category_id"]] for one in file["annotations"]]


def test_tardals_lists_are_the_splits_and_its_numbers_the_classes(tmp_path):
    raw = tardal(tmp_path / "raw")
    assert recognise(raw) == "m3fd"
    report = convert("m3fd", raw, tmp_path / "out")
    assert {name: split.pictures for name, split in report.splits.items()} == {"train": 2, "val": 1}
    assert report.classes == ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")
    assert names_of(tmp_path / "out") == ["People", "Car", "Car", "Bus"]
    assert names_of(tmp_path / "out", "val") == ["Bus", "Lamp"]
    image = read(tmp_path / "out/val.json")["images"][0]
    assert (image["id"], image["file_name"], image["file_name_IR"]) == (2, "vi/00002.png", "ir/00002.png")
    assert kinds(report) == [("class names", "noted")]
    assert "3 Lamp, 4 Motorcycle" in report.findings.items[0].what
    assert (report.verified, report.label_spectrum) == (True, "ir")
    assert_books_balance(report)


def test_a_classes_txt_gives_the_order_of_a_copy_and_names_stay_names(tmp_path):
    raw = tardal(tmp_path / "raw", ("00003", "00004", "00005", "00006"), lists=False)
    write(raw / "labels/classes.txt", "people\ncar\nbus\nmotorcycle\nlamp\ntruck\n")
    report = convert("m3fd", raw, tmp_path / "out")
    assert report.classes == CLASSES
    assert names_of(tmp_path / "out") == ["People", "Car", "Car", "Bus", "Bus", "Motorcycle", "Motorcycle", "Lamp"]
    assert kinds(report) == [("no official split", "noted")]


def test_without_lists_all_is_train_and_that_is_told(tmp_path):
    report = convert("m3fd", tardal(tmp_path / "raw", lists=False), tmp_path / "out")
    assert list(report.splits) == ["train"]
    assert kinds(report) == [("class names", "noted"), ("no official split", "noted")]
    assert_books_balance(report)


def test_what_no_list_has_and_what_only_a_list_has_is_told(tmp_path):
    raw = tardal(tmp_path / "raw")
    write(raw / "meta/train.txt", "00000.png\n../../etc/passwd\n00009.png")
    write(raw / "meta/val.txt", "00002.png\n00000.png\n")
    report = convert("m3fd", raw, tmp_path / "out", overwrite=True, classes=["Bus"])
    assert read(tmp_path / "out/train.json")["images"] == []
    assert {row.kind: row.number for row in report.findings.rows()} == {
        "no annotation": 2,
        "in two splits": 1,
        "not listed": 1,
        "class names": 1,
        "unknown class": 3,
    }
    assert_books_balance(report)


@pytest.mark.parametrize(
    "folders", [("Vis", "Ir", "Annotation"), ("vis", "ir", "annotation"), ("VIS", "IR", "ANNOTATION")]
)
def test_the_archive_is_read_in_any_capitals_and_called_unverified(tmp_path, folders):
    raw, progress = archive(tmp_path / "raw", folders), Warnings()
    assert recognise(raw) == "m3fd"
    report = convert("m3fd", raw, tmp_path / "out", progress=progress)
    assert names_of(tmp_path / "out") == ["People", "Lamp", "Car", "Motorcycle"]
    assert report.classes == CLASSES
    assert kinds(report) == [("no official split", "noted")]
    assert not report.verified
    assert ["unverified" in text for text in progress.texts] == [True]
    assert_books_balance(report)


class Warnings(Progress):
    """Keeps what it is told."""

    def __init__(self):
        self.texts = []

    def warn(self, text):
        self.texts.append(text)


def test_names_go_before_numbers_where_a_copy_has_both(tmp_path):
    raw = archive(tmp_path / "raw")
    labels(raw / "labels/00000.txt", [(5, BOX)])
    report = convert("m3fd", raw, tmp_path / "out")
    assert names_of(tmp_path / "out") == ["People", "Lamp", "Car", "Motorcycle"]
    assert ("two annotations", "noted") in kinds(report)


def test_spellings_in_other_capitals_are_known_and_other_names_are_not_guessed(tmp_path):
    raw = archive(tmp_path / "raw")
    voc(raw / "Annotation/00000.xml", [("PEOPLE", BOX), ("Person", BOX), ("car", BOX)], filename="00000.png")
    report = convert("m3fd", raw, tmp_path / "out")
    assert names_of(tmp_path / "out") == ["People", "Car", "Car", "Motorcycle"]
    assert ("unknown class", "dropped") in kinds(report)
    assert_books_balance(report)


def test_classes_may_be_asked_for_in_other_capitals_and_are_then_called_so(tmp_path):
    report = convert("m3fd", archive(tmp_path / "raw"), tmp_path / "out", classes=["people", "CAR"])
    assert report.classes == ("people", "CAR")
    assert names_of(tmp_path / "out") == ["people", "CAR"]


@pytest.mark.parametrize(
    "text", ["0 nan 0.5 0.1 0.1", "0 0.5 0.5 0.1", "0 0.5 0.5 0.1 0.1 0.9", "\x00", "7 0.5 0.5 0.1 0.1"]
)
def test_broken_label_files_are_told_and_the_rest_goes_on(tmp_path, text):
    raw = tardal(tmp_path / "raw")
    write(raw / "labels/00000.txt", text)
    report = convert("m3fd", raw, tmp_path / "out")
    assert report.findings.faults == 1
    assert report.splits["train"].boxes == 2
    assert_books_balance(report)


def test_files_that_are_no_text_and_links_in_a_circle_are_told(tmp_path):
    raw = tardal(tmp_path / "raw")
    (raw / "labels/00000.txt").write_bytes(b"\xff\xfe0\x00")
    (raw / "labels/00001.txt").unlink()
    (raw / "labels/00001.txt").symlink_to("00001.txt")
    report = convert("m3fd", raw, tmp_path / "out")
    assert [row.number for row in report.findings.rows() if row.kind == "broken annotation"] == [2]
    assert_books_balance(report)
    (raw / "meta/train.txt").write_bytes(b"0000\xff")
    with pytest.raises(DatasetError, match=r"train\.txt: byte 4"):
        convert("m3fd", raw, tmp_path / "out2")


@pytest.mark.parametrize("name", ["00007 b", "00007\nb", "Straße 夜", "00000B"])
def test_odd_names_are_names(tmp_path, name):
    raw = tardal(tmp_path / "raw", ("00000", name), lists=False)
    report = convert("m3fd", raw, tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [0, name]
    assert_books_balance(report)


def test_pairs_of_other_names_without_lists_are_not_taken_for_m3fd(tmp_path):
    assert recognise(tardal(tmp_path / "raw", ("a", "b"), lists=False)) == "yolo"


def test_another_layout_is_refused_with_what_was_looked_for(tmp_path):
    raw = tardal(tmp_path / "raw")
    (raw / "ir").rename(raw / "lwir")
    with pytest.raises(DatasetError, match=r"looked for vi/, ir/ and labels/.*It looks like yolo"):
        convert("m3fd", raw, tmp_path / "out")


def test_twice_gives_the_same_bytes_and_the_data_set_file_is_one_that_settings_accept(tmp_path):
    raw = tardal(tmp_path / "raw")
    convert("m3fd", raw, tmp_path / "out")
    before = tree(tmp_path / "out")
    convert("m3fd", raw, tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == before
    data = load_config(dataset=str(tmp_path / "out")).config.data
    assert (data.name, data.classes) == ("m3fd", CLASSES)
    assert data.licence == "not stated by its authors"
