"""`caffdet eval`: a file of detections for real; how results of a detector are shown, with a stand-in for scoring."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from caffdet_cli.evaluation.coco import NUMBERS, ClassScore, CocoReport
from caffdet_cli.evaluation.report import SpectraReport
from caffdet_cli.main import main


@pytest.fixture
def detections(make_pairs) -> tuple[Path, Path]:
    """The truth of a small data set as detections, and its annotation file."""
    pairs = make_pairs(count=4)
    found = [
        {"image_id": one["image_id"], "category_id": one["category_id"], "bbox": one["bbox"], "score": 0.5}
        for one in pairs.content["annotations"]
    ]
    path = pairs.root / "found.json"
    path.write_text(json.dumps(found))
    return path, pairs.annotations


def words(detections: tuple[Path, Path], *more: str) -> list[str]:
    return ["eval", "--predictions", str(detections[0]), "--annotations", str(detections[1]), *more]


def test_a_file_of_detections_gives_a_table_of_all_numbers_and_classes(detections, capsys):
    assert main(words(detections)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split() for line in out.splitlines()]
    assert all([number, "100.0"] in lines or [number, "-"] in lines for number in ("AP", "AP50", "APs", "APl", "AR100"))
    assert ["4", "pictures,", "percent"] in lines
    assert lines.count(["person", "100.0"]) == 2  # AP and AP50


def test_a_file_of_detections_as_json_is_one_object_and_nothing_else(detections, capsys):
    assert main(words(detections, "--json")) == 0
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert err == ""
    assert (value["schema"], value["metric"], value["images"]) == (1, "coco", 4)
    assert value["spectra"]["file"]["AP"] == pytest.approx(1)
    assert set(value["spectra"]["file"]) == {*NUMBERS, "per_class"}


def test_a_wrong_file_is_one_sentence_and_nothing_on_standard_output(detections, capsys):
    detections[0].write_text('[{"image_id": 99, "category_id": 0, "bbox": [0, 0, 1, 1], "score": 0.5}]')
    assert main(words(detections, "--json")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {detections[0]}: entry 0: image_id 99 is not in {detections[1]}")
    assert err.count("\n") == 1


def test_alone_it_says_what_it_needs_what_exists_and_what_to_type(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/mine-1/checkpoints/best").mkdir(parents=True)
    assert main(["eval"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--weights and --dataset are missing" in err
    best = Path("runs", "mine-1", "checkpoints", "best")
    assert f"caffdet eval --weights {best} --dataset " in err
    assert "caffdet eval --predictions FILE --annotations FILE" in err


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--weights", "w"], "--dataset is missing"),
        (["--dataset", "demo"], "--weights is missing"),
        (["--predictions", "p.json"], "--annotations is missing"),
        (["--annotations", "a.json"], "--predictions is missing"),
        (["--predictions", "p", "--annotations", "a", "--weights", "w"], "--weights: of a detector"),
        (["--predictions", "p", "--annotations", "a", "--against", "x", "y", "-o", "d"], "--against, --output: of a"),
        (["--predictions", "no.json", "--annotations", "no.json"], "no.json"),
        (["--metric", "speed"], "--metric"),
    ],
)
def test_what_is_missing_or_does_not_go_together_is_said(given, sentence, capsys):
    assert main(["eval", *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err


def result(ap: float) -> CocoReport:
    return CocoReport(**dict.fromkeys(NUMBERS.values(), ap), per_class={"person": ClassScore(ap, ap)}, images=7)


@pytest.fixture
def scoring(monkeypatch) -> dict[str, Any]:
    """Puts a stand-in where detectors are scored; it keeps what it is told, and finds "pair" as good as said."""
    told: dict[str, Any] = {"ap": 0.5}

    def evaluate(weights: str, dataset: str, **more: Any) -> SpectraReport:
        told.update(more, weights=weights, dataset=dataset)
        alone = {"rgb": result(0.2), "ir": result(0.4)} if more["against"] else {}
        return SpectraReport({"pair": result(told["ap"]), "rgb": result(0.1), "ir": result(0.3)}, alone)

    module = ModuleType("caffdet_cli.evaluation.detector")
    module.evaluate = evaluate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return told


def test_options_reach_the_library_under_their_own_names(scoring):
    given = "--weights w --dataset demo --split test --spectrum ir --against r i --data-root root --device cpu -o out"
    more = "--precision bf16 --batch 3 --workers 0 --set data.licence=mine --overwrite --quiet"
    assert main(["eval", *given.split(), *more.split()]) == 0
    assert scoring.pop("progress") is not None
    assert scoring == {
        "ap": 0.5,
        "weights": "w",
        "dataset": "demo",
        "split": "test",
        "spectrum": "ir",
        "against": ("r", "i"),
        "data_root": "root",
        "device": "cpu",
        "output": "out",
        "precision": "bf16",
        "batch": 3,
        "workers": 0,
        "overrides": ["data.licence=mine"],
        "overwrite": True,
    }


def test_a_pair_model_is_shown_beside_its_single_spectra(scoring, capsys):
    assert main(["eval", "--weights", "w", "--dataset", "demo"]) == 0
    out = capsys.readouterr().out
    assert "pair  pair without ir  pair without rgb" in out
    assert "50.0             10.0              30.0" in out
    assert "fusion" not in out


def test_a_fusion_that_pays_says_so_below_the_table(scoring, capsys):
    assert main(["eval", "--weights", "w", "--dataset", "demo", "--against", "r", "i"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("The fusion pays: AP 50.0 for the pair, 40.0 for the detector trained on ir alone.\n")
    assert err == ""


@pytest.mark.parametrize("how", [[], ["--json"], ["--quiet"]])
def test_a_fusion_that_does_not_pay_is_a_warning_whatever_is_printed(scoring, capsys, how):
    scoring["ap"] = 0.4
    assert main(["eval", "--weights", "w", "--dataset", "demo", "--against", "r", "i", *how]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("warning: The fusion does not pay: AP 40.0 for the pair, 40.0 for the detector trained on ir")
    if "--json" in how:
        assert json.loads(out)["fusion_pays"] is False
