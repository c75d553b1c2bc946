"""How results read: JSON in the form of the contract, tables, and whether a fusion pays."""

import json
from typing import Any

import pytest

from caffdet_cli.evaluation.coco import NUMBERS, ClassScore, CocoReport
from caffdet_cli.evaluation.report import (
    SpectraReport,
    class_table,
    percent,
    summary_table,
    to_json,
    verdict,
    write_report,
)


def result(ap: float, **figures: Any) -> CocoReport:
    """A report in which everything but the AP is the same."""
    others = dict.fromkeys(set(NUMBERS.values()) - {"ap"}, 0.5)
    classes = {"person": ClassScore(ap, 0.75), "car": ClassScore(-1.0, -1.0)}
    return CocoReport(**{**others, "ap": ap, "per_class": classes, "images": 12, **figures})


def fused(pair: float, rgb: float, ir: float) -> SpectraReport:
    """A pair model, and detectors trained on rgb and ir alone."""
    spectra = {"pair": result(pair), "rgb": result(0.1), "ir": result(0.2)}
    return SpectraReport(spectra, against={"rgb": result(rgb), "ir": result(ir)})


def test_json_of_a_file_is_that_of_the_contract():
    value = to_json(SpectraReport({"file": result(0.25, ap_small=-1.0)}))
    assert list(value) == ["schema", "metric", "spectra", "images"]
    assert (value["schema"], value["metric"], value["images"]) == (1, "coco", 12)
    (entry,) = value["spectra"].values()
    assert list(value["spectra"]) == ["file"]
    assert list(entry) == [*NUMBERS, "per_class"]
    assert (entry["AP"], entry["APs"], entry["AR100"]) == (0.25, -1.0, 0.5)
    assert entry["per_class"] == {"person": {"AP": 0.25, "AP50": 0.75}, "car": {"AP": -1.0, "AP50": -1.0}}


def test_json_of_a_pair_has_each_spectrum_and_the_detectors_it_is_compared_with():
    value = to_json(fused(0.4, 0.2, 0.3))
    assert {name: entry["AP"] for name, entry in value["spectra"].items()} == {"pair": 0.4, "rgb": 0.1, "ir": 0.2}
    assert {name: entry["AP"] for name, entry in value["against"].items()} == {"rgb": 0.2, "ir": 0.3}
    assert value["fusion_pays"] is True


def test_a_written_report_is_the_printed_one(tmp_path):
    report = fused(0.4, 0.2, 0.3)
    write_report(report, tmp_path / "eval.json")
    assert json.loads((tmp_path / "eval.json").read_text()) == to_json(report)


@pytest.mark.parametrize(("rgb", "ir", "better"), [(0.41, 0.2, "rgb"), (0.2, 0.41, "ir"), (0.4, 0.1, "rgb")])
def test_a_fusion_that_does_not_beat_the_better_single_detector_is_flagged(rgb, ir, better):
    judged = verdict(fused(0.4, rgb, ir))
    assert judged is not None
    assert not judged.pays
    assert judged.sentence.startswith("The fusion does not pay: AP 40.0 for the pair, 4")
    assert f"trained on {better} alone" in judged.sentence


def test_a_fusion_that_beats_both_pays():
    judged = verdict(fused(0.4, 0.39, 0.2))
    assert judged is not None
    assert judged.pays
    assert judged.sentence == "The fusion pays: AP 40.0 for the pair, 39.0 for the detector trained on rgb alone."


def test_the_fusion_with_a_spectrum_removed_is_no_yardstick():
    spectra = {"pair": result(0.4), "rgb": result(0.1), "ir": result(0.9)}
    judged = verdict(SpectraReport(spectra, against={"rgb": result(0.1), "ir": result(0.3)}))
    assert judged is not None
    assert judged.pays


@pytest.mark.parametrize(
    "report",
    [
        SpectraReport({"file": result(0.4)}),
        SpectraReport({"rgb": result(0.4)}, against={"rgb": result(0.1), "ir": result(0.2)}),
        SpectraReport({"pair": result(0.4), "rgb": result(0.1), "ir": result(0.1)}),
        fused(-1.0, -1.0, -1.0),
    ],
)
def test_without_a_comparison_there_is_no_verdict(report):
    assert verdict(report) is None


def test_an_undefined_comparison_is_null_in_json():
    assert to_json(fused(-1.0, -1.0, -1.0))["fusion_pays"] is None


@pytest.mark.parametrize(("value", "text"), [(0.4567, "45.7"), (0.0, "0.0"), (1.0, "100.0"), (-1.0, "-")])
def test_percent_has_one_decimal_and_a_dash_where_undefined(value, text):
    assert percent(value) == text


def test_the_summary_has_a_row_for_each_number_and_a_column_for_each_detector():
    columns, rows = summary_table(fused(0.4, 0.2, 0.3))
    assert columns == ["", "pair", "pair without ir", "pair without rgb", "rgb alone", "ir alone"]
    assert [row[0] for row in rows] == list(NUMBERS)
    assert rows[0] == ["AP", "40.0", "10.0", "20.0", "20.0", "30.0"]


def test_a_detector_of_one_spectrum_is_called_by_it():
    assert summary_table(SpectraReport({"ir": result(0.4)})).columns == ["", "ir"]


def test_the_class_table_has_a_row_for_each_class():
    columns, rows = class_table(SpectraReport({"file": result(0.4)}), "AP50")
    assert columns == ["AP50", "file"]
    assert rows == [["person", "75.0"], ["car", "-"]]
