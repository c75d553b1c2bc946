"""A COCO download as it comes: pictures in the root or in images/, gapped ids, crowd regions, and what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from coco_set import CATEGORIES, CROWD, coco

from caffdet_cli.data.convert import convert
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.splits import class_slots, load_split
from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.evaluation.coco import evaluate_coco
from caffdet_cli.evaluation.files import evaluate_files
from caffdet_cli.main import main
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.data import Data, Split
from caffdet_cli.settings.load import load_config

LAYOUTS = ["", "images"]


@pytest.fixture
def shipped() -> Data:
    return load_config(dataset="coco").config.data


@pytest.fixture
def mini(shared: Path) -> Path:
    """Sixteen pictures of COCO in its own layout."""
    if not (shared / "data/coco_mini").is_dir():
        pytest.skip("shared/data/coco_mini is not at hand")
    return shared / "data/coco_mini"


@pytest.mark.parametrize("folder", LAYOUTS)
@pytest.mark.parametrize(("split", "pictures"), [("train", 4), ("val", 2)])
def test_pictures_are_found_in_the_root_and_in_images(tmp_path, shipped, folder, split, pictures):
    name, annotations = load_split(shipped, split, coco(tmp_path, folder))
    assert (name, len(annotations.examples), annotations.label_spectrum) == (split, pictures, "rgb")
    assert all(one.ir is None and one.rgb.is_file() for one in annotations.examples)
    assert annotations.examples[0].rgb.parent == tmp_path / folder / f"{split}2017"


def test_without_a_split_it_is_val(tmp_path, shipped):
    assert load_split(shipped, None, coco(tmp_path))[0] == "val"


def test_an_empty_folder_in_the_root_does_not_hide_images(tmp_path, shipped):
    coco(tmp_path, "images")
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017/.DS_Store").touch()
    assert load_split(shipped, "val", tmp_path)[1].examples[0].rgb.parent == tmp_path / "images/val2017"


def test_real_coco_files_are_read_in_both_layouts(mini, tmp_path, shipped):
    for source, target in (("annotations", ""), ("train2017", "images"), ("val2017", "images")):
        (tmp_path / target / source).mkdir(parents=True)
        for file in (mini / source).iterdir():
            shutil.copyfile(file, tmp_path / target / source / file.name)
    for root in (mini, tmp_path):
        for split, pictures, objects, crowd in (("train", 13, 100, 1), ("val", 3, 77, 0)):
            _, annotations = load_split(shipped, split, root)
            assert len(annotations.examples) == pictures
            assert all(one.rgb.is_file() for one in annotations.examples)
            assert sum(len(one.objects) for one in annotations.examples) == objects
            assert sum(int(one.objects.crowd.sum()) for one in annotations.examples) == crowd


def test_heads_of_91_slots_and_contiguous_ones_keep_the_ids_of_coco(mini, shipped):
    _, annotations = load_split(shipped, "train", mini)
    names, ids = class_slots("category_ids", 91, annotations, shipped.classes)
    assert (len(names), names[1], names[12], names[90]) == (91, "person", None, "toothbrush")
    assert [number for number, key in enumerate(ids) if key is not None] == [key for key in ids if key is not None]
    names, ids = class_slots("names", 0, annotations, shipped.classes)
    assert (len(names), names[0], ids[0], names[79], ids[79], ids[11]) == (80, "person", 1, "toothbrush", 90, 13)


@pytest.mark.parametrize(("labels", "slots"), [("category_ids", {1, 3, 90}), ("names", {0, 1, 2})])
def test_crowd_regions_are_no_targets_and_labels_are_slots(tmp_path, shipped, labels, slots):
    _, annotations = load_split(shipped, "train", coco(tmp_path))
    names, ids = class_slots(labels, 91 if labels == "category_ids" else 0, annotations)
    conventions = Conventions(spectra=("rgb",), classes=names, category_ids=ids)
    samples = list(PairDataset(annotations, conventions, augment=None, seed=0))
    assert [len(sample.targets.labels) for sample in samples] == [3, 0, 3, 3]
    assert set(samples[0].targets.labels.tolist()) == slots


def test_what_is_found_in_a_crowd_does_not_count_as_in_pycocotools(tmp_path, shipped):
    root = coco(tmp_path)
    truth = root / "annotations/instances_val2017.json"
    content = json.loads(truth.read_text())
    found = [
        {"image_id": one["image_id"], "category_id": one["category_id"], "bbox": one["bbox"], "score": 0.5}
        for one in content["annotations"]
        if not one["iscrowd"]
    ]
    crowd = {"image_id": 139, "category_id": 1, "bbox": [CROWD[0] + 2, CROWD[1] + 2, 10, 8], "score": 0.9}
    stray = {"image_id": 140, "category_id": 3, "bbox": [1, 1, 10, 10], "score": 0.9}
    (root / "found.json").write_text(json.dumps([crowd, stray, *found]))
    report = evaluate_files(root / "found.json", truth)
    assert report.per_class["person"].ap == pytest.approx(1)
    assert report.per_class["car"].ap == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(list(report.numbers.values()), pycocotools(truth, root / "found.json"))
    assert evaluate_coco(load_split(shipped, "val", root)[1], {}).ap == 0


def pycocotools(truth: Path, found: Path) -> list[float]:
    """The twelve numbers of the tool itself on the files as they are."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations = COCO(str(truth))
    judge = COCOeval(annotations, annotations.loadRes(str(found)), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return judge.stats.tolist()


# Folders in the settings


def test_one_folder_may_be_written_without_a_list():
    assert Split(annotations=("a",), rgb="r").rgb == Split(annotations=("a",), rgb=["r"]).rgb == ("r",)
    assert Split(annotations=("a",), rgb="").rgb == ()
    said = ["data.splits.val.rgb=pictures"]
    assert load_config(dataset="coco", overrides=said).config.data.splits["val"].rgb == ("pictures",)


@pytest.mark.parametrize(
    ("value", "message"), [("3", "must be text in quotes"), ("[3]", r"rgb\[0\] = 3|rgb\.0 = 3|must be text")]
)
def test_a_folder_that_is_no_text_is_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        load_config(dataset="coco", overrides=[f"data.splits.val.rgb={value}"])


def test_own_pictures_of_other_names_are_read_too(tmp_path, shipped):
    root = coco(tmp_path)
    (root / "val2017").rename(root / "pictures")
    data = load_config(dataset="coco", overrides=["data.splits.val.rgb=pictures"]).config.data
    assert load_split(data, "val", root)[1].examples[0].rgb.is_file()


# What is wrong


def test_a_missing_annotation_file_is_named(tmp_path, shipped):
    root = coco(tmp_path)
    (root / "annotations/instances_val2017.json").unlink()
    with pytest.raises(DatasetError, match=r"there is no annotations/instances_val2017\.json in .*--data-root"):
        load_split(shipped, None, root)


@pytest.mark.parametrize("left", ["nothing", "empty", "hidden", "file"])
def test_pictures_in_neither_place_are_told_with_both(tmp_path, shipped, left):
    root = coco(tmp_path)
    shutil.rmtree(root / "val2017")
    if left in ("empty", "hidden"):
        (root / "val2017").mkdir()
    if left != "nothing":
        (root / {"empty": "images", "hidden": "val2017/.x", "file": "val2017"}[left]).touch()
    with pytest.raises(DatasetError, match="names 2 pictures, and there are none in val2017 or images/val2017 of"):
        load_split(shipped, None, root)
    assert load_split(shipped, "train", root)[0] == "train"


def test_a_split_without_pictures_needs_no_folder(tmp_path, shipped):
    root = coco(tmp_path)
    shutil.rmtree(root / "val2017")
    path = root / "annotations/instances_val2017.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "images": [], "annotations": []}))
    assert load_split(shipped, "val", root)[1].examples == ()


WRONG = {
    "no annotations": (lambda root: shutil.rmtree(root / "annotations"), "no annotations/instances_train2017.json in"),
    "no pictures": (lambda root: shutil.rmtree(root / "train2017"), "there are none in train2017 or images/train2017"),
    "id 91": (lambda root: rewrite(root, {**CATEGORIES, 91: "hair brush"}), "has id 91, model.outputs = 91"),
    "0 classes": (lambda root: rewrite(root, {}), "has no classes; an annotation file names one at least"),
}


def rewrite(root: Path, categories: dict[int, str]) -> None:
    shutil.rmtree(root)
    coco(root, categories=categories)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_download_is_one_sentence_and_exit_2(tmp_path, capsys, case):
    spoil, sentence = WRONG[case]
    spoil(coco(tmp_path / "coco"))
    words = ["train", "--dataset", "coco", "--data-root", str(tmp_path / "coco"), "--from-scratch", "--dry-run"]
    assert main([*words, "-o", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert sentence in line


def test_a_pair_model_says_that_there_is_no_infrared(tmp_path, capsys):
    words = ["train", "--dataset", "coco", "--data-root", str(coco(tmp_path / "c")), "--from-scratch"]
    words += ["--model", "caff-lite-dino-r18", "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert main(words) == 2
    assert "has no ir pictures, and the model looks at rgb and ir" in capsys.readouterr().err
    assert not (tmp_path / "run/checkpoints").exists()


# Converting


@pytest.mark.parametrize("folder", LAYOUTS)
def test_a_download_is_converted_with_its_ids_and_crowd_regions(tmp_path, folder):
    report = convert("coco", coco(tmp_path / "raw", folder), tmp_path / "out")
    assert (report.spectra, report.label_spectrum, report.classes) == (("rgb",), "rgb", tuple(CATEGORIES.values()))
    assert {name: (one.pictures, one.boxes) for name, one in report.splits.items()} == {"train": (4, 10), "val": (2, 4)}
    data = load_config(dataset=str(tmp_path / "out")).config.data
    assert (data.model, data.recipe) == ("lite-dino-r50-h3l1-2p1x3", "lite-dino")
    _, annotations = load_split(data, "train")
    assert [category.id for category in annotations.categories] == list(CATEGORIES)
    assert annotations.examples[0].rgb.is_file()
    assert annotations.examples[0].objects.crowd.tolist() == [False, False, False, True]
    assert annotations.examples[0].objects.areas[0] == 20 * 18.5 / 2


def test_some_classes_and_thermal_pictures_are_converted_too(tmp_path, capsys):
    words = ["convert", "coco", str(coco(tmp_path / "raw")), "-o", str(tmp_path / "out"), "--label-spectrum", "ir"]
    assert main([*words, "--classes", "car"]) == 0
    assert "classes: car; boxes in ir pixels" in capsys.readouterr().out
    config = load_config(dataset=str(tmp_path / "out")).config
    assert (config.model.spectra, config.data.label_spectrum) == (("ir",), "ir")
    _, annotations = load_split(config.data, "val")
    assert (annotations.examples[0].rgb, len(annotations.examples[0].objects)) == (None, 1)


def test_of_two_years_the_later_is_converted(tmp_path):
    root = coco(tmp_path / "raw")
    shutil.copyfile(root / "annotations/instances_val2017.json", root / "annotations/instances_val2014.json")
    assert convert("coco", root, tmp_path / "out").splits["val"].pictures == 2


def test_a_download_without_pictures_is_not_converted(tmp_path):
    root = coco(tmp_path / "raw")
    shutil.rmtree(root / "train2017")
    with pytest.raises(DatasetError, match="there are no pictures in train2017 or images/train2017; unpack them there"):
        convert("coco", root, tmp_path / "out")
    assert not (tmp_path / "out").exists()
