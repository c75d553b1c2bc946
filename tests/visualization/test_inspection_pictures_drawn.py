"""The page of the worst and the heat maps."""

import json

import cv2
import numpy as np
import pytest
from inspection_set import InspectedSet

from caffdet_cli.data.images import read_picture
from caffdet_cli.errors import OutputError
from caffdet_cli.visualization.dataset_report import check_dataset, describe_dataset
from caffdet_cli.visualization.heatmap import draw_heatmaps


@pytest.fixture
def broken(tmp_path) -> InspectedSet:
    """Every kind of tile: one picture missing, one broken, both gone, 16 bits, and two pairs that are alike."""
    made = InspectedSet(tmp_path / "set")
    (made.root / "ir/001.png").unlink()
    (made.root / "rgb/002.png").write_bytes(b"no picture")
    for spectrum in ("rgb", "ir"):
        (made.root / spectrum / "003.png").unlink()
    made.change("ir", "004.png", lambda pixels: pixels.astype(np.uint16) * 30)
    (made.root / "rgb/100.png").write_bytes((made.root / "rgb/000.png").read_bytes())
    made.splits["val"]["categories"].insert(0, {"id": 7, "name": "car"})  # labels count from another class there
    made.splits["val"]["annotations"][0]["category_id"] = 0
    made.save()
    return made


def test_the_folder_holds_the_report_and_a_page_on_which_something_is_to_be_seen(broken, tmp_path):
    out = tmp_path / "out"
    report = check_dataset(str(broken.root), out)
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "worst.png"]
    assert json.loads((out / "report.json").read_text())["faults"] == report.findings.faults > 0
    page = read_picture(out / "worst.png")
    assert page.shape[0] > 300
    assert page.std() > 20


def test_the_same_set_gives_the_same_bytes(broken, tmp_path):
    for name in ("a", "b"):
        check_dataset(str(broken.root), tmp_path / name)
        describe_dataset(str(broken.root), tmp_path / f"{name}-info")
    for first, second in (("a", "b"), ("a-info", "b-info")):
        files = sorted(path.name for path in (tmp_path / first).iterdir())
        assert files == sorted(path.name for path in (tmp_path / second).iterdir())
        assert all((tmp_path / first / name).read_bytes() == (tmp_path / second / name).read_bytes() for name in files)


def test_a_page_of_an_earlier_run_does_not_stay_where_nothing_is_wrong_now(broken, tmp_path):
    out = tmp_path / "out"
    check_dataset(str(broken.root), out)
    whole = InspectedSet(tmp_path / "whole")
    check_dataset(str(whole.root), out, overwrite=True)
    assert [path.name for path in out.iterdir()] == ["report.json"]


def test_a_folder_that_is_taken_is_refused_before_any_picture_is_read(broken, tmp_path, monkeypatch):
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr("caffdet_cli.visualization.dataset_report.check", lambda *_, **__: pytest.fail("it looked"))
    with pytest.raises(OutputError, match="--overwrite"):
        check_dataset(str(broken.root), tmp_path)


def test_one_map_per_class_and_one_of_all_light_where_boxes_are():
    left, right = np.zeros((96, 96)), np.zeros((96, 96))
    left[:, :48], right[40:60, 90:] = 2, 1
    sheet = draw_heatmaps({"car": left, "person": right}, {"car": 4, "person": 1}, 1.25)
    alone = draw_heatmaps({"car": left}, {"car": 4}, 1.25)
    assert sheet.shape[0] * sheet.shape[1] > 2 * alone.shape[0] * alone.shape[1]
    middle = cv2.cvtColor(alone, cv2.COLOR_RGB2GRAY)[alone.shape[0] // 2]
    assert middle[60:180].min() > 200
    assert middle[240:380].max() < 10


def test_a_set_without_boxes_has_no_heat_map(tmp_path):
    made = InspectedSet(tmp_path / "set")
    for content in made.splits.values():
        content["annotations"] = []
    describe_dataset(str(made.save()), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
