"""`caffdet eval --metric mr` and `--metric segm`: files for real, and a detector."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny import tiny_pair_settings

from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.evaluation.miss_rate import MissRateReport, evaluate_miss_rate
from caffdet_cli.evaluation.miss_rate_report import draw_reports, miss_rate_json, miss_rate_table
from caffdet_cli.evaluation.miss_rate_settings import SETTINGS, USUAL
from caffdet_cli.evaluation.miss_rate_truth import miss_rate_truth
from caffdet_cli.main import main
from caffdet_cli.models.build import detector
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Input
from caffdet_cli.weights.store import save_weights

TALL, SMALL, HEAVY = [100, 100, 40, 100], [300, 100, 20, 60], [400, 200, 30, 70]
NAMES = ("set06/V000/I00019", "set06/V000/I00039", "set09/V001/I00159")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two frames by day, one by night; the detector misses the small one and the occluded one."""
    boxes = [(0, TALL, 0, 0), (0, SMALL, 0, 0), (2, TALL, 1, 0), (2, HEAVY, 2, 0), (2, [0, 0, 600, 90], 0, 1)]
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": 1,
            "bbox": box,
            "height": box[3],
            "occlusion": level,
            "ignore": flag,
        }
        for number, (image, box, level, flag) in enumerate(boxes)
    ]
    truth = {
        "images": [{"id": key, "im_name": name, "width": 640, "height": 512} for key, name in enumerate(NAMES)],
        "annotations": annotations,
        "categories": [{"id": 0, "name": "__ignore__"}, {"id": 1, "name": "person"}, {"id": 3, "name": "people"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.txt").write_text("1,100,100,40,100,0.9\n3,100,100,40,100,0.8\n3,10,10,50,50,0.7\n")
    return tmp_path


def words(files: Path, *more: str, found: str = "found.txt", truth: str = "truth.json") -> list[str]:
    return ["eval", "--predictions", str(files / found), "--annotations", str(files / truth), "--metric", "mr", *more]


def printed(files: Path, capsys: pytest.CaptureFixture[str], *more: str, **names: str) -> dict[str, Any]:
    assert main(words(files, *more, "--json", **names)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    value: dict[str, Any] = json.loads(out)
    return value


NONE = pytest.approx(1e-8)


def test_json_has_the_form_that_other_programs_rely_on(files, capsys):
    value = printed(files, capsys)
    assert (value["schema"], value["metric"], value["compatible"], value["images"]) == (1, "mr", False, 3)
    assert [row["setting"] for row in value["settings"]] == [setting.name for setting in USUAL]
    assert [set(row) for row in value["settings"]] == [{"setting", "all", "day", "night", "counted"}] * 4
    reasonable, small, heavy, everybody = value["settings"]
    assert reasonable == {
        "setting": "Reasonable",
        "all": pytest.approx(100 / 3),
        "day": pytest.approx(50),
        "night": NONE,
        "counted": 3,
    }
    assert (small["all"], small["day"], small["night"], small["counted"]) == (pytest.approx(100), 100, None, 1)
    assert (heavy["all"], heavy["day"], heavy["night"]) == (100, None, 100)
    assert (everybody["all"], everybody["counted"]) == (50, 4)


def test_a_table_has_two_decimals_and_dashes_where_nothing_counts(files, capsys):
    assert main(words(files)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split() for line in out.splitlines()]
    assert ["log-average", "miss", "rate,", "3", "pictures,", "percent"] in lines
    assert ["Reasonable", "33.33", "50.00", "0.00", "3"] in lines
    assert ["Reasonable_occ=heavy", "100.00", "-", "100.00", "1"] in lines


def test_settings_are_chosen_by_name_or_written_out(files, capsys):
    value = printed(files, capsys, "--setting", "near", "--setting", "far,occ=partial", "--setting", "x:height=60..70")
    assert [row["setting"] for row in value["settings"]] == ["near", "far", "occ=partial", "x"]
    assert [row["counted"] for row in value["settings"]] == [0, 0, 1, 2]


def test_the_public_form_leaves_out_frames_without_detections_and_loses_id_0(files, capsys):
    (files / "found.txt").write_text("1,100,100,40,100,0.9\n")
    public = printed(files, capsys, "--compatible", "--setting", "Reasonable")
    assert public["compatible"] is True
    assert public["settings"][0]["counted"] == 2
    assert public["settings"][0]["all"] == 100  # the only match is to annotation 0
    assert printed(files, capsys, "--setting", "Reasonable")["settings"][0]["all"] == pytest.approx(200 / 3)
    assert main(words(files, "--compatible")) == 0
    assert "as the public script counts" in capsys.readouterr().out


@pytest.mark.parametrize("ids", [[0, 2, 2], [NAMES[0], NAMES[2], "set09_V001_I00159"]])
def test_coco_results_are_read_too(files, capsys, ids):
    boxes = [TALL, TALL, [10, 10, 50, 50]]
    found = [
        {"image_id": key, "category_id": 1, "bbox": box, "score": 0.9 - place / 10}
        for place, (key, box) in enumerate(zip(ids, boxes, strict=True))
    ]
    (files / "found.json").write_text(json.dumps(found))
    assert printed(files, capsys, found="found.json") == printed(files, capsys)


def test_a_folder_of_kaist_annotations_is_read_too(files, capsys):
    rows = {NAMES[0]: [TALL, SMALL], NAMES[1]: [], NAMES[2]: [TALL, HEAVY]}
    levels = {NAMES[0]: [0, 0], NAMES[2]: [1, 2]}
    for name, boxes in rows.items():
        path = files / f"kaist/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(
            f"person {' '.join(map(str, box))} {level} 0 0 0 0 0 0\n"
            for box, level in zip(boxes, levels.get(name, []), strict=True)
        )
        more = "people 0 0 600 90 0 0 0 0 0 0 0\n" if name == NAMES[2] else ""
        path.write_text(f"% bbGt version=3\n{text}{more}")
    assert printed(files, capsys, truth="kaist") == printed(files, capsys)
    found = [{"image_id": key, "category_id": 1, "bbox": TALL, "score": 0.9} for key in (0, NAMES[2])]
    (files / "found.json").write_text(json.dumps(found))
    assert printed(files, capsys, truth="kaist", found="found.json")["settings"][0]["all"] == pytest.approx(100 / 3)


def test_other_data_sets_have_their_own_margin_and_no_heights(tmp_path, capsys):
    """LLVIP as it is published: words as ids, class id 0, 1280x1024."""
    boxes = [[3, 100, 50, 100], [1230, 900, 45, 120], [600, 500, 10, 18]]
    truth = {
        "images": [{"id": "190001", "file_name": "190001.jpg", "width": 1280, "height": 1024}],
        "annotations": [
            {"id": number, "image_id": "190001", "category_id": 0, "bbox": box} for number, box in enumerate(boxes)
        ],
        "categories": [{"id": 0, "name": "person"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text("[]")
    names = {"found": "found.json"}
    asked = ("--setting", "LLVIP,All,Reasonable", "--setting", "free:margin=0")
    counted = [row["counted"] for row in printed(tmp_path, capsys, *asked, **names)["settings"]]
    assert counted == [1, 0, 0, 3]
    (row, *_) = printed(tmp_path, capsys, *asked, **names)["settings"]
    assert (row["all"], row["day"], row["night"]) == (100, None, None)


def test_pictures_may_be_called_by_their_file_as_predict_does(tmp_path, capsys):
    truth = {
        "images": [{"id": 5, "file_name": "rgb/street.jpg", "width": 640, "height": 512}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 0, "bbox": TALL}],
        "categories": [{"id": 0, "name": "person"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(
        json.dumps([{"image_id": "street", "category_id": 0, "bbox": TALL, "score": 0.5}])
    )
    assert printed(tmp_path, capsys, found="found.json")["settings"][0]["all"] == NONE


def test_ids_with_gaps_make_frame_numbers_doubtful(files, capsys):
    truth = json.loads((files / "truth.json").read_text())
    for record in truth["images"]:
        record["id"] *= 10
    for record in truth["annotations"]:
        record["image_id"] *= 10
    (files / "truth.json").write_text(json.dumps(truth))
    assert main(words(files, "--json")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["settings"][0]["counted"] == 3
    assert "warning: " in err
    assert "have gaps" in err


def test_output_has_the_figures_and_the_curves(files, capsys, tmp_path):
    out = tmp_path / "scored"
    value = printed(files, capsys, "-o", str(out))
    assert json.loads((out / "miss-rate.json").read_text()) == value
    assert cv2.imread(str(out / "miss-rate.png")).shape[1] == 1200
    assert main(words(files, "-o", str(out))) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(words(files, "-o", str(out), "--overwrite")) == 0


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--setting", "Resonable"], "did you mean 'Reasonable'?"),
        (["--setting", "x:size=3"], "'size' is not height"),
        (["--weights", "w"], "--weights: of a detector"),
        (["--metric", "coco", "--setting", "near"], "--setting is of the miss rate"),
        (["--metric", "segm", "--compatible"], "--compatible is of the miss rate"),
    ],
)
def test_wrong_words_are_one_sentence(files, capsys, more, sentence):
    assert main(words(files, *more)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sentence in err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("1,nan,2,3,4,0.5", "line 1: 'nan' is not a number"),
        ("1,1,2,-3,4,0.5", "line 1: the width or height is negative"),
        ("\n9,1,2,3,4,0.5", "line 2: there is no frame '9'"),
        ("1,1,2,3e40,4,0.5", "line 1: '3e40' is not a number between"),
        ("1,1,2,3,4", "line 1: 5 columns"),
        ("[", "broken JSON"),
        ("{}", "a list of detections is needed"),
        ('[{"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "image_id 9 is not in"),
        ('[{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, NaN], "score": 1}]', "bbox[3] = nan"),
        ('[{"image_id": [0], "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "image_id is a list"),
        ("[5]", "entry 0: a JSON object is needed"),
    ],
)
def test_wrong_detections_are_one_sentence_with_their_place(files, capsys, content, sentence):
    (files / "found.txt").write_text(content)
    assert main(words(files, "--json")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {files / 'found.txt'}: ")
    assert err.count("\n") == 1
    assert sentence in err


@pytest.mark.parametrize("name", ["found.txt", "truth.json"])
def test_a_file_that_is_not_there_is_named(files, capsys, name):
    (files / name).unlink()
    assert main(words(files)) == 2
    assert str(files / name) in capsys.readouterr().err


# Masks

SQUARE = [[10, 10, 50, 10, 50, 50, 10, 50]]


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 64, "height": 64}],
        "annotations": [{"id": 0, "image_id": 1, "category_id": 0, "bbox": [10, 10, 40, 40], "segmentation": SQUARE}],
        "categories": [{"id": 0, "name": "person"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    half = [[10, 10, 50, 10, 10, 50]]
    found = [{"image_id": 1, "category_id": 0, "bbox": [10, 10, 40, 40], "score": 0.5, "segmentation": half}]
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path


def test_masks_are_matched_instead_of_boxes(masks, capsys):
    given = ["eval", "--predictions", str(masks / "found.json"), "--annotations", str(masks / "truth.json"), "--json"]
    figures = {}
    for metric in ("coco", "segm"):
        assert main([*given, "--metric", metric]) == 0
        value = json.loads(capsys.readouterr().out)
        assert value["metric"] == metric
        figures[metric] = value["spectra"]["file"]["AP"]
    assert figures["coco"] == pytest.approx(1)
    assert figures["segm"] <= 0.1  # the triangle is half of the square


def test_a_detector_has_no_masks(capsys):
    assert main(["eval", "--weights", "w", "--dataset", "demo", "--metric", "segm"]) == 2
    assert "detectors give boxes, no masks" in capsys.readouterr().err


# A detector


@pytest.fixture
def trained(make_pairs, tmp_path: Path) -> tuple[str, str]:
    """An untrained detector, and a data set of pairs by day and night."""
    pairs = make_pairs(count=3)
    text = '[data]\nname = "tiny"\nroot = "."\nlabel_spectrum = "ir"\n[data.splits.val]\nannotations = ["train.json"]\n'
    (pairs.root / "dataset.toml").write_text(text)
    torch.manual_seed(0)
    size = Input(short_side=48, max_side=64)
    model = tiny_pair_settings().model_copy(update={"input": size})
    known = Conventions(
        input=size,
        spectra=model.spectra,
        label_spectrum=model.spectra[0],
        classes=pairs.classes,
        category_ids=(0, 1, 2),
    )
    save_weights(tmp_path / "w.safetensors", detector(model, 3).state_dict(), model, known)
    return str(tmp_path / "w.safetensors"), str(pairs.root / "dataset.toml")


def test_a_detector_is_scored_with_both_spectra_and_each_alone(trained, tmp_path, capsys):
    given = ["eval", "--weights", trained[0], "--dataset", trained[1], "--device", "cpu", "--workers", "0"]
    out = tmp_path / "scored"
    more = ["--metric", "mr", "--setting", "any:margin=0", "--json", "-o", str(out), "--quiet"]
    assert main([*given, *more]) == 0
    value = json.loads(capsys.readouterr().out)
    assert list(value["spectra"]) == ["pair", "rgb", "ir"]
    assert value["settings"] == value["spectra"]["pair"]
    truth = json.loads(Path(trained[1]).with_name("train.json").read_text())
    persons = sum(one["category_id"] == 0 for one in truth["annotations"])
    assert value["settings"][0]["counted"] == persons
    assert json.loads((out / "miss-rate.json").read_text()) == value
    assert {"miss-rate.png", "report.json", "detections-pair.json"} <= {path.name for path in out.iterdir()}

    again = ["eval", "--predictions", str(out / "detections-ir.json")]
    again += ["--annotations", str(Path(trained[1]).with_name("train.json")), *more[:5]]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == value["spectra"]["ir"]


def test_without_pedestrians_nothing_is_detected(trained, capsys):
    path = Path(trained[1]).with_name("train.json")
    path.write_text(path.read_text().replace('"person"', '"bus"'))
    given = ["eval", "--weights", "nowhere", "--dataset", trained[1], "--metric", "mr"]
    assert main(given) == 2
    assert "no class is called person or pedestrian" in capsys.readouterr().err


def test_against_is_of_ap(capsys):
    assert main(["eval", "--weights", "w", "--dataset", "demo", "--metric", "mr", "--against", "a", "b"]) == 2
    assert "--against compares AP" in capsys.readouterr().err


# How it is shown


def report_of(files: Path, settings: Any = USUAL, **more: Any) -> MissRateReport:
    return evaluate_miss_rate(miss_rate_truth(read_coco(files / "truth.json")), {}, settings, **more)


@pytest.mark.parametrize("settings", [USUAL[:1], USUAL, SETTINGS])
@pytest.mark.parametrize("names", [("file",), ("pair", "rgb", "ir")])
def test_curves_are_drawn_of_any_report(files, settings, names):
    picture = draw_reports(dict.fromkeys(names, report_of(files, settings)))
    assert picture.dtype == np.uint8
    assert (picture.shape[1], picture.shape[2]) == (1200, 3)
    assert picture.min() < 100


def test_a_report_without_anything_that_counts_is_drawn_and_printed(files):
    report = report_of(files, SETTINGS[4:5], compatible=True)
    assert draw_reports({"file": report}).shape[1] == 1200
    assert miss_rate_table(report).rows == [["near", "-", "-", "-", "0"]]
    assert miss_rate_json({"file": report})["settings"][0]["all"] is None


def test_scoring_files_does_not_wait_for_torch():
    script = "import sys, caffdet_cli.evaluation.miss_rate_files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_doctor_tells_the_engine(capsys):
    assert main(["doctor"]) == 0
    assert "caffdet eval, COCO figures" in capsys.readouterr().out


def test_verbose_tells_the_engine_once(masks, capsys):
    given = ["eval", "--predictions", str(masks / "found.json"), "--annotations", str(masks / "truth.json")]
    assert main([*given, "--verbose"]) == 0
    assert capsys.readouterr().err.count("figures by ") == 1
