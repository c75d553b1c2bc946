"""KAIST in its official layout: splits, which annotations count, ids, boxes as they are."""

import shutil

import pytest
from kaist_sets import TEST, TRAIN, filled, kaist, kaist_pictures, kaist_text
from raw_sets import assert_books_balance, kinds, read, tree

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.errors import DatasetError, Findings
from caffdet_cli.evaluation.miss_rate_truth import miss_rate_truth
from caffdet_cli.settings.load import load_config

NUMBER = ("other test frames", "noted")  # fewer than test-all-20 has


def boxes(path):
    return [one["bbox"] for one in read(path)["annotations"]]


def test_the_official_layout_becomes_train_and_test_by_its_lists(tmp_path):
    raw = kaist(tmp_path / "raw")
    kaist_pictures(raw / "images", ["set00/V000/I00002", "set06/V000/I00020"])
    report = convert("kaist", raw, tmp_path / "out")
    assert kinds(report) == [NUMBER]
    assert_books_balance(report)
    for split, names in (("train", TRAIN), ("test", TEST)):
        images = read(tmp_path / f"out/{split}.json")["images"]
        assert [image["id"] for image in images] == [0, 1]
        assert [image["file_name_IR"] for image in images] == [
            filled("images/{set}/{video}/lwir/{frame}.bmp", name) for name in names
        ]
    assert report.release == "train: sanitized (Li et al., 2018); test: improved (Liu et al., 2016)"
    assert read(tmp_path / "out/test.json")["info"]["caffdet"]["release"] == report.release
    data = load_config(dataset=str(tmp_path / "out")).config.data
    assert (data.name, data.classes, data.label_spectrum) == ("kaist", ("person",), "ir")


def test_twice_gives_the_same_bytes(tmp_path):
    raw = kaist(tmp_path / "raw")
    convert("kaist", raw, tmp_path / "out")
    before = tree(tmp_path / "out")
    convert("kaist", raw, tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == before


def test_without_lists_the_official_rule_chooses_and_says_so(tmp_path):
    raw = kaist(tmp_path / "raw")
    shutil.rmtree(raw / "imageSets")
    more = ["set00/V000/I00000", "set00/V000/I00002", "set11/V002/I00018", "set11/V002/I00059"]
    kaist_pictures(raw / "images", more)
    kaist_text(raw / "annotations_improved", more[-1])
    report = convert("kaist", raw, tmp_path / "out")
    assert kinds(report) == [NUMBER, ("split by rule", "noted"), ("split by rule", "noted")]
    assert {split: one.pictures for split, one in report.splits.items()} == {"train": 2, "test": 3}


def test_a_list_of_another_name_is_taken_where_it_is_the_only_one(tmp_path):
    raw = kaist(tmp_path / "raw")
    (raw / "imageSets/test-all-20.txt").rename(raw / "imageSets/test-mini.txt")
    assert ("split by another list", "noted") in kinds(convert("kaist", raw, tmp_path / "out"))
    (raw / "imageSets/test-day.txt").write_text(TEST[0])
    with pytest.raises(DatasetError, match=r"several lists of test: test-day\.txt, test-mini\.txt"):
        convert("kaist", raw, tmp_path / "out2")


def test_a_list_cannot_bring_test_frames_into_training_nor_leave_the_folder(tmp_path):
    raw = kaist(tmp_path / "raw")
    lines = [*TRAIN, TEST[0], TRAIN[0], "../../etc/passwd", "set00/V000/I00001/../I00003", "", "set00 V000 I1", "\x00"]
    (raw / "imageSets/train-all-02.txt").write_text("\n".join(lines))
    report = convert("kaist", raw, tmp_path / "out")
    assert report.splits["train"].pictures == 2
    assert sorted({one.kind for one in report.findings if one.action == "dropped"}) == [
        "broken list",
        "duplicate id",
        "in the wrong split",
    ]
    assert_books_balance(report)


def test_frames_that_are_listed_and_not_there_keep_the_numbers_of_the_others(tmp_path):
    raw = kaist(tmp_path / "raw")
    (raw / "imageSets/test-all-20.txt").write_text("\n".join(["set06/V000/I00000", *TEST]))
    report = convert("kaist", raw, tmp_path / "out")
    assert [image["id"] for image in read(tmp_path / "out/test.json")["images"]] == [1, 2]
    assert ("no annotation", "dropped") in kinds(report)
    assert_books_balance(report)


# Which annotations count


def test_other_labels_are_persons_that_are_ignored_and_occlusion_is_kept(tmp_path):
    raw = kaist(tmp_path / "raw", train=())
    labels = ("person", "people", "person?", "person?a", "cyclist", "dog")
    lines = [f"{label} {50 * at + 20} 100 20 60 {at % 3} 0 0 0 0 0 0" for at, label in enumerate(labels)]
    kaist_text(raw / "annotations_improved", TEST[0], [*lines, "person 400 100 20 60 2 0 0 0 0 1 0"])
    report = convert("kaist", raw, tmp_path / "out")
    assert kinds(report) == [NUMBER, ("unknown class", "dropped")]
    assert_books_balance(report)
    content = read(tmp_path / "out/test.json")
    found = [one for one in content["annotations"] if one["image_id"] == 0]
    assert [one["ignore"] for one in found] == [0, 1, 1, 1, 1, 1]
    assert [one["occlusion"] for one in found] == [0, 1, 2, 0, 1, 2]
    assert {one["height"] for one in found} == {60}
    assert content["categories"] == [{"id": 0, "name": "person"}]
    truth = miss_rate_truth(read_coco(tmp_path / "out/test.json"))
    assert truth.frames[0].ignored.tolist() == [False, True, True, True, True, True]
    assert [frame.part for frame in truth.frames] == ["day", "night"]


def test_the_variant_is_of_training_and_the_test_stays_improved(tmp_path):
    raw = kaist(tmp_path / "raw")
    for name in (*TRAIN, *TEST):
        kaist_text(raw / "annotations_original", name, ["person 1 1 9 9 0 0 0 0 0 0 0"])
    convert("kaist", raw, tmp_path / "usual")
    report = convert("kaist", raw, tmp_path / "original", variant="original")
    assert report.release == "train: original (Hwang et al., 2015); test: improved (Liu et al., 2016)"
    assert boxes(tmp_path / "original/train.json") == [[1, 1, 9, 9]] * 2
    assert boxes(tmp_path / "usual/train.json") == [[100, 200, 30, 80]] * 2
    assert boxes(tmp_path / "original/test.json") == boxes(tmp_path / "usual/test.json")
    assert list(convert("kaist", raw, tmp_path / "improved", variant="improved").splits) == ["test"]
    with pytest.raises(DatasetError, match="annotations_paired, which --variant paired reads"):
        convert("kaist", raw, tmp_path / "paired", variant="paired")
    with pytest.raises(DatasetError, match="it has sanitized, paired, original, improved"):
        convert("kaist", raw, tmp_path / "x", variant="best")


def test_original_annotations_of_the_test_are_a_fault(tmp_path):
    raw = kaist(tmp_path / "raw", train=())
    (raw / "annotations_improved").rename(raw / "annotations")
    report = convert("kaist", raw, tmp_path / "out", strict=True)
    assert kinds(report) == [("annotations told by their frames", "noted"), NUMBER]
    kaist_text(raw / "annotations", "set06/V000/I00020")  # the original ones are of every frame
    report = convert("kaist", raw, tmp_path / "original")
    assert ("original test annotations", "kept") in kinds(report)
    assert report.release == "test: original (Hwang et al., 2015), not the improved ones"
    with pytest.raises(Findings):
        convert("kaist", raw, tmp_path / "strict", strict=True)


def test_one_folder_for_all_frames_serves_training_as_original(tmp_path):
    raw = kaist(tmp_path / "raw")
    (raw / "annotations_sanitized").rename(raw / "annotations")
    release = convert("kaist", raw, tmp_path / "out").release
    assert release.startswith("train: those of annotations/, which does not say")
    kaist_text(raw / "annotations", "set00/V000/I00002")
    assert convert("kaist", raw, tmp_path / "out2").release.startswith("train: original")


def test_sanitized_annotations_may_leave_frames_out(tmp_path):
    raw = kaist(tmp_path / "raw")
    (raw / f"annotations_sanitized/{TRAIN[0]}.txt").unlink()
    report = convert("kaist", raw, tmp_path / "out")
    assert kinds(report) == [("not annotated", "noted"), NUMBER]
    assert [image["id"] for image in read(tmp_path / "out/train.json")["images"]] == [1]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, [[100, 200, 30, 80]]),
        ("ir", [[100, 200, 30, 80]]),
        ("rgb", [[104, 200, 30, 80], [300, 200, 30, 80]]),
        ("union", [[100, 200, 30, 80], [300, 200, 30, 80]]),
        ("intersection", [[100, 200, 30, 80]]),
    ],
)
def test_paired_annotations_are_of_each_spectrum(tmp_path, labels, expected):
    raw = kaist(tmp_path / "raw", train=TRAIN[:1])
    shutil.rmtree(raw / "annotations_sanitized")
    folder = raw / "annotations_paired"
    kaist_text(folder, filled("{set}/{video}/lwir/{frame}", TRAIN[0]))
    lines = [f"person {left} 200 30 80 0 0 0 0 0 0 0" for left in (104, 300)]
    kaist_text(folder, filled("{set}/{video}/visible/{frame}", TRAIN[0]), lines)
    report = convert("kaist", raw, tmp_path / "out", labels=labels)
    assert boxes(tmp_path / "out/train.json") == expected
    assert report.label_spectrum == ("rgb" if labels == "rgb" else "ir")
    assert ("labelled twice", "noted") in kinds(report)
    assert boxes(tmp_path / "out/test.json") == [[100, 200, 30, 80]] * 2


def test_labels_of_a_spectrum_need_paired_annotations(tmp_path):
    with pytest.raises(DatasetError, match="only the paired annotations label each spectrum by itself"):
        convert("kaist", kaist(tmp_path / "raw"), tmp_path / "out", labels="rgb")


def test_pictures_of_the_test_without_annotations_leave_training_alone(tmp_path):
    raw = kaist(tmp_path / "raw")
    shutil.rmtree(raw / "annotations_improved")
    report = convert("kaist", raw, tmp_path / "out")
    assert list(report.splits) == ["train"]
    assert kinds(report) == [("no annotations", "noted")]


# Boxes and broken files


def test_boxes_that_reach_out_of_the_picture_stay_whole(tmp_path):
    raw = kaist(tmp_path / "raw", train=())
    lines = [
        "person 620 430 26 83 0 0 0 0 0 0 0",
        "person -3 100 20 50 0 0 0 0 0 0 0",
        "person 700 1 5 5 0 0 0 0 0 0 0",
    ]
    kaist_text(raw / "annotations_improved", TEST[0], lines)
    report = convert("kaist", raw, tmp_path / "out")
    assert boxes(tmp_path / "out/test.json")[:2] == [[620, 430, 26, 83], [-3, 100, 20, 50]]
    assert kinds(report) == [("box outside", "dropped"), *[("box outside", "noted")] * 2, NUMBER]
    assert_books_balance(report)


def test_a_broken_annotation_drops_its_frame_alone(tmp_path):
    raw = kaist(tmp_path / "raw")
    (raw / f"annotations_improved/{TEST[0]}.txt").write_bytes(b"\xff\xfe\0")
    (raw / f"annotations_sanitized/{TRAIN[0]}.txt").write_text("")
    report = convert("kaist", raw, tmp_path / "out")
    assert kinds(report) == [*[("broken annotation", "dropped")] * 2, NUMBER]
    assert {split: one.pictures for split, one in report.splits.items()} == {"train": 1, "test": 1}
    assert_books_balance(report)


def test_a_circle_of_links_and_odd_names_are_passed_over(tmp_path):
    raw = kaist(tmp_path / "raw")
    (raw / "images/set00/V000/visible/visible").symlink_to(raw / "images")
    (raw / "images/set00/V000/V000").symlink_to("..")
    for name in ("IÄÖ01.bmp", "a b.bmp", "I00001 copy.bmp", "new\nline.bmp"):
        (raw / "images/set00/V000/visible" / name).write_bytes(b"")
    report = convert("kaist", raw, tmp_path / "out")
    assert kinds(report) == [("no frame", "noted"), NUMBER]


def test_of_two_pictures_of_a_frame_the_first_is_taken(tmp_path):
    raw = kaist(tmp_path / "raw")
    (raw / "images/SET00/V000/visible").mkdir(parents=True)
    shutil.copy(raw / "images/.one", raw / "images/SET00/V000/visible/i00001.bmp")
    report = convert("kaist", raw, tmp_path / "out")
    assert kinds(report) == [("duplicate id", "dropped"), ("folders of one name", "noted"), NUMBER]
    assert_books_balance(report)
