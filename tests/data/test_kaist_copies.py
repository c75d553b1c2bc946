"""Re-packed copies of KAIST, and its real files: the same ids, boxes and miss rates."""

import json
import shutil

import pytest
from kaist_sets import TEST, TRAIN, filled, kaist, kaist_json, kaist_pictures, kaist_text
from raw_sets import assert_books_balance, read, voc

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.raw import recognise
from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.miss_rate_files import evaluate_miss_rate_files
from caffdet_cli.evaluation.miss_rate_truth import miss_rate_truth
from caffdet_cli.main import main


@pytest.mark.parametrize(
    ("pictures", "form", "annotation"),
    [
        ("images", "{set}_{video}_{frame}_{spectrum}.bmp", "{set}_{video}_{frame}"),
        (".", "{set}_{video}_{frame}_{spectrum}.bmp", "{set}/{video}/{frame}"),
        (".", "{set}/{video}/{spectrum}/{frame}.bmp", "{set}_{video}_{frame}"),
        (".", "{spectrum}/{set}_{video}_{frame}.bmp", "{set}_{video}_{frame}"),
    ],
)
def test_flat_copies_give_what_the_official_layout_gives(tmp_path, pictures, form, annotation):
    raw = tmp_path / "raw"
    kaist_pictures(raw / pictures, [*TRAIN, *TEST], form)
    for folder, names in (("annotations_sanitized", TRAIN), ("annotations_improved", TEST)):
        for name in names:
            kaist_text(raw / folder, filled(annotation, name))
    assert recognise(raw) == "kaist"
    convert("kaist", raw, tmp_path / "out")
    convert("kaist", kaist(tmp_path / "official"), tmp_path / "expected")
    for split in ("train", "test"):
        ours, theirs = (read(tmp_path / out / f"{split}.json") for out in ("out", "expected"))
        assert ours["annotations"] == theirs["annotations"]
        assert [image["id"] for image in ours["images"]] == [image["id"] for image in theirs["images"]]


def test_a_copy_in_voc_files_has_the_same_splits_and_ignored_persons(tmp_path):
    raw = tmp_path / "raw"
    kaist_pictures(raw, [*TRAIN, *TEST], "{spectrum}/{set}_{video}_{frame}.bmp")
    for name in (*TRAIN, *TEST):
        path = raw / filled("Annotations/{set}_{video}_{frame}.xml", name)
        voc(path, [("person", (1, 2, 10, 60)), ("cyclist", (20, 2, 30, 60))], size=(640, 512), filename=path.stem)
    report = convert("kaist", raw, tmp_path / "out")
    assert {split: (one.pictures, one.boxes) for split, one in report.splits.items()} == {
        "train": (2, 4),
        "test": (2, 4),
    }
    assert [one["iscrowd"] for one in read(tmp_path / "out/test.json")["annotations"]] == [0, 1, 0, 1]
    assert_books_balance(report)


def test_pictures_alone_are_not_taken_for_kaist(tmp_path):
    raw = kaist(tmp_path / "raw")
    for folder in ("annotations_sanitized", "annotations_improved"):
        shutil.rmtree(raw / folder)
    with pytest.raises(DatasetError, match="has not the layout of kaist"):
        convert("kaist", raw, tmp_path / "out")


def test_the_command_says_which_annotations_were_read(tmp_path, capsys):
    raw = kaist(tmp_path / "raw")
    assert main(["convert", "kaist", str(raw), "-o", str(tmp_path / "out"), "--strict"]) == 0
    assert "Annotations: train: sanitized (Li et al., 2018); test: improved" in capsys.readouterr().out


# Real files


def test_kaist_mini_gives_the_same_by_text_and_by_json(tmp_path, shared):
    mini = tmp_path / "mini"
    shutil.copytree(shared / "data/kaist_mini", mini)
    by_json = convert("kaist", mini, tmp_path / "json")
    (mini / "kaist_annotations_mini.json").unlink()
    by_text = convert("kaist", mini, tmp_path / "text")
    assert by_json.release == by_text.release == "test: improved (Liu et al., 2016)"
    original = read(shared / "data/kaist_mini/kaist_annotations_mini.json")
    first, second = (read(tmp_path / f"{form}/test.json") for form in ("json", "text"))
    assert [image["id"] for image in first["images"]] == [image["id"] for image in original["images"]]
    assert [image["id"] for image in second["images"]] == list(range(6))
    keys = ("bbox", "height", "occlusion", "ignore")
    for content in (first, second):
        assert [[one[key] for key in keys] for one in content["annotations"]] == [
            [one[key] for key in keys] for one in original["annotations"]
        ]


def test_the_whole_test_set_keeps_its_ids_and_the_published_miss_rates(tmp_path, shared):
    source = shared / "data/kaist_eval"
    original = read(source / "KAIST_annotation.json")
    raw = tmp_path / "raw"
    kaist_pictures(raw / "images", [image["im_name"] for image in original["images"]])
    shutil.copy(source / "KAIST_annotation.json", raw)
    report = convert("kaist", raw, tmp_path / "out")
    assert (report.findings.faults, report.splits["test"].boxes) == (0, 4254)
    ours = read(tmp_path / "out/test.json")
    keys = ("id", "image_id", "category_id", "bbox", "height", "occlusion", "ignore")
    for key in keys:
        assert [one[key] for one in ours["annotations"]] == [one[key] for one in original["annotations"]]
    assert [image["id"] for image in ours["images"]] == list(range(2252))
    reference = json.loads((source / "reference.json").read_text())["MLPD"]
    scored = evaluate_miss_rate_files(source / "MLPD_result.txt", tmp_path / "out/test.json")
    for score in scored.scores:
        for part, curve in score.curves.items():
            expected = reference[score.setting.name][part]
            assert 100 * curve.mean == pytest.approx(expected["MR_percent_all_gt_counted"], abs=1e-11)
            assert curve.counted == expected["gt_total"]


def test_text_and_json_of_the_same_test_frames_have_the_same_truth(tmp_path):
    objects = [{"bbox": [620, 100, 26, 60], "occlusion": 1}, {"image_id": 1, "ignore": 1, "occlusion": 2}]
    raw = kaist(tmp_path / "raw", train=())
    kaist_text(raw / "annotations_improved", TEST[0], ["person 620 100 26 60 1 0 0 0 0 0 0"])
    kaist_text(raw / "annotations_improved", TEST[1], ["people 100 200 30 80 2 0 0 0 0 0 0"])
    convert("kaist", raw, tmp_path / "text")
    kaist_json(raw / "KAIST_annotation.json", TEST, objects)
    convert("kaist", raw, tmp_path / "json")
    text, by_json = (miss_rate_truth(read_coco(tmp_path / f"{form}/test.json")) for form in ("text", "json"))
    for one, other in zip(text.frames, by_json.frames, strict=True):
        assert (one.id, one.part, one.width, one.height) == (other.id, other.part, other.width, other.height)
        for column in ("boxes", "heights", "occlusions", "ignored"):
            assert getattr(one, column).tolist() == getattr(other, column).tolist()
