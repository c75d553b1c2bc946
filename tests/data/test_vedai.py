"""VEDAI: one annotation file for all pictures, oriented boxes, folds, class ids without names."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_sets import assert_books_balance, kinds, read, tree

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.vedai import read_annotation
from caffdet_cli.errors import DatasetError
from caffdet_cli.main import main

SIDE = 512
ROW = "{name} 30.5 20.0 -0.5 20 40 41 21 15 10 25 30 {kind} 1 0"


def flat(path: Path, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((side, side), 9, np.uint8))


def vedai(root: Path, rows: str | None = None, folds: bool = True, classes: str = "1 car\n11 pick up\n") -> Path:
    """Four pairs; of 3 the annotation says nothing, 4 is in no list."""
    for name in ("00000001", "00000002", "00000003", "00000004"):
        for kind in ("co", "ir"):
            flat(root / f"Vehicules512/{name}_{kind}.png", SIDE)
    rows = rows or "".join(
        ROW.format(name=name, kind=kind) + "\n"
        for name, kind in (("00000001", "001"), ("00000001", "011"), ("00000002", "1"), ("00000004", "1"))
    )
    (root / "Annotations512").mkdir()
    (root / "Annotations512/annotation512.txt").write_text(rows)
    if classes:
        (root / "classes.txt").write_text(classes)
    if folds:
        (root / "Annotations512/fold01.txt").write_text("00000001\n00000003\n")
        (root / "Annotations512/fold01test.txt").write_text("00000002\n")
        (root / "fold02.txt").write_text("00000002\n")
    return root


def test_a_fold_is_read_and_corners_stay(tmp_path):
    report = convert("vedai", vedai(tmp_path / "raw"), tmp_path / "out")
    assert {name: (one.pictures, one.boxes) for name, one in report.splits.items()} == {"train": (2, 2), "test": (1, 1)}
    train = read(tmp_path / "out/train.json")
    assert [image["id"] for image in train["images"]] == [1, 3]
    assert train["images"][0]["file_name"] == "Vehicules512/00000001_co.png"
    assert train["images"][0]["file_name_IR"] == "Vehicules512/00000001_ir.png"
    first = train["annotations"][0]
    assert first["bbox"] == [20, 10, 21, 20]
    assert first["segmentation"] == [[20, 15, 40, 10, 41, 25, 21, 30]]
    assert [category["name"] for category in train["categories"]] == ["car", "pick up"]
    assert kinds(report) == [("empty annotation", "noted"), ("not listed", "noted")]
    assert not report.verified
    assert train["info"]["caffdet"]["release"] == "annotation512.txt, fold01"
    assert_books_balance(report)


def test_another_fold_is_asked_for_by_its_name(tmp_path):
    raw = vedai(tmp_path / "raw")
    shutil.rmtree(raw / "Annotations512", ignore_errors=False)
    (raw / "annotation512.txt").write_text(ROW.format(name="00000002", kind=1))
    report = convert("vedai", raw, tmp_path / "out", variant="fold02")
    assert {name: one.pictures for name, one in report.splits.items()} == {"train": 1}
    with pytest.raises(DatasetError, match=r"there is no fold03\.txt"):
        convert("vedai", raw, tmp_path / "none", variant="fold03")
    with pytest.raises(DatasetError, match="it has fold01, fold02"):
        convert("vedai", raw, tmp_path / "none", variant="fold11")


def test_without_lists_all_annotated_pictures_are_one_split(tmp_path):
    report = convert("vedai", vedai(tmp_path / "raw", folds=False), tmp_path / "out")
    assert {name: one.pictures for name, one in report.splits.items()} == {"train": 3}
    assert kinds(report) == [("no annotation", "dropped"), ("no official split", "noted")]
    assert_books_balance(report)


def test_rows_of_a_picture_that_is_not_there_are_counted(tmp_path):
    raw = vedai(tmp_path / "raw", folds=False)
    for kind in ("co", "ir"):
        (raw / f"Vehicules512/00000001_{kind}.png").unlink()
    report = convert("vedai", raw, tmp_path / "out")
    assert ("no picture", "dropped") in kinds(report)
    assert report.findings.lost_boxes == 2
    assert_books_balance(report)


@pytest.mark.parametrize("folds", [True, False])
def test_rows_that_name_no_picture_refuse_the_set(tmp_path, folds):
    rows = "".join(ROW.format(name=name, kind=1) + "\n" for name in (1, 2))  # without zeros
    with pytest.raises(DatasetError, match=r"no row names a picture .* for example '1' and '00000001'"):
        convert("vedai", vedai(tmp_path / "raw", rows, folds), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_single_rows_without_a_picture_are_told_once_with_folds_too(tmp_path):
    rows = "".join(ROW.format(name=name, kind=1) + "\n" for name in ("00000001", "2", "00000009"))
    raw = vedai(tmp_path / "raw", rows)
    (raw / "Annotations512/fold01test.txt").write_text("00000002\n00000009\n")
    report = convert("vedai", raw, tmp_path / "out")
    assert [(one.kind, one.place) for one in report.findings if one.action == "dropped"] == [
        ("no picture", "Annotations512/annotation512.txt/2"),
        ("no picture", "Annotations512/annotation512.txt/00000009"),
    ]
    assert report.findings.lost_boxes == 2
    assert_books_balance(report)


def test_an_annotation_file_without_pictures_of_its_resolution_is_passed_over(tmp_path):
    raw = vedai(tmp_path / "raw")
    (raw / "Annotations1024").mkdir()
    (raw / "Annotations1024/annotation1024.txt").write_text(doubled())
    report = convert("vedai", raw, tmp_path / "out")
    assert report.release == "annotation512.txt, fold01"
    assert read(tmp_path / "out/train.json")["annotations"][0]["bbox"] == [20, 10, 21, 20]


def test_pictures_say_which_of_two_annotation_files_beside_them_is_theirs(tmp_path):
    raw = beside(vedai(tmp_path / "raw"))
    (raw / "annotation1024.txt").write_text(doubled())
    (raw / "00000000_co.png").write_text("no picture")  # the first by name
    report = convert("vedai", raw, tmp_path / "out")
    assert report.release == "annotation512.txt, fold01"
    assert read(tmp_path / "out/train.json")["annotations"][0]["bbox"] == [20, 10, 21, 20]
    told = [one for one in report.findings if one.kind == "other resolution"]
    assert [(one.place, one.what) for one in told] == [
        ("annotation1024.txt", "512 is read; no picture with it has 1024x1024 pixels")
    ]


def test_pictures_of_another_size_than_their_annotation_file_are_refused(tmp_path):
    raw = beside(vedai(tmp_path / "raw"))
    (raw / "annotation512.txt").rename(raw / "annotation1024.txt")
    with pytest.raises(DatasetError, match=r"pictures have 512x512 pixels, .*annotation1024\.txt is of 1024x1024"):
        convert("vedai", raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def beside(raw: Path) -> Path:
    """All files in the folder itself."""
    for folder in ("Vehicules512", "Annotations512"):
        for path in (raw / folder).iterdir():
            path.rename(raw / path.name)
        (raw / folder).rmdir()
    return raw


def doubled() -> str:
    """The rows of `vedai` for pictures twice as large."""
    return "".join(f"{name} 61 40 -0.5 40 80 82 42 30 20 50 60 1 1 0\n" for name in ("00000001", "00000002"))


def test_class_ids_without_a_table_are_called_by_their_numbers_and_strange_ones_are_dropped(tmp_path):
    rows = "".join(ROW.format(name="00000001", kind=kind) + "\n" for kind in ("001", "23", "3", "99"))
    report = convert("vedai", vedai(tmp_path / "raw", rows, classes=""), tmp_path / "out")
    train = read(tmp_path / "out/train.json")
    names = {category["id"]: category["name"] for category in train["categories"]}
    assert [names[one["category_id"]] for one in train["annotations"]] == ["1", "23"]
    assert kinds(report).count(("unknown class", "dropped")) == 2
    assert ("classes without names", "noted") in kinds(report)
    assert_books_balance(report)


def test_ids_that_the_table_lacks_are_unknown(tmp_path):
    report = convert("vedai", vedai(tmp_path / "raw", classes="1 vehicle\n2 vehicle\n"), tmp_path / "out")
    assert report.classes == ("vehicle",)
    assert kinds(report).count(("unknown class", "dropped")) == 1


@pytest.mark.parametrize("table", ["car\n", "1 car\n1 truck\n", "x car\n", "1\n"])
def test_a_table_of_another_form_is_refused(tmp_path, table):
    with pytest.raises(DatasetError, match=r"classes\.txt:\d"):
        convert("vedai", vedai(tmp_path / "raw", classes=table), tmp_path / "out")


@pytest.mark.parametrize(
    "row",
    [
        "00000001 1 2 3",
        "x 30.5 20 0 20 40 41 21 15 10 25 30 1 1 0",
        "00000001 30.5 20 0 20 40 41 21 15 10 25 30 car 1 0",
        "00000001 30.5 20 0 20 40 41 21 15 10 25 30 1 1 0 0 0 0",
        "00000001 30.5 20 0 20 15 40 10 41 25 21 30 1 1 0",  # x1 y1 x2 y2
        "00000001 30.5 20 0 1 1 0 20 40 41 21 15 10 1",  # the class in front of the corners
    ],
)
def test_columns_of_another_order_are_refused_and_nothing_is_written(tmp_path, row):
    with pytest.raises(DatasetError, match="columns"):
        convert("vedai", vedai(tmp_path / "raw", row + "\n"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bad", ["nan", "inf", "1e300", "x", "900"])
def test_a_corner_that_is_no_number_or_far_away_drops_its_object_only(tmp_path, bad):
    rows = "\n".join([ROW.format(name="00000001", kind=1)] * 3 + [ROW.format(name="00000001", kind=1)])
    rows = rows[: rows.rindex(" 20 40 41")] + f" {bad} 40 41 21 15 10 25 30 1 1 0\n"
    report = convert("vedai", vedai(tmp_path / "raw", rows), tmp_path / "out")
    assert kinds(report).count(("broken box", "dropped")) == 1
    assert_books_balance(report)


def test_the_file_may_have_tabs_a_mark_and_empty_lines_but_no_other_encoding(tmp_path):
    raw = vedai(tmp_path / "raw")
    path = raw / "Annotations512/annotation512.txt"
    path.write_bytes(b"\xef\xbb\xbf" + ROW.format(name="00000001", kind=1).replace(" ", "\t  ").encode() + b"\r\n\r\n")
    assert convert("vedai", raw, tmp_path / "out").splits["train"].boxes == 1
    path.write_bytes(ROW.format(name="00000001", kind=1).encode("utf-16"))
    with pytest.raises(DatasetError, match="UTF-8"):
        convert("vedai", raw, tmp_path / "none")


def test_the_finer_of_two_resolutions_is_read_and_the_other_told(tmp_path):
    raw = vedai(tmp_path / "raw")
    for kind in ("co", "ir"):
        flat(raw / f"Vehicules1024/00000001_{kind}.png", 1024)
    (raw / "annotation1024.txt").write_text(ROW.format(name="00000001", kind=1))
    report = convert("vedai", raw, tmp_path / "out", dry_run=True)
    assert ("other resolution", "noted") in kinds(report)


def test_lists_and_names_that_lead_elsewhere_find_nothing(tmp_path):
    raw = vedai(tmp_path / "raw")
    (raw / "Annotations512/fold01.txt").write_text("00000001\n../../etc/passwd\n\n 00000001 \n00000009\n")
    (raw / "Vehicules512/loop_co.png").symlink_to(raw / "Vehicules512/loop_co.png")
    flat(raw / "Vehicules512/a b\n_co.png", SIDE)
    report = convert("vedai", raw, tmp_path / "out")
    assert report.splits["train"].pictures == 1
    assert kinds(report).count(("no annotation", "dropped")) == 2
    assert ("duplicate id", "dropped") in kinds(report)
    assert_books_balance(report)


word = st.sampled_from(["00000001", "1", "30.5", "20", "nan", "x", "-3", "1e9", "", "²", "\x00"])


@given(text=st.text(max_size=60) | st.lists(st.lists(word, max_size=16).map(" ".join), max_size=4).map("\n".join))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused(tmp_path, text):
    path = tmp_path / "annotation512.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        records = read_annotation(path, SIDE, {})
    except DatasetError:
        return
    assert all(one.name for record in records.values() for one in record.objects)


def test_as_typed_and_twice_the_same(tmp_path, capsys):
    words = ["convert", "vedai", str(vedai(tmp_path / "raw")), "-o", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["verified"] is False
    assert "unverified" in err
    before = tree(tmp_path / "out")
    assert main([*words, "--overwrite"]) == 0
    assert tree(tmp_path / "out") == before
