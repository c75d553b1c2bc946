"""`convert yolo`: every layout that is known, and folders that have none."""

import shutil

import pytest
from raw_sets import assert_books_balance, kinds, picture, read
from yolo_sets import pairs, singles, write

from caffdet_cli.data.convert import convert
from caffdet_cli.data.raw import recognise
from caffdet_cli.errors import DatasetError

# Layouts


@pytest.mark.parametrize(
    ("pictures", "texts"), [("images/{}", "labels/{}"), ("{}/images", "{}/labels"), ("images/{}", "images/{}")]
)
def test_single_pictures_are_split_by_folder(tmp_path, pictures, texts):
    raw = singles(tmp_path / "raw", pictures, texts)
    assert recognise(raw) == "yolo"
    report = convert("yolo", raw, tmp_path / "out")
    assert not len(report.findings)
    assert {name: (split.pictures, split.boxes) for name, split in report.splits.items()} == {
        "train": (2, 2),
        "val": (2, 2),
    }
    assert (report.spectra, report.label_spectrum, report.classes) == (("rgb",), "rgb", ("person", "car"))
    train = read(tmp_path / "out/train.json")
    assert [image["id"] for image in train["images"]] == [1, 2]
    assert train["images"][0]["file_name"] == f"{pictures.format('train')}/01.jpg"
    assert [one["category_id"] for one in train["annotations"]] == [0, 1]
    assert train["annotations"][0]["bbox"] == pytest.approx([1, 2, 9, 10], abs=1e-4)
    assert_books_balance(report)


def test_valid_is_val_and_capitals_do_not_matter(tmp_path):
    raw = singles(tmp_path / "raw", "{}/Images", "{}/labels", splits=("Train", "valid", "test"))
    assert list(convert("yolo", raw, tmp_path / "out").splits) == ["train", "val", "test"]


@pytest.mark.parametrize("texts", ["labels", "images"])
def test_a_folder_without_splits_is_train(tmp_path, texts):
    report = convert("yolo", singles(tmp_path / "raw", "images", texts), tmp_path / "out")
    assert list(report.splits) == ["train"]
    assert kinds(report) == [("no splits", "noted")]
    assert_books_balance(report)


def test_single_pictures_are_infrared_where_that_is_said(tmp_path):
    report = convert("yolo", singles(tmp_path / "raw"), tmp_path / "out", label_spectrum="ir")
    assert (report.spectra, report.label_spectrum) == (("ir",), "ir")
    assert read(tmp_path / "out/train.json")["images"][0]["file_name_IR"] == "images/train/01.jpg"


def test_one_spectrum_alone_is_called_as_its_folder(tmp_path):
    raw = singles(tmp_path / "raw", "thermal/images/{}", "thermal/labels/{}")
    assert convert("yolo", raw, tmp_path / "out").spectra == ("ir",)
    with pytest.raises(DatasetError, match="has only ir pictures"):
        convert("yolo", raw, tmp_path / "out2", label_spectrum="rgb")


@pytest.mark.parametrize(
    ("pictures", "texts", "other"), [("images/{}", "labels/{}", "vis/train"), ("images", "labels", "vis")]
)
def test_a_folder_of_one_spectrum_beside_images_is_none_of_the_data_set(tmp_path, pictures, texts, other):
    raw = singles(tmp_path / "raw", pictures, texts, splits=("train",))
    picture(raw / other / "01.jpg", 7, 7)
    report = convert("yolo", raw, tmp_path / "out")
    assert (report.spectra, report.splits["train"].pictures) == (("rgb",), 2)
    assert read(tmp_path / "out/train.json")["images"][0]["file_name"].startswith("images/")


SHARED = [
    ("{1}/{0}", "labels/{0}"),
    ("{0}/{1}", "{0}/labels"),
    ("images/{1}/{0}", "labels/{0}"),
    ("{1}/images/{0}", "labels/{0}"),
    ("{1}", "labels"),
]
APART = [
    ("{1}/{0}", "labels/{1}/{0}"),
    ("{1}/{0}", "{1}/{0}"),
    ("{0}/{1}", "{0}/labels/{1}"),
    ("images/{1}/{0}", "labels/{1}/{0}"),
    ("{1}/images/{0}", "{1}/labels/{0}"),
    ("{1}/{0}/images", "{1}/{0}/labels"),
    ("{1}", "labels/{1}"),
    ("{1}", "{1}"),
]


@pytest.mark.parametrize(("pictures", "texts"), SHARED)
def test_pairs_with_one_set_of_labels(tmp_path, pictures, texts):
    raw = pairs(tmp_path / "raw", pictures, (texts,))
    assert recognise(raw) == "yolo"
    report = convert("yolo", raw, tmp_path / "out")
    assert (report.spectra, report.label_spectrum) == (("rgb", "ir"), "ir")
    assert sum(split.pictures for split in report.splits.values()) == 4
    image = read(tmp_path / "out/train.json")["images"][0]
    assert image["file_name"].replace("visible", "infrared") == image["file_name_IR"]
    assert "labelled twice" not in {kind for kind, _ in kinds(report)}
    assert_books_balance(report)
    with pytest.raises(DatasetError, match=r"--labels union: .* has one set of labels for both pictures"):
        convert("yolo", raw, tmp_path / "out2", labels="union")


@pytest.mark.parametrize(("pictures", "texts"), APART)
@pytest.mark.parametrize(("policy", "spectrum", "left"), [(None, "ir", 2), ("rgb", "rgb", 1), ("union", "ir", 2)])
def test_pairs_with_labels_for_each_spectrum(tmp_path, pictures, texts, policy, spectrum, left):
    report = convert("yolo", pairs(tmp_path / "raw", pictures, (texts,)), tmp_path / "out", labels=policy)
    assert report.label_spectrum == spectrum
    boxes = [one["bbox"] for one in read(tmp_path / "out/train.json")["annotations"]]
    assert boxes[0] == pytest.approx([left, 2, 10, 10], abs=1e-4)
    assert sum(split.boxes for split in report.splits.values()) == 4  # shifted by a pixel they are the same objects
    twice = next(finding for finding in report.findings if finding.kind == "labelled twice")
    assert twice.what.startswith("4 objects in both, IoU 0.82 on average; 0 in")
    assert_books_balance(report)


def test_labels_of_one_spectrum_alone_are_in_its_pixels(tmp_path):
    raw = pairs(tmp_path / "raw", "{1}/images/{0}", ("{1}/labels/{0}",))
    shutil.rmtree(raw / "infrared/labels")
    report = convert("yolo", raw, tmp_path / "out")
    assert (report.spectra, report.label_spectrum) == (("rgb", "ir"), "rgb")
    for choice in ({"label_spectrum": "ir"}, {"labels": "ir"}, {"labels": "union"}):
        with pytest.raises(DatasetError, match="labels of the rgb pictures only"):
            convert("yolo", raw, tmp_path / "out2", **choice)


def test_boxes_of_pictures_of_other_sizes_are_in_pixels_of_their_own(tmp_path):
    raw = tmp_path / "raw"
    picture(raw / "visible/train/1.jpg", 80, 60)
    picture(raw / "infrared/train/1.jpg", 40, 20)
    write(raw / "labels/train/1.txt", "0 0.5 0.5 0.5 0.5")
    for spectrum, box in (("rgb", [20, 15, 40, 30]), ("ir", [10, 5, 20, 10])):
        convert("yolo", raw, tmp_path / spectrum, label_spectrum=spectrum)
        assert read(tmp_path / spectrum / "train.json")["annotations"][0]["bbox"] == box


# Folders that do not fit


@pytest.mark.parametrize(
    ("pictures", "texts"),
    [("images/{}", "annotations/{}"), ("{}/pictures", "{}/labels"), ("a/images/{}", "b/labels/{}")],
)
def test_other_layouts_are_refused_with_what_was_looked_for(tmp_path, pictures, texts):
    raw = singles(tmp_path / "raw", pictures, texts)
    with pytest.raises(DatasetError, match=r"looked for images/\{train,val,test\}/ and labels/"):
        convert("yolo", raw, tmp_path / "out")


def test_a_split_without_labels_is_left_out(tmp_path):
    raw = singles(tmp_path / "raw", splits=("train", "test"))
    shutil.rmtree(raw / "labels/test")
    report = convert("yolo", raw, tmp_path / "out")
    assert (list(report.splits), kinds(report)) == (["train"], [("no labels", "noted")])


def test_a_split_of_one_spectrum_alone_is_refused(tmp_path):
    raw = pairs(tmp_path / "raw")
    shutil.rmtree(raw / "infrared/val")
    with pytest.raises(DatasetError, match="val has visible/val and no ir pictures"):
        convert("yolo", raw, tmp_path / "out")


def test_splits_that_were_labelled_in_different_ways_are_refused(tmp_path):
    raw = pairs(tmp_path / "raw", texts=("labels/{1}/{0}",))
    shutil.rmtree(raw / "labels/visible/val")
    with pytest.raises(DatasetError, match="train: ir, rgb; val: ir"):
        convert("yolo", raw, tmp_path / "out")


def test_a_folder_without_pictures_is_refused(tmp_path):
    raw = singles(tmp_path / "raw")
    for path in (raw / "images").rglob("*.jpg"):
        path.rename(path.with_suffix(".xyz"))
    with pytest.raises(DatasetError, match="no pictures in images/train"):
        convert("yolo", raw, tmp_path / "out")
