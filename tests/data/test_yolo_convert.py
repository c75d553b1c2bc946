"""`convert yolo`: class names, and the faults that label files and pictures have."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_sets import HEIGHT, WIDTH, assert_books_balance, kinds, picture, read, tree
from yolo_sets import NAMES, labels, pairs, row, singles, write

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.voc_xml import read_voc
from caffdet_cli.errors import DatasetError, Findings
from caffdet_cli.settings.load import load_config

# Names of classes


def test_without_a_file_of_names_numbers_are_the_names_and_that_is_told(tmp_path):
    raw = singles(tmp_path / "raw")
    (raw / "data.yaml").unlink()
    labels(raw / "labels/val/11.txt", [(10, (1, 2, 10, 12)), (2, (1, 2, 10, 12))])
    report = convert("yolo", raw, tmp_path / "out")
    assert report.classes == ("0", "1", "2", "10")
    assert kinds(report) == [("class names", "noted")]


def test_without_a_file_of_names_classes_are_named_in_order(tmp_path):
    raw = singles(tmp_path / "raw")
    (raw / "data.yaml").unlink()
    report = convert("yolo", raw, tmp_path / "out", classes=["walker", "vehicle"])
    assert report.classes == ("walker", "vehicle")
    assert [one["category_id"] for one in read(tmp_path / "out/train.json")["annotations"]] == [0, 1]
    assert "0 is walker, 1 is vehicle" in report.findings.items[0].what


def test_with_a_file_of_names_classes_are_chosen(tmp_path):
    report = convert("yolo", singles(tmp_path / "raw"), tmp_path / "out", classes=["car"])
    assert read(tmp_path / "out/train.json")["categories"] == [{"id": 0, "name": "car"}]
    assert kinds(report) == [("unknown class", "dropped")] * 2
    assert_books_balance(report)


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt", "labels/train/classes.txt"])
def test_classes_txt_names_classes_and_is_no_label_file(tmp_path, place):
    raw = singles(tmp_path / "raw")
    (raw / "data.yaml").unlink()
    write(raw / place, "walker\nvehicle\n")
    report = convert("yolo", raw, tmp_path / "out")
    assert (report.classes, len(report.findings)) == (("walker", "vehicle"), 0)


def test_data_yaml_goes_before_classes_txt_and_a_difference_is_told(tmp_path):
    raw = singles(tmp_path / "raw")
    write(raw / "classes.txt", "car\nperson\n")
    report = convert("yolo", raw, tmp_path / "out")
    assert (report.classes, kinds(report)) == (("person", "car"), [("class names", "noted")])


def test_a_number_beyond_the_names_is_an_unknown_class(tmp_path):
    raw = singles(tmp_path / "raw")
    labels(raw / "labels/train/01.txt", [(0, (1, 2, 10, 12)), (2, (1, 2, 10, 12))])
    report = convert("yolo", raw, tmp_path / "out")
    (finding,) = report.findings
    assert (finding.kind, finding.place) == ("unknown class", "labels/train/01.txt: object 2")
    assert finding.what == "'number 2' is not one of person, car"
    assert_books_balance(report)


def test_paths_of_data_yaml_are_never_followed_and_those_that_lead_elsewhere_are_told(tmp_path):
    raw = singles(tmp_path / "raw")
    write(raw / "data.yaml", f"path: /etc\ntrain: ../images/train\nval: images/train\ntest: [/etc/passwd]\n{NAMES}")
    report = convert("yolo", raw, tmp_path / "out")
    assert [finding.what.split(" is not")[0] for finding in report.findings] == [
        "val: images/train",
        "test: /etc/passwd",
    ]
    assert kinds(report) == [("path not followed", "noted")] * 2
    assert {name: split.pictures for name, split in report.splits.items()} == {"train": 2, "val": 2}


def test_own_data_names_a_model_that_learns_from_random_weights(tmp_path):
    convert("yolo", pairs(tmp_path / "raw"), tmp_path / "my set")
    data = load_config(dataset=str(tmp_path / "my set")).config.data
    assert (data.name, data.model, data.recipe) == ("my-set", "caff-lite-dino-r18", "from-scratch")
    assert (data.licence, data.homepage) == ("", "")


# Items


def test_an_empty_file_is_kept_and_a_missing_one_dropped(tmp_path):
    raw = singles(tmp_path / "raw")
    write(raw / "labels/train/01.txt", "")
    (raw / "labels/train/02.txt").unlink()
    labels(raw / "labels/val/99.txt")
    report = convert("yolo", raw, tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [1]
    assert kinds(report) == [("empty annotation", "noted"), ("no annotation", "dropped"), ("no picture", "dropped")]
    assert report.findings.lost_boxes == 1
    assert_books_balance(report)


def test_a_box_that_rounding_put_out_of_its_picture_is_no_finding_and_others_are(tmp_path):
    raw = singles(tmp_path / "raw", splits=("train",))
    write(raw / "labels/train/01.txt", "0 0.9001 0.5 0.2 1.0\n")
    write(raw / "labels/train/02.txt", "0 0.95 0.5 0.2 1.0\n")
    report = convert("yolo", raw, tmp_path / "out")
    boxes = [one["bbox"] for one in read(tmp_path / "out/train.json")["annotations"]]
    assert boxes[0][0] + boxes[0][2] == WIDTH
    assert boxes[0][3] == HEIGHT
    assert kinds(report) == [("box outside", "repaired")]


def test_detections_are_refused_with_their_sentence(tmp_path):
    raw = singles(tmp_path / "raw")
    for path in (raw / "labels").rglob("*.txt"):
        write(path, "0 0.5 0.5 0.1 0.1 0.93\n")
    with pytest.raises(DatasetError, match="no picture can be used: 4 broken annotation"):
        convert("yolo", raw, tmp_path / "out")
    with pytest.raises(DatasetError, match="yolo has no annotations called 'poses'; it has boxes, corners, polygons"):
        convert("yolo", raw, tmp_path / "out", variant="poses")


def test_corners_are_kept_where_they_were_asked_for(tmp_path):
    raw = singles(tmp_path / "raw", splits=("train",))
    write(raw / "labels/train/01.txt", "0 0.1 0.2 0.5 0.1 0.6 0.6 0.2 0.7\n")
    report = convert("yolo", raw, tmp_path / "plain")
    assert kinds(report) == [("broken annotation", "dropped")]
    convert("yolo", raw, tmp_path / "out", variant="corners")
    one = read(tmp_path / "out/train.json")["annotations"][0]
    assert one["bbox"] == pytest.approx([4, 3, 20, 18])


def test_splits_that_count_alike_keep_all_their_pictures_and_copies_stay_in_the_last(tmp_path):
    raw = singles(tmp_path / "raw", splits=("train", "val"))
    for split, size in (("train", 30), ("val", 50)):
        picture(raw / f"images/{split}/7.jpg", size, size)
        picture(raw / f"images/{split}/8.jpg")
        labels(raw / f"labels/{split}/7.txt")
        labels(raw / f"labels/{split}/8.txt")
    report = convert("yolo", raw, tmp_path / "out")
    ids = {split: [image["id"] for image in read(tmp_path / f"out/{split}.json")["images"]] for split in report.splits}
    assert ids == {"train": [1, 2, "train/7"], "val": [11, 12, 8, "val/7"]}
    assert kinds(report) == [("in two splits", "dropped")]
    assert_books_balance(report)


@pytest.mark.parametrize("name", ["ein Bild", "Straße 夜", "a\nb", "x.y", ".." + "a", "-o", "%s"])
def test_odd_names_are_names(tmp_path, name):
    raw = singles(tmp_path / "raw", splits=("train",))
    (raw / "images/train/01.jpg").rename(raw / f"images/train/{name}.jpg")
    (raw / "labels/train/01.txt").rename(raw / f"labels/train/{name}.txt")
    report = convert("yolo", raw, tmp_path / "out")
    hidden = name.startswith(".")
    assert report.splits["train"].pictures == 2 - hidden
    assert (name in [image["id"] for image in read(tmp_path / "out/train.json")["images"]]) != hidden
    assert_books_balance(report)


def test_names_in_other_capitals_are_other_pictures(tmp_path):
    raw = singles(tmp_path / "raw", splits=("train",))
    picture(raw / "images/train/A.jpg")
    picture(raw / "images/train/a.jpg")
    labels(raw / "labels/train/a.txt")
    report = convert("yolo", raw, tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [1, 2, "a"]
    assert kinds(report) == [("no annotation", "dropped")]


def test_links_in_a_circle_are_broken_files_and_no_folders(tmp_path):
    raw = singles(tmp_path / "raw", splits=("train",))
    (raw / "labels/train/01.txt").unlink()
    (raw / "labels/train/01.txt").symlink_to("01.txt")
    (raw / "images/train/02.jpg").unlink()
    (raw / "images/train/02.jpg").symlink_to("02.jpg")
    (raw / "images/val").symlink_to("val")
    (raw / "labels/val").symlink_to("../labels")
    picture(raw / "images/train/3.jpg")
    labels(raw / "labels/train/3.txt")
    report = convert("yolo", raw, tmp_path / "out")
    assert report.splits["train"].pictures == 1
    assert kinds(report) == [("broken annotation", "dropped")] * 2
    assert_books_balance(report)


def test_faults_are_fatal_where_that_was_asked_for(tmp_path):
    raw = singles(tmp_path / "raw")
    write(raw / "labels/train/01.txt", "0 nan 0.5 0.1 0.1\n")
    with pytest.raises(Findings, match=r"1 broken box \(dropped\)"):
        convert("yolo", raw, tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()


def test_twice_gives_the_same_bytes(tmp_path):
    raw = pairs(tmp_path / "raw", texts=("labels/{1}/{0}",))
    convert("yolo", raw, tmp_path / "out", labels="union")
    before = tree(tmp_path / "out")
    convert("yolo", raw, tmp_path / "out", labels="union", overwrite=True)
    assert tree(tmp_path / "out") == before


LINES = st.lists(
    st.sampled_from(
        [
            "0 0.5 0.5 0.2 0.2",
            "1 0.9 0.9 0.4 0.4",
            "9 0.5 0.5 0.1 0.1",
            "0 nan 0.5 0.1 0.1",
            "x 0.5 0.5 0.1 0.1",
            "0 0.5",
            "0 0.5 0.5 0 0.1",
            "",
        ]
    ),
    max_size=5,
)


@given(first=LINES, second=LINES, policy=st.sampled_from([None, "rgb", "ir", "union", "intersection"]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_items_in_are_items_out_and_items_reported(tmp_path, first, second, policy):
    raw = tmp_path / "raw"
    if not raw.exists():
        pairs(raw, texts=("labels/{1}/{0}",), splits=("train",))
    write(raw / "labels/visible/train/01.txt", "\n".join(first))
    write(raw / "labels/infrared/train/01.txt", "\n".join(second))
    report = convert("yolo", raw, tmp_path / "out", labels=policy, overwrite=True)
    assert_books_balance(report)
    assert report.findings.pictures == 2


# Real files


def test_llvip_as_yolo_gives_the_boxes_of_its_xml_files(tmp_path, shared):
    mini, raw = shared / "data/llvip_mini", tmp_path / "raw"
    for spectrum in ("visible", "infrared"):
        for split in ("train", "test"):
            shutil.copytree(mini / spectrum / split, raw / spectrum / split)
    for split in ("train", "test"):
        for path in (raw / "visible" / split).iterdir():
            record = read_voc(mini / "Annotations" / f"{path.stem}.xml")
            lines = [row(0, one.box, (1280, 1024)) for one in record.objects]
            write(raw / f"labels/{split}/{path.stem}.txt", "\n".join(lines))
    write(raw / "classes.txt", "person\n")
    reports = [convert("llvip", mini, tmp_path / "llvip"), convert("yolo", raw, tmp_path / "yolo", strict=True)]
    assert not any(len(report.findings) for report in reports)
    for split in ("train", "test"):
        theirs, ours = (read(report.output / f"{split}.json") for report in reports)
        assert [one["id"] for one in ours["images"]] == [one["id"] for one in theirs["images"]]
        assert len(ours["annotations"]) == len(theirs["annotations"]) > 0
        for one, other in zip(ours["annotations"], theirs["annotations"], strict=True):
            assert one["image_id"] == other["image_id"]
            assert one["bbox"] == pytest.approx(other["bbox"], abs=2e-3)
