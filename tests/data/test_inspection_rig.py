"""`data check` of a data set with a camera rig: pictures are compared as every command sees them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from rig_scenes import HEIGHT, MOVED_SIZE, TRUTH, WIDTH, write_set

from caffdet_cli.data.inspection.check import CheckReport, check
from caffdet_cli.data.rig import write_rig
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.rig import Rig
from caffdet_cli.visualization.worst import worst_page

RGB_MOVES = Rig(moved="rgb", homography=TRUTH.tolist(), moved_size=MOVED_SIZE, fixed_size=(WIDTH, HEIGHT))
IR_MOVES = Rig(moved="ir", homography=np.linalg.inv(TRUTH).tolist(), moved_size=(WIDTH, HEIGHT), fixed_size=MOVED_SIZE)
SEEDS = tuple(range(1, 8))


def checked(root: Path, rig: Rig | None, label: str = "ir") -> CheckReport:
    text = (root / "dataset.toml").read_text()
    if rig is not None:
        write_rig(rig, root / "rig.toml")
        text = text.replace('root = "."', 'root = "."\nrig = "rig.toml"')
    (root / "dataset.toml").write_text(text)
    if label == "rgb":
        old = (root / "train.json").read_text().replace('"label_spectrum": "ir"', '"label_spectrum": "rgb"')
        sizes = f'"width": {MOVED_SIZE[0]}, "height": {MOVED_SIZE[1]}'
        (root / "train.json").write_text(old.replace(f'"width": {WIDTH}, "height": {HEIGHT}', sizes))
    return check(load_config(dataset=str(root)).config.data)


def kinds(report: CheckReport) -> set[str]:
    return {finding.kind for finding in report.findings}


def stretched(root: Path, spectrum: str, name: str) -> None:
    path = root / spectrum / name
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), (400, 200)))


@pytest.mark.parametrize("label", ["ir", "rgb"])
@pytest.mark.parametrize("rig", [RGB_MOVES, IR_MOVES], ids=["rgb moves", "ir moves"])
def test_through_the_rig_nothing_is_shifted_and_nothing_is_a_fault(tmp_path, rig, label):
    report = checked(write_set(tmp_path, SEEDS), rig, label)
    assert not report.findings.faults
    assert report.alignment is not None
    assert report.alignment.trusted == len(SEEDS)
    assert abs(report.alignment.right) < 1
    assert abs(report.alignment.down) < 1
    assert not kinds(report) & {"spectra shifted", "partner of another size", "partner of another aspect"}


def test_a_rig_that_is_off_shows_by_how_much(tmp_path):
    off = np.array([[1.0, 0.0, 7.0], [0.0, 1.0, -5.0], [0.0, 0.0, 1.0]]) @ TRUTH
    report = checked(
        write_set(tmp_path, SEEDS), Rig.model_validate({**RGB_MOVES.model_dump(), "homography": off.tolist()})
    )
    assert report.alignment is not None
    assert report.alignment.right == pytest.approx(-7, abs=1)
    assert report.alignment.down == pytest.approx(5, abs=1)
    assert "spectra shifted" in kinds(report)


@pytest.mark.parametrize("spectrum", ["rgb", "ir"])
def test_a_picture_of_another_shape_than_the_rigs_is_a_fault_with_its_place(tmp_path, spectrum):
    stretched(write_set(tmp_path, SEEDS), spectrum, "3.png")
    report = checked(tmp_path, RGB_MOVES)
    (found,) = [each for each in report.findings if each.kind == "not of the rig"]
    assert found.place == f"train: {spectrum}/3.png"
    known = "480x384" if spectrum == "rgb" else "320x256"
    assert found.what == f"{spectrum} is 400x200, and the rig was made for {known}"
    assert worst_page(report.worst, report.spectra).size


def test_the_page_of_the_worst_shows_pictures_as_they_are_warped(tmp_path):
    root = write_set(tmp_path, SEEDS)
    (root / "ir/7.png").write_bytes((root / "ir/6.png").read_bytes())  # a finding to draw
    plain = worst_page(checked(root, None).worst, ("rgb", "ir"))
    warped = worst_page(checked(root, RGB_MOVES).worst, ("rgb", "ir"))
    assert not np.array_equal(plain, warped)


def test_without_the_rig_the_same_pairs_do_not_fit(tmp_path):
    report = checked(write_set(tmp_path, SEEDS), None)
    assert "partner of another size" in kinds(report)
    assert report.alignment is None or report.alignment.trusted < len(SEEDS) or abs(report.alignment.right) > 1
