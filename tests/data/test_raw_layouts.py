"""The layouts that can be converted: plain VOC, FLIR, the real samples, and what is none of them."""

import pytest
from raw_sets import WIDTH, assert_books_balance, kinds, llvip, picture, read, voc

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.load import load_config

# VOC


def test_voc_takes_all_class_names_sorted_and_one_split_without_lists(tmp_path):
    for name, label in (("b", "dog"), ("a", "cat")):
        picture(tmp_path / f"raw/JPEGImages/{name}.jpg")
        voc(tmp_path / f"raw/Annotations/{name}.xml", [(label, (1, 1, 5, 5))])
    report = convert("voc", tmp_path / "raw", tmp_path / "out")
    assert (report.classes, report.spectra, report.label_spectrum) == (("cat", "dog"), ("rgb",), "rgb")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == ["a", "b"]
    assert load_config(dataset=str(tmp_path / "out")).config.data.model == "lite-dino-r18"


def test_voc_lists_are_the_splits(tmp_path):
    raw = tmp_path / "raw"
    for name in ("1", "2", "3", "4"):
        picture(raw / f"rgb/{name}.jpg")
        picture(raw / f"ir/{name}.png")
        voc(raw / f"Annotations/{name}.xml")
    (raw / "ImageSets/Main").mkdir(parents=True)
    (raw / "ImageSets/Main/train.txt").write_text("1\n\n2.jpg\r\n1\n")
    (raw / "ImageSets/Main/val.txt").write_text("3\n../../etc/passwd\n")
    (raw / "ImageSets/Main/dog_train.txt").write_text("4 1\n")
    report = convert("voc", raw, tmp_path / "out")
    assert {name: split.pictures for name, split in report.splits.items()} == {"train": 2, "val": 1}
    assert kinds(report) == [("duplicate id", "dropped"), ("no annotation", "dropped"), ("not listed", "noted")]
    assert report.label_spectrum == "ir"
    assert_books_balance(report)


def test_voc_files_beside_their_pictures_and_named_otherwise_are_matched(tmp_path):
    picture(tmp_path / "raw/7.jpg")
    voc(tmp_path / "raw/img_7.xml", filename="7.jpg")
    picture(tmp_path / "raw/8.jpg")
    voc(tmp_path / "raw/8.xml", filename="something.jpg")
    report = convert("voc", tmp_path / "raw", tmp_path / "out")
    assert [image["file_name"] for image in read(tmp_path / "out/train.json")["images"]] == ["7.jpg", "8.jpg"]
    assert kinds(report) == [("other file name", "noted"), ("other file name", "repaired")]
    assert_books_balance(report)


def test_the_label_spectrum_can_be_said(tmp_path):
    raw = tmp_path / "raw"
    picture(raw / "visible/1.jpg", 80, 60)
    picture(raw / "infrared/1.jpg")
    voc(raw / "1.xml", [("person", (50, 30, 70, 50))], size=(80, 60))
    report = convert("voc", raw, tmp_path / "out", label_spectrum="rgb")
    image = read(tmp_path / "out/train.json")["images"][0]
    assert (image["width"], image["width_other"]) == (80, WIDTH)
    assert kinds(report) == [("partner of another size", "kept")]


def test_of_two_pictures_with_one_name_the_first_is_taken(tmp_path):
    picture(tmp_path / "raw/images/1.jpg")
    picture(tmp_path / "raw/images/1.png")
    voc(tmp_path / "raw/Annotations/1.xml")
    report = convert("voc", tmp_path / "raw", tmp_path / "out")
    assert read(tmp_path / "out/train.json")["images"][0]["file_name"] == "images/1.jpg"
    assert kinds(report) == [("duplicate id", "dropped")]
    assert_books_balance(report)


# FLIR


def flir_align(root, *, lists: str = ".") -> None:
    for number in ("00001", "00002", "00003"):
        picture(root / f"JPEGImages/FLIR_{number}_RGB.jpg")
        picture(root / f"JPEGImages/FLIR_{number}_PreviewData.jpeg", grey=True)
        voc(root / f"Annotations/FLIR_{number}_PreviewData.xml", [("person", (1, 1, 9, 9)), ("dog", (1, 1, 9, 9))])
    (root / lists).mkdir(parents=True, exist_ok=True)
    (root / lists / "align_train.txt").write_text("FLIR_00001_PreviewData\n")
    (root / lists / "align_validation.txt").write_text("FLIR_00002_PreviewData\nFLIR_00009_PreviewData\n")


@pytest.mark.parametrize("lists", [".", "ImageSets/Main"])
def test_flir_is_read_by_its_lists_and_its_three_classes(tmp_path, lists):
    flir_align(tmp_path / "raw", lists=lists)
    report = convert("flir", tmp_path / "raw", tmp_path / "out")
    assert {name: (split.pictures, split.boxes) for name, split in report.splits.items()} == {
        "train": (1, 1),
        "val": (1, 1),
    }
    image = read(tmp_path / "out/train.json")["images"][0]
    assert (image["id"], image["file_name"]) == (1, "JPEGImages/FLIR_00001_RGB.jpg")
    assert image["file_name_IR"] == "JPEGImages/FLIR_00001_PreviewData.jpeg"
    assert kinds(report) == [
        ("no annotation", "dropped"),
        ("not listed", "noted"),
        ("unknown class", "dropped"),
        ("unknown class", "dropped"),
    ]
    assert report.classes == ("person", "car", "bicycle")
    assert_books_balance(report)


def test_flir_without_lists_is_refused(tmp_path):
    flir_align(tmp_path / "raw")
    for path in (tmp_path / "raw").glob("*.txt"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"align_train\.txt"):
        convert("flir", tmp_path / "raw", tmp_path / "out")


def test_caffs_flir_layout_keeps_its_ids_and_drops_other_classes(tmp_path, shared):
    source = shared / "data/flir_layout_fixture/FLIR_aligned_coco"
    convert("flir", source, tmp_path / "out", classes=["bicycle", "person"])
    val = read(tmp_path / "out/val.json")
    assert [image["id"] for image in val["images"]] == [90005, 90006]
    assert val["categories"] == [{"id": 2, "name": "bicycle"}, {"id": 0, "name": "person"}]
    with pytest.raises(DatasetError, match="it has: person, car, bicycle"):
        convert("flir", source, tmp_path / "out2", classes=["persn"])


# Layouts that are not there


def test_a_missing_an_empty_and_a_file_source_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name, message in (("none", "there is no folder"), ("empty", "is empty"), ("file", "is a file")):
        with pytest.raises(DatasetError, match=message):
            convert("llvip", tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("format", ["flir", "llvip"])
def test_a_wrong_layout_names_what_was_looked_for_and_the_format_that_fits(tmp_path, format):
    picture(tmp_path / "raw/JPEGImages/1.jpg")
    voc(tmp_path / "raw/Annotations/1.xml")
    with pytest.raises(DatasetError, match=r"looked for .*Annotations.*looks like voc: caffdet convert voc"):
        convert(format, tmp_path / "raw", tmp_path / "out")


def test_a_folder_too_high_names_the_one_that_fits(tmp_path):
    raw = llvip(tmp_path / "above/my LLVIP")
    with pytest.raises(DatasetError, match=f"caffdet convert llvip '{raw}' -o DIR"):
        convert("llvip", tmp_path / "above", tmp_path / "out")


def test_a_converted_folder_is_recognised(tmp_path):
    convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out")
    with pytest.raises(DatasetError, match="converted already: --dataset"):
        convert("llvip", tmp_path / "out", tmp_path / "out2")


def test_an_unknown_format_names_the_nearest(tmp_path):
    with pytest.raises(DatasetError, match="did you mean llvip"):
        convert("lvip", llvip(tmp_path / "raw"), tmp_path / "out")


def test_a_data_set_of_which_nothing_is_left_is_refused(tmp_path):
    raw = llvip(tmp_path / "raw")
    for path in raw.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="no picture can be used: 3 unreadable picture"):
        convert("llvip", raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Real files


def test_llvip_mini_gives_the_boxes_of_its_published_annotations(tmp_path, shared):
    mini = shared / "data/llvip_mini"
    report = convert("llvip", mini, tmp_path / "out")
    assert not len(report.findings)
    for split in ("train", "test"):
        ours, theirs = read(tmp_path / f"out/{split}.json"), read(mini / f"coco_annotations/LLVIP_{split}.json")
        keys = ("id", "bbox", "area", "category_id", "iscrowd")
        assert [[one[key] for key in keys] for one in ours["annotations"]] == [
            [one[key] for key in keys] for one in theirs["annotations"]
        ]
        assert [one["image_id"] for one in ours["annotations"]] == [
            int(one["image_id"]) for one in theirs["annotations"]
        ]
        assert [one["id"] for one in ours["images"]] == [int(one["id"]) for one in theirs["images"]]


def test_both_layouts_of_the_flir_fixture_give_the_same_pairs_and_boxes(tmp_path, shared):
    fixture = shared / "data/flir_layout_fixture"
    reports = {
        layout: convert("flir", fixture / layout, tmp_path / layout) for layout in ("align", "FLIR_aligned_coco")
    }
    assert not any(len(report.findings) for report in reports.values())
    for split, pairs, boxes in (("train", 4, 32), ("val", 2, 11)):
        one, other = (read_coco(report.output / f"{split}.json") for report in reports.values())
        assert len(one.examples) == pairs
        assert sum(len(example.objects) for example in one.examples) == boxes
        for left, right in zip(one.examples, other.examples, strict=True):
            assert (left.id, left.rgb.name, left.ir.name) == (right.id, right.rgb.name, right.ir.name)
            assert left.objects.boxes.tolist() == right.objects.boxes.tolist()
