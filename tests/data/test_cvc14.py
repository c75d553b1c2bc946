"""CVC-14 as it is described: parts, splits, labels of each spectrum, negatives; what is otherwise is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_sets import HEIGHT, WIDTH, assert_books_balance, kinds, picture, read, tree

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.cvc14_text import parse_cvc14
from caffdet_cli.data.formats.records import BrokenAnnotation
from caffdet_cli.data.raw import described, is_verified
from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.miss_rate_truth import miss_rate_truth
from caffdet_cli.progress import Progress

ROW = "20 15 6 10 1 0 0 0 0 1 0"
POSITIVE, NEGATIVE = "2014_05_01_00_00_00_000001", "2014_05_01_00_00_00_000002"


def cvc14(root, parts=("Day", "Night"), splits=("Train", "NewTest")):
    """One positive and one negative pair of every part and split; the person stands 2 pixels to the right in FIR."""
    for part in parts:
        for spectrum in ("Visible", "FIR"):
            for split in splits:
                folder = root / part / spectrum / split
                picture(folder / "FramesPos" / f"{split}{POSITIVE}.tif", grey=True)
                picture(folder / "FramesNeg" / f"{split}{NEGATIVE}.tif", grey=True)
                annotation(folder, split, ROW if spectrum == "Visible" else f"22  15 6 10 1 0 0 0 0 1 0\n{OPTIONAL}")
    return root


OPTIONAL = "8 15 6 10 0 0 0 0 0 2 0\r\n"


def annotation(folder, split, text):
    (folder / "Annotations").mkdir(exist_ok=True)
    (folder / "Annotations" / f"{split}{POSITIVE}.txt").write_bytes(text.encode())


def boxes(path):
    return [(one["bbox"], one["iscrowd"]) for one in read(path)["annotations"]]


def test_parts_become_one_split_each_and_day_and_night_are_known(tmp_path):
    report = convert("cvc14", cvc14(tmp_path / "raw"), tmp_path / "out")
    assert {split: (one.pictures, one.boxes) for split, one in report.splits.items()} == {
        "train": (4, 4),
        "test": (4, 4),
    }
    assert_books_balance(report)
    assert report.findings.faults == 0
    images = read(tmp_path / "out/test.json")["images"]
    assert images[0] == {
        "id": f"Day/NewTest{POSITIVE}",
        "width": WIDTH,
        "height": HEIGHT,
        "file_name": f"Day/Visible/NewTest/FramesPos/NewTest{POSITIVE}.tif",
        "file_name_IR": f"Day/FIR/NewTest/FramesPos/NewTest{POSITIVE}.tif",
    }
    truth = miss_rate_truth(read_coco(tmp_path / "out/test.json"))
    assert [frame.part for frame in truth.frames] == ["day", "day", "night", "night"]
    assert truth.frames[0].ignored.tolist() == [False, True]


@pytest.mark.parametrize(
    ("labels", "release", "expected"),
    [
        (None, "labels of the infrared pictures", [([19, 10, 6, 10], 0), ([5, 10, 6, 10], 1)]),
        ("ir", "labels of the infrared pictures", [([19, 10, 6, 10], 0), ([5, 10, 6, 10], 1)]),
        ("rgb", "labels of the visible pictures", [([17, 10, 6, 10], 0)]),
        ("intersection", "intersection of the labels of both pictures", [([19, 10, 6, 10], 0)]),
    ],
)
def test_the_labels_that_count_are_chosen_and_said(tmp_path, labels, release, expected):
    raw = cvc14(tmp_path / "raw", ("Day",), ("Train",))
    report = convert("cvc14", raw, tmp_path / "out", labels=labels)
    assert boxes(tmp_path / "out/train.json") == expected
    assert report.release == release
    assert ("labelled twice", "noted") in kinds(report)


def test_twice_gives_the_same_bytes(tmp_path):
    raw = cvc14(tmp_path / "raw")
    convert("cvc14", raw, tmp_path / "out")
    before = tree(tmp_path / "out")
    convert("cvc14", raw, tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == before


def test_a_copy_of_one_part_says_what_it_lacks(tmp_path):
    report = convert("cvc14", cvc14(tmp_path / "raw", ("Night",)), tmp_path / "out")
    assert [one.place for one in report.findings if one.kind == "no such part"] == ["Day, Train", "Day, NewTest"]


def test_a_pair_may_be_positive_in_one_spectrum_only(tmp_path):
    raw = cvc14(tmp_path / "raw", ("Day",), ("Train",))
    visible = raw / "Day/Visible/Train"
    (visible / f"FramesPos/Train{POSITIVE}.tif").rename(visible / f"FramesNeg/Train{POSITIVE}.tif")
    (visible / f"Annotations/Train{POSITIVE}.txt").unlink()
    report = convert("cvc14", raw, tmp_path / "out")
    image = read(tmp_path / "out/train.json")["images"][0]
    assert "FramesNeg" in image["file_name"]
    assert "FramesPos" in image["file_name_IR"]
    assert len(boxes(tmp_path / "out/train.json")) == 2
    assert report.findings.faults == 0


@pytest.mark.parametrize("spectrum", ["FIR", "Visible"])
def test_a_positive_picture_without_annotation_is_refused_and_not_taken_for_background(tmp_path, spectrum):
    raw = cvc14(tmp_path / "raw", ("Day",), ("Train",))
    (raw / f"Day/{spectrum}/Train/Annotations/Train{POSITIVE}.txt").unlink()
    with pytest.raises(DatasetError, match=rf"{spectrum}/Train: Train{POSITIVE} is in FramesPos and has no annotation"):
        convert("cvc14", raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "row",
    [
        "20 15 6 10",
        "pedestrian 20 15 6 10 1 0 0 0 0 1 0",
        "20 15 6 10 2 0 0 0 0 1 0",
        "20 15 6 nan 1 0 0 0 0 1 0",
        "20 15 6 1e99 1 0 0 0 0 1 0",
        "20,15,6,10,1,0,0,0,0,1,0",
        "20 15 6 10 1 0 0 0 0 1 0 ä",
    ],
)
def test_another_form_of_annotation_refuses_the_data_set(tmp_path, row):
    raw = cvc14(tmp_path / "raw")
    annotation(raw / "Night/FIR/NewTest", "NewTest", f"{ROW}\n{row}\n")
    with pytest.raises(DatasetError, match=rf"Night/FIR/NewTest/Annotations/NewTest{POSITIVE}\.txt: (line 2|byte)"):
        convert("cvc14", raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("Day/FIR/Train", "Day/FIR/Train is missing; both spectra"),
        ("Day/FIR/Train/FramesPos", "no folder FramesPos; CVC-14 is described as"),
        ("Day/FIR/Train/Annotations", "no folder Annotations"),
    ],
)
def test_a_missing_folder_is_refused(tmp_path, lost, message):
    raw = cvc14(tmp_path / "raw")
    (raw / lost).rename((raw / lost).with_name("lost"))
    with pytest.raises(DatasetError, match=message):
        convert("cvc14", raw, tmp_path / "out")


def test_contradictions_and_names_without_partners_are_refused(tmp_path):
    raw = cvc14(tmp_path / "raw", ("Day",), ("Train",))
    negative = raw / f"Day/FIR/Train/FramesNeg/Train{NEGATIVE}.tif"
    label = raw / f"Day/FIR/Train/Annotations/Train{NEGATIVE}.txt"
    label.write_text("\n")  # nobody, as FramesNeg says
    assert convert("cvc14", raw, tmp_path / "agreed").findings.faults == 0
    label.write_text(ROW)
    with pytest.raises(DatasetError, match="in FramesNeg and has pedestrians"):
        convert("cvc14", raw, tmp_path / "out")
    label.unlink()
    twin = picture(raw / f"Day/FIR/Train/FramesPos/Train{NEGATIVE}.tif", grey=True)
    with pytest.raises(DatasetError, match="in FramesPos and in FramesNeg"):
        convert("cvc14", raw, tmp_path / "out")
    twin.unlink()
    fir = raw / "Day/FIR/Train"
    for path in (negative, fir / f"FramesPos/Train{POSITIVE}.tif", fir / f"Annotations/Train{POSITIVE}.txt"):
        path.rename(path.with_stem(f"fir_{path.stem}"))
    with pytest.raises(DatasetError, match="the two of a pair have one name"):
        convert("cvc14", raw, tmp_path / "out")


def test_it_is_told_to_be_unverified(tmp_path):
    said = []

    class Heard(Progress):
        def warn(self, text: str) -> None:
            said.append(text)

    convert("cvc14", cvc14(tmp_path / "raw"), tmp_path / "out", progress=Heard())
    assert any("the layout of cvc14 is unverified" in text for text in said)
    assert not is_verified("cvc14")
    assert "(unverified)" in next(line for line in described().splitlines() if "cvc14" in line)


@given(st.binary(max_size=60) | st.text("0123456789. -e\nnaif", max_size=60).map(str.encode))
@settings(max_examples=150)
def test_any_content_is_read_or_broken(content):
    try:
        objects = parse_cvc14(content)
    except BrokenAnnotation:
        return
    assert all(one.box is not None and np.isfinite(one.box).all() for one in objects)


side = st.integers(1, 400)


@given(st.lists(st.tuples(side, side, side, side, st.booleans()), max_size=5))
@settings(max_examples=40)
def test_boxes_are_around_their_centres(rows):
    text = "\n".join(f"{x} {y} {w} {h} {int(must)} 0 0 0 0 7 0" for x, y, w, h, must in rows)
    objects = parse_cvc14(text.encode())
    assert [one.ignored for one in objects] == [not must for *_, must in rows]
    for one, (x, y, w, h, _) in zip(objects, rows, strict=True):
        left, top, right, bottom = one.box
        assert ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top) == (x, y, w, h)
