"""Miss rates of published detectors on the KAIST test set: every figure of the reference, to the last digit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.evaluation.kaist_files import read_kaist_folder
from caffdet_cli.evaluation.miss_rate import MissRateReport, evaluate_miss_rate, miss_at_points
from caffdet_cli.evaluation.miss_rate_files import evaluate_miss_rate_files
from caffdet_cli.evaluation.miss_rate_settings import SETTINGS, USUAL
from caffdet_cli.evaluation.miss_rate_truth import PARTS, miss_rate_truth

DETECTORS = ("MLPD", "MSDS-RCNN")
EXACT = 1e-11  # percent; sums differ by machine


@pytest.fixture(scope="module")
def reports(shared) -> dict[tuple[str, bool], MissRateReport]:
    folder = shared / "data/kaist_eval"
    truth = folder / "KAIST_annotation.json"
    return {
        (name, compatible): evaluate_miss_rate_files(
            folder / f"{name}_result.txt", truth, USUAL, compatible=compatible, progress=None
        )
        for name in DETECTORS
        for compatible in (False, True)
    }


def reference(shared: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((shared / "data/kaist_eval/reference.json").read_text())
    return content


def test_the_reference_has_no_entry_that_is_not_tested(shared):
    content = reference(shared)
    assert set(content) == set(DETECTORS)
    for settings in content.values():
        assert set(settings) == {setting.name for setting in USUAL}
        assert all(set(parts) == set(PARTS) for parts in settings.values())


@pytest.mark.parametrize("place", range(4), ids=[setting.name for setting in USUAL])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", DETECTORS)
def test_figures_are_those_of_the_reference(shared, reports, name, part, place):
    expected = reference(shared)[name][USUAL[place].name][part]
    honest = reports[name, False].scores[place].curves[part]
    assert 100 * honest.mean == pytest.approx(expected["MR_percent_all_gt_counted"], abs=EXACT)
    assert (honest.counted, honest.pictures) == (expected["gt_total"], expected["images"])

    public = reports[name, True].scores[place].curves[part]
    assert 100 * public.mean == pytest.approx(expected["MR_percent"], abs=EXACT)
    assert public.counted == expected["gt_counted"]
    nine = miss_at_points(public.fppi, public.miss, compatible=True)
    assert nine == pytest.approx(expected["miss_rate_at_9_fppi"], abs=EXACT / 100)
    recall = 100 * (1 - public.miss[-1])
    assert recall == pytest.approx(expected["final_recall_percent"], abs=EXACT)


def test_coco_results_give_the_same_as_result_lines(shared, tmp_path):
    folder = shared / "data/kaist_eval"
    rows = [line.split(",") for line in (folder / "MLPD_result.txt").read_text().split()]
    names = [image["im_name"] for image in json.loads((folder / "KAIST_annotation.json").read_text())["images"]]
    for kind in ("number", "name"):
        entries = [
            {
                "image_id": int(row[0]) - 1 if kind == "number" else names[int(row[0]) - 1].replace("/", "_"),
                "category_id": 1,
                "bbox": [float(value) for value in row[1:5]],
                "score": float(row[5]),
            }
            for row in rows
        ]
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(entries))
        report = evaluate_miss_rate_files(path, folder / "KAIST_annotation.json", USUAL[:1])
        assert 100 * report.scores[0].curves["all"].mean == pytest.approx(7.575611246270622, abs=EXACT)


def test_text_annotations_and_json_are_the_same_frames(shared):
    folder = shared / "data/kaist_mini"
    texts = read_kaist_folder(folder)
    document = miss_rate_truth(read_coco(folder / "kaist_annotations_mini.json"))
    assert len(texts.frames) == len(document.frames) == 6
    for one, other in zip(texts.frames, document.frames, strict=True):
        assert document.names[str(one.id)] == other.id
        assert (one.part, one.width, one.height) == (other.part, other.width, other.height)
        for key in ("boxes", "heights", "occlusions", "ignored"):
            np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    assert sum(frame.ignored.sum() for frame in texts.frames) == 4

    empty = evaluate_miss_rate(texts, {}, SETTINGS), evaluate_miss_rate(document, {}, SETTINGS)
    counted = [[score.curves["all"].counted for score in report.scores] for report in empty]
    assert counted[0] == counted[1]
