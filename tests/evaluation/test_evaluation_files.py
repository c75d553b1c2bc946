"""Scoring files of detections: the reference figures, and what is said of files that cannot be right."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.coco import CocoReport
from caffdet_cli.evaluation.files import evaluate_files
from caffdet_cli.progress import Progress

ENTRIES = (
    "coco_mini_train2017",
    "coco_mini_val2017",
    "llvip_mini_train",
    "llvip_mini_test",
    "flir_layout_train",
    "llvip_mini_train_ids_from_0",
)
WITH_MASKS = ENTRIES[:2]
ENGINES = ("pycocotools", "faster-coco-eval")
TRUTH = {
    "images": [{"id": "a", "width": 64, "height": 48, "file_name": "a.jpg"}, {"id": 0, "width": 64, "height": 48}],
    "annotations": [
        {"id": 0, "image_id": "a", "category_id": 0, "bbox": [1, 2, 30, 40]},
        {"id": 1, "image_id": 0, "category_id": 9, "bbox": [5, 5, 20, 20]},
    ],
    "categories": [{"id": 9, "name": "car"}, {"id": 0, "name": "person"}],
}
FOUND = [
    {"image_id": "a", "category_id": 0, "bbox": [1, 2, 30, 40], "score": 0.9},
    {"image_id": 0, "category_id": 9, "bbox": [5, 5, 20, 12], "score": 0.8},
]


@pytest.fixture
def files(tmp_path: Path) -> "Files":
    return Files(tmp_path)


class Files:
    """An annotation file and a file of detections, as JSON or as raw bytes."""

    def __init__(self, folder: Path):
        self.predictions, self.annotations = folder / "predictions.json", folder / "annotations.json"

    def score(self, found: Any = FOUND, truth: Any = TRUTH, progress: Progress | None = None) -> CocoReport:
        for path, content in ((self.predictions, found), (self.annotations, truth)):
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return evaluate_files(self.predictions, self.annotations, progress)


def test_the_reference_has_no_entry_that_is_not_tested(shared):
    reference = json.loads((shared / "data/coco_eval/reference.json").read_text())
    assert {name for name, entry in reference.items() if isinstance(entry, dict)} == set(ENTRIES)


def test_every_entry_with_masks_is_tested_with_them(shared):
    reference = json.loads((shared / "data/coco_eval/reference.json").read_text())
    assert [name for name in ENTRIES if "segm" in reference[name]] == list(WITH_MASKS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("entry", "kind"), [*((name, "bbox") for name in ENTRIES), *((name, "segm") for name in WITH_MASKS)]
)
def test_figures_are_those_of_the_reference_to_the_last_digit(shared, entry, kind, engine):
    if engine == "faster-coco-eval":
        pytest.importorskip("faster_coco_eval")
    folder = shared / "data"
    reference = json.loads((folder / "coco_eval/reference.json").read_text())
    case = reference[entry]
    right = case[kind] if kind in case else reference["llvip_mini_train"][kind]  # ids from 0: pycocotools is wrong
    truth = folder / case["ground_truth"]
    names = {str(category["id"]): category["name"] for category in json.loads(truth.read_text())["categories"]}

    report = evaluate_files(folder / "coco_eval" / case["detections"], truth, kind=kind, engine=engine)

    same = {name: pytest.approx(value, abs=1e-14) for name, value in right["stats"].items()}  # sums differ by machine
    assert report.numbers == same
    defined = {name: {"AP": score.ap, "AP50": score.ap50} for name, score in report.per_class.items() if score.ap >= 0}
    assert defined == {names[key]: pytest.approx(scores, abs=1e-14) for key, scores in right["per_category"].items()}


def test_classes_are_told_apart_by_id_and_named(files):
    report = files.score()
    assert list(report.per_class) == ["car", "person"]
    assert report.per_class["person"] == (pytest.approx(1), pytest.approx(1))
    assert report.per_class["car"] == (pytest.approx(0.3), pytest.approx(1))  # IoU 0.6
    assert report.images == 2


def test_annotation_ids_from_0_and_from_1_are_the_same(files):
    later = [{**one, "id": one["id"] + 1} for one in TRUTH["annotations"]]
    assert files.score() == files.score(truth={**TRUTH, "annotations": later})


def test_nothing_found_is_a_result(files):
    report = files.score(found=[])
    assert (report.ap, report.ar100) == (0, 0)


def test_annotations_that_do_not_count_are_told(files):
    class Told(Progress):
        said: list[str] = []  # noqa: RUF012  # one object

        def warn(self, text: str) -> None:
            self.said.append(text)

    flat = {"id": 2, "image_id": "a", "category_id": 0, "bbox": [1, 2, 0, 40]}
    told = Told()
    assert files.score(truth={**TRUTH, "annotations": [*TRUTH["annotations"], flat]}, progress=told) == files.score()
    assert len(told.said) == 1
    assert "1 box without area (dropped)" in told.said[0]


def changed(**values: Any) -> list[dict[str, Any]]:
    """The detections with keys of the second one replaced."""
    return [FOUND[0], {**FOUND[1], **values}]


def without(key: str) -> list[dict[str, Any]]:
    return [FOUND[0], {name: value for name, value in FOUND[1].items() if name != key}]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (changed(image_id=7), "entry 1: image_id 7 is not in"),
        (changed(image_id="0"), "entry 1: image_id '0' is not in"),
        (changed(image_id=True), "entry 1: image_id is a truth value"),
        (changed(image_id=0.0), "entry 1: image_id is a number"),
        (changed(image_id=None), "entry 1: image_id is a null"),
        (changed(category_id=1), "entry 1: category_id 1 is not in"),
        (changed(category_id=False), "entry 1: category_id is a truth value"),
        (changed(category_id="9"), "entry 1: category_id is a text"),
        (changed(score=float("nan")), "entry 1: score = nan is not a number"),
        (changed(score=float("inf")), "entry 1: score = inf is not a number"),
        (changed(score="0.5"), "entry 1: score is a text"),
        (changed(score=10**400), "entry 1: score = 1000"),
        (changed(bbox=[1, 2, 3]), "entry 1: bbox is not a list of four numbers"),
        (changed(bbox={"x": 1}), "entry 1: bbox is not a list of four numbers"),
        (changed(bbox=[1, 2, None, 4]), r"entry 1: bbox[2] is a null"),
        (changed(bbox=[1, 2, 3, float("-inf")]), r"entry 1: bbox[3] = -inf is not a number"),
        (changed(bbox=[1, 2, -3, 4]), "entry 1: bbox [1, 2, -3, 4] has a negative width or height"),
        (without("score"), "entry 1: score is missing"),
        (without("bbox"), "entry 1: bbox is missing"),
        (without("image_id"), "entry 1: image_id is missing"),
        (without("category_id"), "entry 1: category_id is missing"),
        ([FOUND[0], 5], "entry 1: a JSON object is needed, this is a number"),
        ({"detections": []}, "a list of detections is needed, this is a JSON object"),
        (TRUTH, "a list of detections is needed, this is an annotation file"),
        ("text", "a list of detections is needed, this is a text"),
        (b"", "it is empty"),
        (b"\xff\xfe\x00", "broken JSON"),
        (b'[{"score": ' + b"9" * 5000 + b"}]", "broken JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_detections_is_said_with_its_place(files, found, sentence):
    with pytest.raises(DatasetError) as caught:
        files.score(found=found)
    assert sentence in str(caught.value)
    assert str(files.predictions) in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["predictions", "annotations"])
@pytest.mark.parametrize("what", ["missing", "folder"])
def test_a_file_that_is_not_there_is_named(files, name, what):
    files.score()
    path = getattr(files, name)
    path.unlink()
    if what == "folder":
        path.mkdir()
    with pytest.raises(DatasetError, match=name):
        evaluate_files(files.predictions, files.annotations)


@pytest.mark.parametrize("name", ["found", "truth"])
def test_a_file_cut_off_at_any_byte_is_an_error_in_words(files, name):
    content = json.dumps(FOUND if name == "found" else TRUTH).encode()
    for length in range(len(content)):
        with pytest.raises(DatasetError):
            files.score(**{name: content[:length]})


@pytest.mark.parametrize("byte", [b"\x00", b'"', b"9", b"e", b"]", b"}", b"-", b"\xff"])
def test_a_wrong_byte_anywhere_is_a_result_or_an_error_in_words(files, byte):
    content = json.dumps(FOUND).encode()
    outcomes = [refused(files, content[:place] + byte + content[place + 1 :]) for place in range(len(content))]
    assert True in outcomes


def refused(files: Files, content: bytes) -> bool:
    """Whether detections are refused in words; any other error is let through."""
    try:
        files.score(found=content)
    except DatasetError:
        return True
    return False


def test_scoring_files_does_not_wait_for_torch():
    script = "import sys, caffdet_cli.evaluation.files, caffdet_cli.evaluation.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
