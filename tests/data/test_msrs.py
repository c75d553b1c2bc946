"""`convert msrs`: labels of each spectrum and of fused pictures, and where the two repositories lie."""

import pytest
from raw_sets import assert_books_balance, kinds, picture, read, tree
from yolo_sets import row, write

from caffdet_cli.data.convert import convert
from caffdet_cli.data.raw import recognise
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.load import load_config

BOTH, RGB_ONLY, IR_ONLY = (2, 2, 12, 12), (20, 2, 30, 12), (2, 15, 12, 28)
NAMES = {"train": ("00001D", "00003N"), "test": ("00004N",)}
SIZE = (40, 30)


def msrs(root, pictures=".", texts="labels"):
    """A person in both spectra, a car in RGB only and a bicycle in infrared only; by day nobody at all."""
    for split, names in NAMES.items():
        for name in names:
            for spectrum in ("vi", "ir"):
                picture(root / pictures / split / spectrum / f"{name}.png", *SIZE, grey=spectrum == "ir")
            for folder, objects in (
                ("visible", [(0, BOTH), (2, RGB_ONLY)]),
                ("infrared", [(0, BOTH), (1, IR_ONLY)]),
                ("fusion", [(0, BOTH), (1, IR_ONLY), (2, RGB_ONLY)]),
            ):
                # As the published files are: two blanks, a blank at the end, no final newline
                rows = [row(number, box, SIZE, 16).replace(" ", "  ") + "  " for number, box in objects]
                text = "" if name.endswith("D") else "\n".join(rows)
                write(root / texts / folder / split / f"{name}.txt", text)
    return root


def names_of(folder, split="train"):
    file = read(folder / f"{split}.json")
    names = {one["id"]: one["name"] for one in file["categories"]}
    return [names[one["category_id"]] for one in file["annotations"]]


@pytest.mark.parametrize(
    ("labels", "spectrum", "expected", "agreement"),
    [
        (None, "ir", ["person", "bicycle"], "1 in ir only, 1 in rgb only"),
        ("ir", "ir", ["person", "bicycle"], "1 in ir only, 1 in rgb only"),
        ("rgb", "rgb", ["person", "car"], "1 in rgb only, 1 in ir only"),
        ("union", "ir", ["person", "bicycle", "car"], "1 in ir only, 1 in rgb only"),
        ("intersection", "ir", ["person"], "1 in ir only, 1 in rgb only"),
    ],
)
def test_whose_labels_count_is_for_the_user_to_say(tmp_path, labels, spectrum, expected, agreement):
    raw = msrs(tmp_path / "raw")
    assert recognise(raw) == "msrs"
    report = convert("msrs", raw, tmp_path / "out", labels=labels)
    assert names_of(tmp_path / "out") == names_of(tmp_path / "out", "test") == expected
    assert report.label_spectrum == spectrum
    assert report.classes == ("person", "bicycle", "car")
    assert report.release == "MSRS-detection-label, labels of each spectrum"
    twice = next(finding for finding in report.findings if finding.kind == "labelled twice")
    double = agreement.replace("1 in", "2 in", 1).replace(", 1 in", ", 2 in")
    assert twice.what == f"2 objects in both, IoU 1.00 on average; {double}"
    assert_books_balance(report)


def test_labels_of_fused_pictures_are_one_set_for_both(tmp_path):
    raw = msrs(tmp_path / "raw")
    report = convert("msrs", raw, tmp_path / "out", variant="fusion")
    assert names_of(tmp_path / "out") == ["person", "bicycle", "car"]
    assert report.release == "MSRS-detection-label, labels of fused pictures"
    assert kinds(report) == [("empty annotation", "noted")]
    assert_books_balance(report)
    with pytest.raises(DatasetError, match="the variant fusion has one set of labels for both pictures"):
        convert("msrs", raw, tmp_path / "out2", variant="fusion", labels="union")
    with pytest.raises(DatasetError, match="it has spectra, fusion"):
        convert("msrs", raw, tmp_path / "out2", variant="visible")


def test_ids_are_the_numbers_of_names_and_pictures_without_objects_stay(tmp_path):
    report = convert("msrs", msrs(tmp_path / "raw"), tmp_path / "out")
    images = read(tmp_path / "out/train.json")["images"]
    assert [(image["id"], image["file_name"], image["file_name_IR"]) for image in images] == [
        (1, "train/vi/00001D.png", "train/ir/00001D.png"),
        (3, "train/vi/00003N.png", "train/ir/00003N.png"),
    ]
    assert kinds(report) == [("empty annotation", "noted"), ("labelled twice", "noted")]


@pytest.mark.parametrize(
    ("pictures", "texts"),
    [
        (".", "labels"),
        (".", "MSRS-detection-label"),
        ("MSRS", "MSRS-detection-label"),
        ("MSRS-main", "MSRS-detection-label-main"),
        ("MSRS", "MSRS/labels"),
        ("MSRS-master", "labels"),
    ],
)
def test_pictures_and_labels_may_lie_side_by_side(tmp_path, pictures, texts):
    raw = msrs(tmp_path / "raw", pictures, texts)
    assert recognise(raw) == "msrs"
    report = convert("msrs", raw, tmp_path / "out", copy=True)
    assert {name: split.pictures for name, split in report.splits.items()} == {"train": 2, "test": 1}


def test_the_number_of_a_day_and_a_night_picture_makes_no_id_for_both(tmp_path):
    raw = msrs(tmp_path / "raw")
    for folder, suffix in (("train/vi", "png"), ("train/ir", "png")):
        (raw / folder / f"00001D.{suffix}").rename(raw / folder / f"00003D.{suffix}")
    for folder in ("visible", "infrared"):
        (raw / f"labels/{folder}/train/00001D.txt").rename(raw / f"labels/{folder}/train/00003D.txt")
    convert("msrs", raw, tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == ["00003D", "00003N"]


def test_a_pair_that_only_one_spectrum_has_labels_of_is_left_out_of_a_union_and_told(tmp_path):
    raw = msrs(tmp_path / "raw")
    whole = convert("msrs", raw, tmp_path / "whole", labels="union")
    (raw / "labels/infrared/train/00003N.txt").unlink()
    report = convert("msrs", raw, tmp_path / "out", labels="union")
    assert report.splits["train"].pictures == whole.splits["train"].pictures - 1
    assert ("no annotation", "dropped") in kinds(report)
    assert_books_balance(report)


def test_files_that_are_no_text_links_in_a_circle_and_odd_names_are_told_or_read(tmp_path):
    raw = msrs(tmp_path / "raw")
    (raw / "labels/infrared/train/00001D.txt").write_bytes(b"\xff\xfe0\x00")
    (raw / "labels/visible/test/00004N.txt").unlink()
    (raw / "labels/visible/test/00004N.txt").symlink_to("00004N.txt")
    for spectrum in ("vi", "ir"):
        picture(raw / f"train/{spectrum}/Straße\n夜.png", *SIZE)
    for folder in ("visible", "infrared"):
        write(raw / f"labels/{folder}/train/Straße\n夜.txt", "0 0.5 0.5 0.1 0.1")
    report = convert("msrs", raw, tmp_path / "out")
    assert [row.number for row in report.findings.rows() if row.kind == "broken annotation"] == [2]
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [3, "Straße\n夜"]
    assert_books_balance(report)


def test_a_missing_folder_is_named(tmp_path):
    raw = msrs(tmp_path / "raw")
    (raw / "labels/infrared/test").rename(raw / "labels/infrared/other")
    with pytest.raises(DatasetError, match="infrared has no folder test"):
        convert("msrs", raw, tmp_path / "out")
    convert("msrs", raw, tmp_path / "out", variant="fusion")


def test_pictures_alone_are_refused_with_what_was_looked_for(tmp_path):
    raw = msrs(tmp_path / "raw")
    (raw / "labels").rename(raw / "boxes")
    with pytest.raises(DatasetError, match=r"looked for \{train,test\}/\{vi,ir\}/\*\.png and labels/"):
        convert("msrs", raw, tmp_path / "out")


@pytest.mark.parametrize("text", ["0 inf 0.5 0.1 0.1", "0 0.5 0.5 0.1", "3 0.5 0.5 0.1 0.1", "person 0.5 0.5 0.1 0.1"])
@pytest.mark.parametrize("folder", ["visible", "infrared"])
def test_faults_in_one_file_are_told_and_the_books_balance(tmp_path, text, folder):
    raw = msrs(tmp_path / "raw")
    write(raw / f"labels/{folder}/train/00003N.txt", text)
    report = convert("msrs", raw, tmp_path / "out", labels="union")
    assert report.findings.faults == 1
    assert_books_balance(report)


def test_twice_gives_the_same_bytes_and_the_data_set_file_is_one_that_settings_accept(tmp_path):
    raw = msrs(tmp_path / "raw")
    convert("msrs", raw, tmp_path / "out", labels="union")
    before = tree(tmp_path / "out")
    convert("msrs", raw, tmp_path / "out", labels="union", overwrite=True)
    assert tree(tmp_path / "out") == before
    data = load_config(dataset=str(tmp_path / "out")).config.data
    assert (data.name, data.classes) == ("msrs", ("person", "bicycle", "car"))
    assert data.homepage == "https://github.com/Linfeng-Tang/MSRS"
