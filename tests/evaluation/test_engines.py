"""Both engines give the same figures, and the right one is taken."""

import json

import pytest
from hypothesis import given, settings
from test_evaluation_coco import build, cases, random_case

from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.evaluation import engines
from caffdet_cli.evaluation.coco import CocoReport, evaluate_coco
from caffdet_cli.evaluation.engines import about_engine, choose_engine
from caffdet_cli.evaluation.files import evaluate_files

SAME = 1e-9


@pytest.fixture(scope="module", autouse=True)
def faster() -> None:
    pytest.importorskip("faster_coco_eval")


def assert_same(one: CocoReport, other: CocoReport) -> None:
    assert one.numbers == pytest.approx(other.numbers, abs=SAME)
    assert list(one.per_class) == list(other.per_class)
    for name, score in one.per_class.items():
        assert score == pytest.approx(other.per_class[name], abs=SAME)
    assert one.images == other.images


@pytest.mark.parametrize("seed", range(8))
def test_figures_are_equal_on_crowds_ties_and_all_sizes(seed):
    truth, detections = random_case(seed, pictures=20)
    assert_same(*(evaluate_coco(truth, detections, engine=name) for name in ("faster-coco-eval", "pycocotools")))


@settings(max_examples=60)
@given(cases)
def test_figures_are_equal_on_any_data(case):
    truth, detections = build(case)
    assert_same(*(evaluate_coco(truth, detections, engine=name) for name in ("faster-coco-eval", "pycocotools")))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("name", ["train2017", "val2017"])
def test_figures_are_equal_on_real_pictures(shared, kind, name):
    truth = shared / f"data/coco_mini/annotations/instances_{name}.json"
    found = shared / f"data/coco_eval/coco_mini_{name}_detections.json"
    reports = (evaluate_files(found, truth, kind=kind, engine=engine) for engine in ("faster-coco-eval", "pycocotools"))
    assert_same(*reports)


def test_the_faster_one_is_taken_where_it_works():
    assert choose_engine() == "faster-coco-eval"
    assert choose_engine("pycocotools") == "pycocotools"
    assert about_engine()[0].startswith("faster-coco-eval 1")


@pytest.mark.parametrize("trouble", [ModuleNotFoundError("no"), OSError("libc.so.99"), RuntimeError("numpy 3")])
def test_one_that_is_missing_or_broken_is_done_without(monkeypatch, trouble):
    def fails(name: str) -> None:
        raise trouble

    monkeypatch.setattr(engines, "import_module", fails)
    assert choose_engine() == "pycocotools"
    assert about_engine()[0].startswith("pycocotools 2")
    assert "caffdet[fast-eval]" in about_engine()[1]
    with pytest.raises(ConfigError, match="pip install"):
        choose_engine("faster-coco-eval")
    truth, detections = random_case(0)
    assert evaluate_coco(truth, detections).numbers == evaluate_coco(truth, detections, engine="pycocotools").numbers


def test_an_unknown_engine_is_refused():
    with pytest.raises(ConfigError, match="'magic' is no engine"):
        choose_engine("magic")  # type: ignore[arg-type]


def test_objects_without_a_mask_are_named(shared, tmp_path):
    truth = shared / "data/coco_mini/annotations/instances_val2017.json"
    found = json.loads((shared / "data/coco_eval/coco_mini_val2017_detections.json").read_text())
    del found[4]["segmentation"]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(found))
    with pytest.raises(DatasetError, match=r"entry 4\.segmentation is missing"):
        evaluate_files(path, truth, kind="segm")
