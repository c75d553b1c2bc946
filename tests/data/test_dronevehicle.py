"""DroneVehicle: labels apart, oriented boxes in XML, spellings of classes, numbers that start anew in each split."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_sets import HEIGHT, WIDTH, assert_books_balance, kinds, picture, read, tree, voc, voc_object

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.voc_xml import parse_voc
from caffdet_cli.errors import DatasetError
from caffdet_cli.main import main

CORNERS = (2, 4, 12, 2, 13, 8, 3, 10)
TAGS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")


def oriented(name: str, corners: Sequence[object] = CORNERS) -> str:
    sides = "".join(f"<{tag}>{side}</{tag}>" for tag, side in zip(TAGS, corners, strict=True))
    return f"<object><name>{name}</name><polygon>{sides}</polygon></object>"


def dronevehicle(root: Path, splits: Sequence[str] = ("train", "val"), outer: bool = True) -> Path:
    """One pair a split; infrared has one car more."""
    for split in splits:
        place = root / split if outer else root
        picture(place / f"{split}img/00001.jpg")
        picture(place / f"{split}imgr/00001.jpg")
        voc(place / f"{split}label/00001.xml", [], extra=oriented("car"))
        more = voc_object("truvk", (20, 10, 30, 20))
        voc(place / f"{split}labelr/00001.xml", [], extra=oriented("car") + more)
    return root


@pytest.mark.parametrize("outer", [True, False])
def test_infrared_labels_count_and_corners_stay(tmp_path, outer):
    report = convert("dronevehicle", dronevehicle(tmp_path / "raw", outer=outer), tmp_path / "out")
    assert {name: (one.pictures, one.boxes) for name, one in report.splits.items()} == {"train": (1, 2), "val": (1, 2)}
    train = read(tmp_path / "out/train.json")
    assert [one["bbox"] for one in train["annotations"]] == [[2, 2, 11, 8], [20, 10, 10, 10]]
    assert [one["segmentation"] for one in train["annotations"]] == [[list(CORNERS)], []]
    assert report.classes == ("car", "truck", "bus", "van", "freight car")
    assert (train["images"][0]["width"], train["images"][0]["height"]) == (WIDTH, HEIGHT)
    assert kinds(report) == [("labelled twice", "noted")]
    assert_books_balance(report)


def test_numbers_that_start_anew_are_other_pictures_with_ids_of_their_own(tmp_path):
    convert("dronevehicle", dronevehicle(tmp_path / "raw"), tmp_path / "out")
    ids = [read(tmp_path / f"out/{split}.json")["images"][0]["id"] for split in ("train", "val")]
    assert ids == ["train/00001", "val/00001"]
    convert("dronevehicle", dronevehicle(tmp_path / "one", ("test",)), tmp_path / "alone")
    assert read(tmp_path / "alone/test.json")["images"][0]["id"] == 1


@pytest.mark.parametrize(
    ("labels", "boxes", "spectrum"), [("rgb", 1, "rgb"), ("union", 2, "ir"), ("intersection", 1, "ir")]
)
def test_whose_labels_count_can_be_said(tmp_path, labels, boxes, spectrum):
    report = convert("dronevehicle", dronevehicle(tmp_path / "raw", ("train",)), tmp_path / "out", labels=labels)
    assert (report.splits["train"].boxes, report.label_spectrum) == (boxes, spectrum)
    assert_books_balance(report)


def test_spellings_are_mapped_by_a_table_and_others_are_told(tmp_path):
    raw = dronevehicle(tmp_path / "raw", ("train",))
    names = ["feright car", "feright_car", "feright", "Freight_Car", "truvk", "*", "tank"]
    voc(raw / "train/trainlabelr/00001.xml", [(name, (1, 1, 9, 9)) for name in names])
    report = convert("dronevehicle", raw, tmp_path / "out")
    train = read(tmp_path / "out/train.json")
    assert [report.classes[one["category_id"]] for one in train["annotations"]] == ["freight car"] * 4 + ["truck"]
    assert kinds(report).count(("unknown class", "dropped")) == 2
    assert_books_balance(report)


def test_names_in_other_capitals_are_the_same_classes(tmp_path):
    raw = dronevehicle(tmp_path / "raw", ("train",))
    names = ["Car", "TRUCK", "Van", "Feright Car"]
    voc(raw / "train/trainlabelr/00001.xml", [(name, (1, 1, 9, 9)) for name in names])
    report = convert("dronevehicle", raw, tmp_path / "out")
    train = read(tmp_path / "out/train.json")
    assert [report.classes[one["category_id"]] for one in train["annotations"]] == [
        "car",
        "truck",
        "van",
        "freight car",
    ]
    assert report.findings.faults == 0


@pytest.mark.parametrize("place", ["val/vallabelr/00001.xml", "train/trainlabel/00001.xml", "train/trainlabel/9.xml"])
@pytest.mark.parametrize("content", ["garbage", "<boxes></boxes>", ""])
def test_a_label_file_of_another_form_refuses_the_set(tmp_path, place, content):
    raw = dronevehicle(tmp_path / "raw")
    (raw / place).write_text(content)
    with pytest.raises(DatasetError, match=f"{place}: .*; a Pascal VOC file is needed"):
        convert("dronevehicle", raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_missing_is_named(tmp_path):
    raw = dronevehicle(tmp_path / "raw")
    for path in (raw / "val/vallabelr").iterdir():
        path.unlink()
    (raw / "val/vallabelr").rmdir()
    with pytest.raises(DatasetError, match="vallabelr is missing"):
        convert("dronevehicle", raw, tmp_path / "out")


def test_a_label_file_without_pictures_and_one_of_one_spectrum_are_told(tmp_path):
    raw = dronevehicle(tmp_path / "raw", ("train",))
    voc(raw / "train/trainlabel/7.xml")
    (raw / "train/trainlabel/00001.xml").unlink()
    report = convert("dronevehicle", raw, tmp_path / "out")
    assert ("no picture", "dropped") in kinds(report)
    assert_books_balance(report)


@pytest.mark.parametrize("bad", ["nan", "inf", "", "1e300", "x"])
def test_a_corner_that_is_no_number_drops_the_object(bad):
    one = parse_voc(f"<annotation>{oriented('car', (*CORNERS[:7], bad))}</annotation>".encode()).objects[0]
    assert (one.box, one.corners) == (None, None)
    assert "<y4>" in one.problem


def test_an_upright_box_beside_an_oriented_one_counts_and_the_corners_stay():
    inside = oriented("car").replace("</object>", voc_object("", (0, 0, 20, 20))[len("<object><name></name>") :])
    one = parse_voc(f"<annotation>{inside}</annotation>".encode()).objects[0]
    assert one.box == (0, 0, 20, 20)
    assert one.corners == ((2, 4), (12, 2), (13, 8), (3, 10))


def test_polygons_of_another_form_are_passed_over():
    inner = voc_object("car", (1, 2, 3, 4)).replace("</object>", "<polygon><pt><x>1</x></pt></polygon></object>")
    one = parse_voc(f"<annotation>{inner}</annotation>".encode()).objects[0]
    assert (one.box, one.corners) == ((1, 2, 3, 4), None)


def test_odd_names_stay_apart_and_links_in_a_circle_end(tmp_path):
    raw = dronevehicle(tmp_path / "raw", ("train",))
    for name in ("a b", "Ä", "x\ny", "a", "A"):
        for kind in ("img", "imgr"):
            picture(raw / f"train/train{kind}/{name}.jpg")
        for kind in ("label", "labelr"):
            voc(raw / f"train/train{kind}/{name}.xml", [("car", (1, 1, 9, 9))])
    (raw / "train/trainimg/loop.jpg").symlink_to(raw / "train/trainimg/loop.jpg")
    (raw / "train/again").symlink_to(raw)
    report = convert("dronevehicle", raw, tmp_path / "out")
    ids = [image["id"] for image in read(tmp_path / "out/train.json")["images"]]
    assert sorted(map(str, ids)) == sorted(["1", *(f"train/{name}" for name in ("a b", "Ä", "x\ny", "a", "A"))])
    assert ("no annotation", "dropped") in kinds(report)
    assert_books_balance(report)


@given(texts=st.lists(st.text(st.sampled_from("-0123456789.e nax<&"), max_size=5), min_size=8, max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_polygon_gives_corners_and_a_box_around_them_or_says_why_not(texts):
    content = f"<annotation>{oriented('car', [escape(text) for text in texts])}</annotation>"
    one = parse_voc(content.encode()).objects[0]
    assert (one.box is None) == (one.corners is None) == bool(one.problem)
    if one.box and one.corners:
        assert all(one.box[0] <= x <= one.box[2] and one.box[1] <= y <= one.box[3] for x, y in one.corners)


def test_as_typed_and_twice_the_same(tmp_path, capsys):
    words = ["convert", "dronevehicle", str(dronevehicle(tmp_path / "raw")), "-o", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["verified"] is False
    assert "unverified" in err
    before = tree(tmp_path / "out")
    assert main([*words, "--overwrite"]) == 0
    assert tree(tmp_path / "out") == before
