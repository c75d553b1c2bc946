"""Late fusion scored on a data set: beside its members, with what is written, told and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from late_members import CLASSES, Told, member

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.detections import DetectionArrays, read_detections
from caffdet_cli.errors import ConfigError, DatasetError, WeightsError
from caffdet_cli.evaluation.coco import NUMBERS, ClassScore, CocoReport, evaluate_coco
from caffdet_cli.evaluation.detector import evaluate
from caffdet_cli.evaluation.files import evaluate_files
from caffdet_cli.evaluation.report import SpectraReport, class_table, summary_table, to_json, verdict
from caffdet_cli.inference.ensemble import fuse_all
from caffdet_cli.main import main
from caffdet_cli.settings.data import PerImageRule, RangeRule
from caffdet_cli.settings.late import Late

ALL = Late(iou=0.1, least=0, prior=None)  # untrained detectors are unsure of everything
HOW = {"device": "cpu", "workers": 0}


@pytest.fixture
def pairs(make_pairs) -> Path:
    """A data set of two pairs whose boxes are in infrared pixels."""
    root = make_pairs(count=2).root
    (root / "dataset.toml").write_text('[data]\nroot = "."\n[data.splits.val]\nannotations = ["train.json"]\n')
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, str]:
    """Detectors by name."""
    root = tmp_path_factory.mktemp("members")
    kinds = {
        "rgb": (("rgb",), {}),
        "ir": (("ir",), {}),
        "pair": (("ir", "rgb"), {"thermal": RangeRule(low=10, high=20)}),
        "other": (("rgb", "ir"), {}),
        "cars": (("ir",), {"classes": ("car", None, "dog"), "thermal": PerImageRule()}),
        "dogs": (("ir",), {"classes": ("dog", "cat")}),
        "rgb2": (("rgb",), {}),
        "ir2": (("ir",), {}),
    }
    return {
        name: member(root / f"{name}.safetensors", *spectra, seed=seed, **changes)
        for seed, (name, (spectra, changes)) in enumerate(kinds.items())
    }


@pytest.fixture
def rgb(made) -> str:
    return made["rgb"]


@pytest.fixture
def ir(made) -> str:
    return made["ir"]


def test_both_are_scored_together_and_each_as_if_it_were_alone(pairs, rgb, ir, tmp_path):
    report = evaluate(rgb, str(pairs), weights_ir=ir, late=ALL, output=tmp_path / "out", **HOW)
    assert list(report.spectra) == ["late", "rgb", "ir"]
    for name, weights in (("rgb", rgb), ("ir", ir)):
        assert report.spectra[name] == evaluate(weights, str(pairs), **HOW).spectra[name]
    written = {name: tmp_path / "out" / f"detections-{name}.json" for name in report.spectra}
    for name, path in written.items():
        assert evaluate_files(path, pairs / "train.json").numbers == report.spectra[name].numbers
    truth = read_coco(pairs / "train.json")
    found = {name: read_detections(path, truth) for name, path in written.items()}
    fused = fuse_all(found["rgb"], found["ir"], ALL)
    counts = {name: sum(len(each.scores) for each in one.values()) for name, one in found.items()}
    assert counts["late"] < counts["rgb"] + counts["ir"]
    for key, each in found["late"].items():
        np.testing.assert_allclose(each.scores, fused[key].scores, rtol=1e-6)
        np.testing.assert_allclose(each.boxes, fused[key].boxes, atol=1e-3)


def test_the_receipt_names_both_detectors_and_how_they_were_fused(pairs, rgb, ir, tmp_path):
    evaluate(rgb, str(pairs), weights_ir=ir, late=Late(iou=0.6, least=0, prior=0.1), output=tmp_path / "out", **HOW)
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    assert (receipt["weights"]["name"], receipt["weights_ir"]["name"]) == ("rgb.safetensors", "ir.safetensors")
    assert receipt["weights"]["sha256"] != receipt["weights_ir"]["sha256"]
    assert (receipt["conventions"]["spectra"], receipt["conventions_ir"]["spectra"]) == (["rgb"], ["ir"])
    assert receipt["settings"]["late"] == {"iou": 0.6, "least": 0.0, "prior": 0.1}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["late"] == {"iou": 0.6, "least": 0.0, "prior": 0.1}


def test_results_of_a_late_fusion_go_when_others_take_their_place(pairs, rgb, ir, tmp_path):
    evaluate(rgb, str(pairs), weights_ir=ir, output=tmp_path / "out", **HOW)
    evaluate(rgb, str(pairs), output=tmp_path / "out", overwrite=True, **HOW)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["detections-rgb.json", "receipt.json", "report.json"]


def test_settings_change_what_is_one_object(pairs, rgb, ir, tmp_path):
    counts = []
    for late in (ALL, Late()):
        evaluate(rgb, str(pairs), weights_ir=ir, late=late, output=tmp_path / "out", overwrite=True, **HOW)
        counts.append(len(json.loads((tmp_path / "out" / "detections-late.json").read_text())))
    assert counts[0] < counts[1]


def test_a_pair_without_one_picture_is_left_to_the_other_detector(pairs, rgb, ir, tmp_path):
    content = json.loads((pairs / "train.json").read_text())
    content["images"][0]["file_name"] = None
    (pairs / "train.json").write_text(json.dumps(content))
    evaluate(rgb, str(pairs), weights_ir=ir, output=tmp_path / "out", **HOW)
    found = {name: json.loads((tmp_path / "out" / f"detections-{name}.json").read_text()) for name in ("late", "ir")}
    late, alone = ([each for each in found[name] if each["image_id"] == 0] for name in ("late", "ir"))
    assert alone
    assert sorted(each["score"] for each in late) == sorted(each["score"] for each in alone)
    assert {each["image_id"] for each in json.loads((tmp_path / "out" / "detections-rgb.json").read_text())} == {1}


def test_a_pair_detector_may_be_a_member_and_what_that_means_is_told(pairs, made):
    report = evaluate(made["pair"], str(pairs), weights_ir=made["cars"], progress=(told := Told()), **HOW)
    assert list(report.spectra) == ["late", "pair", "ir"]
    assert any("both detectors look at ir" in line for line in told.lines)
    rules = next(line for line in told.lines if "thermal" in line)  # both read counts
    assert "--weights by range (low 10, high 20" in rules
    assert "--weights-ir by per-image; each is given its own" in rules
    report = evaluate(made["pair"], str(pairs), weights_ir=made["other"], progress=(told := Told()), **HOW)
    assert list(report.spectra) == ["late", "pair", "pair-ir"]
    assert any(line.startswith("stream order of --weights: ir, rgb; of --weights-ir: rgb, ir") for line in told.lines)


def test_classes_are_matched_by_name_and_those_of_one_detector_are_told(pairs, rgb, made, tmp_path):
    ir = made["cars"]
    how = {"late": ALL, "progress": (told := Told()), **HOW}
    evaluate(rgb, str(pairs), weights_ir=ir, output=tmp_path / "out", **how)
    assert not any("thermal" in line for line in told.lines)  # one of them alone reads counts
    assert "warning: only --weights knows 'person', 'bicycle': it alone decides about that" in told.lines
    assert "warning: only --weights-ir knows 'dog': it alone decides about that" in told.lines
    found = {name: json.loads((tmp_path / "out" / f"detections-{name}.json").read_text()) for name in ("late", "rgb")}
    late, alone = (
        sorted((each["image_id"], each["score"]) for each in found[name] if each["category_id"] != 1)
        for name in ("late", "rgb")
    )
    assert late == alone  # car is 1


@pytest.mark.parametrize(
    ("weights", "weights_ir", "more", "said"),
    [
        ("rgb", "rgb2", {}, "--weights-ir .* looks at rgb alone, as --weights does"),
        ("ir2", "ir", {}, "--weights .* looks at ir alone, as --weights-ir does; .* looks at rgb"),
        ("ir", "rgb", {}, "exchange them"),
        ("pair", "pair", {}, "are the same file"),
        ("rgb", "dogs", {}, "'person', 'car', 'bicycle', and .* finds 'dog', 'cat': they have no class in common"),
        ("rgb", "ir", {"spectrum": "ir"}, "--spectrum is of one detector"),
        ("rgb", "ir", {"against": ("rgb", "ir")}, "--against is of one detector"),
    ],
)
def test_two_that_do_not_go_together_are_refused(pairs, made, tmp_path, weights, weights_ir, more, said):
    with pytest.raises(ConfigError, match=said) as told:
        evaluate(made[weights], str(pairs), weights_ir=made[weights_ir], output=tmp_path / "out", **more, **HOW)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_a_members_spectrum_is_refused(pairs, rgb, ir):
    content = json.loads((pairs / "train.json").read_text())
    for image in content["images"]:
        image["file_name"] = None
    (pairs / "train.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"train\.json has no rgb pictures, and --weights .*rgb\.safetensors"):
        evaluate(rgb, str(pairs), weights_ir=ir, **HOW)


def test_a_broken_second_detector_is_told_before_the_first_has_looked(pairs, rgb, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        evaluate(rgb, str(pairs), weights_ir=str(tmp_path / "bad.safetensors"), progress=(told := Told()), **HOW)
    assert told.lines == []


def result(ap: float) -> CocoReport:
    return CocoReport(**dict.fromkeys(NUMBERS.values(), ap), per_class={"person": ClassScore(ap, ap)}, images=7)


def fused(late: float, rgb: float, ir: float) -> SpectraReport:
    return SpectraReport({"late": result(late), "rgb": result(rgb), "ir": result(ir)}, late=Late())


def test_json_keeps_its_form_and_has_the_settings_of_the_fusion():
    value = to_json(fused(0.4, 0.2, 0.3))
    assert list(value) == ["schema", "metric", "spectra", "images", "late", "fusion_pays"]
    assert {name: entry["AP"] for name, entry in value["spectra"].items()} == {"late": 0.4, "rgb": 0.2, "ir": 0.3}
    assert (value["fusion_pays"], to_json(fused(0.3, 0.2, 0.3))["fusion_pays"]) == (True, False)
    assert to_json(fused(-1.0, -1.0, -1.0))["fusion_pays"] is None


def test_words_and_tables_name_both_detectors():
    report = fused(0.4, 0.2, 0.3)
    assert summary_table(report).columns == ["", "late fusion", "rgb alone", "ir alone"]
    assert class_table(report).rows == [["person", "40.0", "20.0", "30.0"]]
    judged = verdict(report)
    assert judged is not None
    assert judged.sentence == "The late fusion pays: AP 40.0 for both detectors together, 30.0 for ir alone."
    poor = verdict(fused(0.1, 0.2, 0.15))
    assert poor is not None
    assert poor.sentence.startswith("The late fusion does not pay: AP 10.0 for both detectors together, 20.0 for rgb")


def test_the_command_prints_both_beside_each_other(pairs, rgb, ir, capsys):
    words = ["eval", "--weights", rgb, "--weights-ir", ir, "--dataset", str(pairs), "--device", "cpu", "--workers", "0"]
    assert main([*words, "--late", "iou=0.4", "--late", "prior=0.1", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert list(value["spectra"]) == ["late", "rgb", "ir"]
    assert value["late"] == {"iou": 0.4, "least": 0.3, "prior": 0.1}
    assert main([*words, "--metric", "mr", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["spectra"]) == ["late", "rgb", "ir"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", "--weights", "w", "--dataset", "demo", "--late", "iou=0.4"], "add --weights-ir"),
        (["eval", "--weights", "w", "--weights-ir", "v", "--dataset", "demo", "--late", "iou=4"], "--late iou=4"),
        (["eval", "--predictions", "p", "--annotations", "a", "--weights-ir", "w"], "--weights-ir: of a detector"),
        (["predict", "--weights", "w", "--rgb", "r", "-o", "d", "--late", "iou=0.4"], "add --weights-ir"),
    ],
)
def test_words_that_do_not_go_together_are_one_sentence(words, said, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_what_fusion_adds_shows_in_the_figures():
    """Each member sees one of two objects: together they see both."""
    boxes = np.array([[0.0, 0, 20, 20], [40, 0, 60, 20]])
    objects = Objects(boxes, np.zeros(2, np.int64), np.full(2, 400.0), np.zeros(2, np.bool_), (1, 2))
    categories = tuple(Category(number, name) for number, name in enumerate(CLASSES))
    truth = AnnotationSet((Example(1, Path("a"), Path("b"), 64, 48, objects),), categories, "ir", Path("t.json"))
    members = [
        {1: DetectionArrays(boxes[[row]], np.zeros(1, np.int64), np.array([score]))}
        for row, score in ((0, 0.9), (1, 0.6))
    ]
    assert [evaluate_coco(truth, each).ar100 for each in members] == [0.5, 0.5]
    assert evaluate_coco(truth, fuse_all(*members, Late())).ap == pytest.approx(1)
