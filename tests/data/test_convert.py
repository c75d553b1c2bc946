"""Converters on tiny data sets with every fault, and on the real samples."""

import shutil

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_sets import HEIGHT, WIDTH, assert_books_balance, kinds, llvip, picture, read, tree, voc

from caffdet_cli.data.convert import ConvertReport, convert
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.errors import DatasetError, Findings, OutputError
from caffdet_cli.settings.load import load_config

# LLVIP


def test_llvip_becomes_one_file_per_folder_with_integer_ids(tmp_path):
    report = convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out")
    assert not len(report.findings)
    assert_books_balance(report)
    train = read(tmp_path / "out/train.json")
    assert [image["id"] for image in train["images"]] == [10001, 10002]
    assert train["images"][0]["file_name"] == "visible/train/010001.jpg"
    assert train["images"][0]["file_name_IR"] == "infrared/train/010001.jpg"
    second = train["annotations"][1]
    assert {key: second[key] for key in ("id", "image_id", "category_id", "iscrowd", "segmentation")} == {
        "id": 2,
        "image_id": 10002,
        "category_id": 0,
        "iscrowd": 0,
        "segmentation": [],
    }
    assert (second["bbox"], second["area"]) == ([1, 2, 9, 10], 90)
    assert train["categories"] == [{"id": 0, "name": "person"}]
    assert train["info"]["root"] == "../raw"
    assert train["info"]["caffdet"]["label_spectrum"] == "ir"
    assert sorted(tree(tmp_path / "out")) == ["dataset.toml", "test.json", "train.json"]


def test_the_data_set_file_is_one_that_settings_accept(tmp_path):
    convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out")
    data = load_config(dataset=str(tmp_path / "out")).config.data
    assert (data.name, data.classes, data.label_spectrum) == ("llvip", ("person",), "ir")
    assert (data.model, data.recipe) == ("caff-lite-dino-r50", "caff-lite")
    assert data.root == str(tmp_path / "out")
    assert {name: split.annotations for name, split in data.splits.items()} == {
        "train": ("train.json",),
        "test": ("test.json",),
    }


def test_a_missing_partner_is_null_and_reported(tmp_path):
    raw = llvip(tmp_path / "raw")
    (raw / "infrared/train/010001.jpg").unlink()
    (raw / "visible/train/010002.jpg").unlink()
    report = convert("llvip", raw, tmp_path / "out")
    first, second = read(tmp_path / "out/train.json")["images"]
    assert (first["file_name_IR"], second["file_name"]) == (None, None)
    assert kinds(report) == [("missing partner", "kept")] * 2
    assert_books_balance(report)


def test_a_missing_frame_does_not_shift_the_pairs_after_it(tmp_path):
    raw = llvip(tmp_path / "raw", train=("1", "2", "3", "4"))
    (raw / "infrared/train/2.jpg").unlink()
    convert("llvip", raw, tmp_path / "out")
    for image in read(tmp_path / "out/train.json")["images"]:
        expected = None if image["id"] == 2 else f"infrared/train/{image['id']}.jpg"
        assert (image["file_name"], image["file_name_IR"]) == (f"visible/train/{image['id']}.jpg", expected)


def test_a_frame_without_annotation_and_an_annotation_without_frame_are_dropped(tmp_path):
    raw = llvip(tmp_path / "raw")
    (raw / "Annotations/010001.xml").unlink()
    voc(raw / "Annotations/777.xml", [("person", (1, 1, 5, 5))] * 3)
    report = convert("llvip", raw, tmp_path / "out")
    assert kinds(report) == [("no annotation", "dropped"), ("no picture", "dropped")]
    assert report.findings.lost_boxes == 3
    assert_books_balance(report)


def test_a_frame_of_both_splits_stays_in_test_only(tmp_path):
    report = convert("llvip", llvip(tmp_path / "raw", train=("1", "2"), test=("2",)), tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [1]
    assert kinds(report) == [("in two splits", "dropped")]
    assert_books_balance(report)


def test_names_whose_numbers_are_equal_keep_their_names_as_ids(tmp_path):
    convert("llvip", llvip(tmp_path / "raw", train=("1", "01", "7", "a")), tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == ["01", "1", 7, "a"]


def test_one_spectrum_of_a_split_alone_is_refused(tmp_path):
    raw = llvip(tmp_path / "raw")
    shutil.rmtree(raw / "infrared/test")
    with pytest.raises(DatasetError, match="visible/test is there"):
        convert("llvip", raw, tmp_path / "out")


# Pictures


def cut(path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.999])
def test_a_truncated_picture_is_left_out_of_its_pair(tmp_path, keep):
    raw = llvip(tmp_path / "raw")
    cut(raw / "visible/train/010001.jpg", keep)
    report = convert("llvip", raw, tmp_path / "out")
    assert read(tmp_path / "out/train.json")["images"][0]["file_name"] is None
    assert kinds(report) == [("unreadable picture", "kept")]
    assert_books_balance(report)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
def test_a_truncated_picture_of_any_kind_is_found(tmp_path, suffix):
    path = picture(tmp_path / "raw/visible" / f"1{suffix}")
    picture(tmp_path / "raw/infrared" / f"1{suffix}")
    voc(tmp_path / "raw/Annotations/1.xml")
    cut(path, 0.6)
    assert kinds(convert("voc", tmp_path / "raw", tmp_path / "out")) == [("unreadable picture", "kept")]


def test_a_pair_without_a_readable_picture_is_dropped_with_its_boxes(tmp_path):
    raw = llvip(tmp_path / "raw")
    (raw / "visible/train/010001.jpg").write_text("no picture")
    (raw / "infrared/train/010001.jpg").unlink()
    report = convert("llvip", raw, tmp_path / "out")
    assert kinds(report) == [("unreadable picture", "dropped")]
    assert (report.findings.lost_pictures, report.findings.lost_boxes) == (1, 1)
    assert_books_balance(report)


def test_the_size_is_that_of_the_label_spectrums_picture_after_exif_rotation(tmp_path):
    raw = llvip(tmp_path / "raw", train=("1",))
    turned = raw / "infrared/train/1.jpg"
    plain = turned.read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned.write_bytes(plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:])
    report = convert("llvip", raw, tmp_path / "out")
    image = read(tmp_path / "out/train.json")["images"][0]
    assert (image["width"], image["height"]) == (HEIGHT, WIDTH)
    assert (image["width_other"], image["height_other"]) == (WIDTH, HEIGHT)
    assert kinds(report) == [("other size", "repaired"), ("partner of another size", "kept")]


def test_a_missing_size_comes_from_the_picture(tmp_path):
    raw = llvip(tmp_path / "raw", train=("1",))
    voc(raw / "Annotations/1.xml", size=None)
    report = convert("llvip", raw, tmp_path / "out")
    image = read(tmp_path / "out/train.json")["images"][0]
    assert (image["width"], image["height"]) == (WIDTH, HEIGHT)
    assert kinds(report) == [("no size", "repaired")]


def test_sixteen_bit_thermal_is_a_picture(tmp_path):
    picture(tmp_path / "raw/rgb/1.png")
    (tmp_path / "raw/thermal").mkdir()
    cv2.imwrite(str(tmp_path / "raw/thermal/1.tiff"), np.full((HEIGHT, WIDTH), 30000, np.uint16))
    voc(tmp_path / "raw/Annotations/1.xml")
    assert not len(convert("voc", tmp_path / "raw", tmp_path / "out").findings)


# Boxes


@pytest.mark.parametrize(
    ("box", "kept", "found"),
    [
        ((0, 0, WIDTH, HEIGHT), [0, 0, WIDTH, HEIGHT], []),
        (("1.5", 2, 30, 20), [1.5, 2, 28.5, 18], []),
        ((-4, 10, 50, 40), [0, 10, WIDTH, HEIGHT - 10], [("box outside", "repaired")]),
        ((WIDTH, 1, WIDTH + 5, 9), None, [("box outside", "dropped")]),
        ((-9, -9, -1, -1), None, [("box outside", "dropped")]),
        ((9, 5, 9, 8), None, [("box without area", "dropped")]),
        ((9, 9, 3, 3), None, [("box without area", "dropped")]),
        (("x", 1, 2, 3), None, [("broken box", "dropped")]),
    ],
)
def test_boxes_are_cut_to_the_picture_or_dropped(tmp_path, box, kept, found):
    raw = llvip(tmp_path / "raw")
    voc(raw / "Annotations/010001.xml", [("person", box)])
    report = convert("llvip", raw, tmp_path / "out")
    boxes = [one["bbox"] for one in read(tmp_path / "out/train.json")["annotations"] if one["image_id"] == 10001]
    assert boxes == ([] if kept is None else [kept])
    assert kinds(report) == found
    assert_books_balance(report)


def test_a_picture_without_objects_is_kept_and_only_noted(tmp_path):
    raw = llvip(tmp_path / "raw")
    voc(raw / "Annotations/010001.xml", [])
    report = convert("llvip", raw, tmp_path / "out", strict=True)
    assert len(read(tmp_path / "out/train.json")["images"]) == 2
    assert kinds(report) == [("empty annotation", "noted")]


@pytest.mark.parametrize(
    "content",
    ["", "<annotation>", "<doc/>", '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "<a>" * 1000],
)
def test_a_broken_or_hostile_annotation_drops_its_frame(tmp_path, content):
    raw = llvip(tmp_path / "raw")
    (raw / "Annotations/010001.xml").write_text(content)
    report = convert("llvip", raw, tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [10002]
    assert kinds(report) == [("broken annotation", "dropped")]
    assert_books_balance(report)


@st.composite
def odd_objects(draw: st.DrawFn) -> list[tuple[str, tuple[object, ...]]]:
    side = st.integers(-20, 60) | st.sampled_from(["", "x", "nan", "7.5"])
    return draw(
        st.lists(st.tuples(st.sampled_from(["person", "dog", ""]), st.tuples(side, side, side, side)), max_size=4)
    )


@given(first=odd_objects(), second=odd_objects(), lost=st.sets(st.sampled_from(["visible", "infrared"])))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_items_in_are_items_out_and_items_reported(tmp_path, first, second, lost):
    raw = tmp_path / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    llvip(raw)
    for spectrum in lost:
        (raw / spectrum / "train/010002.jpg").unlink()
    voc(raw / "Annotations/010001.xml", first)
    voc(raw / "Annotations/010002.xml", second)
    report = convert("llvip", raw, tmp_path / "out", overwrite=True)
    assert_books_balance(report)
    assert report.findings.boxes == len(first) + len(second) + 1
    assert not any(finding.kind == "box outside" for finding in again(report))


def again(report: ConvertReport) -> FindingLog:
    """Findings of reading the result: a conversion leaves none."""
    findings = FindingLog()
    for split in report.splits:
        annotations = read_coco(report.output / f"{split}.json", findings=findings)
        for example in annotations.examples:
            assert (example.objects.boxes >= 0).all()
            assert (example.objects.boxes <= [example.width, example.height] * 2).all()
    assert not len(findings)
    return findings


# Classes


def test_only_the_asked_classes_are_kept_in_that_order(tmp_path):
    raw = llvip(tmp_path / "raw")
    voc(raw / "Annotations/010001.xml", [("dog", (1, 1, 5, 5)), ("person", (1, 1, 5, 5)), ("cat", (1, 1, 5, 5))])
    report = convert("llvip", raw, tmp_path / "out", classes=["dog", "person"], first_category_id=1)
    train = read(tmp_path / "out/train.json")
    assert train["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]
    assert [one["category_id"] for one in train["annotations"]] == [1, 2, 2]
    assert kinds(report) == [("unknown class", "dropped")]
    assert report.classes == ("dog", "person")
    assert_books_balance(report)


def test_classes_that_nothing_has_are_refused_with_those_there_are(tmp_path):
    with pytest.raises(DatasetError, match="its classes: person"):
        convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out", classes=["persn"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("classes", [[], [""], ["a", "a"], ["a", " "]])
def test_a_class_list_names_each_class_once(tmp_path, classes):
    with pytest.raises(DatasetError, match="each class name once"):
        convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out", classes=classes)


# What is written


def test_strict_makes_faults_fatal_and_writes_nothing(tmp_path):
    raw = llvip(tmp_path / "raw")
    (raw / "infrared/train/010001.jpg").unlink()
    findings = FindingLog()
    with pytest.raises(Findings, match=r"1 missing partner \(kept\).*nothing was written") as caught:
        convert("llvip", raw, tmp_path / "out", strict=True, findings=findings)
    assert caught.value.exit_code == 1
    assert len(findings) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_a_dry_run_reports_the_same_and_writes_nothing(tmp_path):
    raw = llvip(tmp_path / "raw")
    (raw / "infrared/train/010001.jpg").unlink()
    dry = convert("llvip", raw, tmp_path / "out", dry_run=True)
    assert not dry.written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]
    real = convert("llvip", raw, tmp_path / "out")
    assert (real.splits, real.findings.items) == (dry.splits, dry.findings.items)


def test_twice_gives_the_same_bytes_and_needs_overwrite(tmp_path):
    raw = llvip(tmp_path / "raw")
    convert("llvip", raw, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(OutputError, match="--overwrite"):
        convert("llvip", raw, tmp_path / "out")
    convert("llvip", raw, tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_overwriting_removes_splits_that_are_gone_and_nothing_else(tmp_path):
    raw = llvip(tmp_path / "raw")
    convert("llvip", raw, tmp_path / "out")
    (tmp_path / "out/notes.txt").write_text("mine")
    (tmp_path / "out/val.json").write_text("{}")  # made by somebody else
    for spectrum in ("visible", "infrared"):
        shutil.rmtree(raw / spectrum / "test")
    convert("llvip", raw, tmp_path / "out", overwrite=True)
    assert sorted(tree(tmp_path / "out")) == ["dataset.toml", "notes.txt", "train.json", "val.json"]


def test_copied_pictures_have_the_same_bytes_and_the_result_can_be_moved(tmp_path):
    raw = llvip(tmp_path / "raw")
    convert("llvip", raw, tmp_path / "out", copy=True)
    assert tree(tmp_path / "out/pictures") == {
        name: content for name, content in tree(raw).items() if name.endswith(".jpg")
    }
    (tmp_path / "out").rename(tmp_path / "moved")
    shutil.rmtree(raw)
    examples = read_coco(tmp_path / "moved/train.json").examples
    assert all(example.rgb.is_file() and example.ir.is_file() for example in examples)


def test_pictures_are_found_whether_the_output_lies_near_or_far(tmp_path):
    raw = llvip(tmp_path / "a/raw")
    for output in (raw / "coco", tmp_path / "a/out", tmp_path / "b/c/out"):
        convert("llvip", raw, output)
        assert all(example.rgb.is_file() for example in read_coco(output / "train.json").examples)
    assert read(tmp_path / "b/c/out/train.json")["info"]["root"] == raw.as_posix()


@pytest.mark.parametrize("output", [".", "..", "link"])
def test_the_source_is_never_the_output(tmp_path, output):
    raw = llvip(tmp_path / "sets/raw")
    (raw / "link").symlink_to(raw)
    before = tree(raw)
    with pytest.raises(OutputError, match="holds the source"):
        convert("llvip", raw, raw / output, overwrite=True)
    assert tree(raw) == before


def test_own_data_names_a_model_that_learns_from_random_weights_and_the_spectra_it_has(tmp_path):
    both = tmp_path / "both"
    for name in ("1", "2"):
        voc(both / f"Annotations/{name}.xml")
        picture(both / f"visible/{name}.png")
        picture(both / f"infrared/{name}.png")
    convert("voc", both, tmp_path / "my set")
    config = load_config(dataset=str(tmp_path / "my set")).config
    assert (config.data.name, config.model.spectra, config.train.freeze_backbone) == ("my-set", ("rgb", "ir"), False)
    shutil.rmtree(both / "visible")
    convert("voc", both, tmp_path / "infrared")
    config = load_config(dataset=str(tmp_path / "infrared")).config
    assert (config.model.spectra, config.model.fusion.name) == (("ir",), "none")
