"""`caffdet data align`: the rig file, the pictures of before and after, and what it says."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffdet_cli.data.rig import read_rig
from caffdet_cli.data.splits import load_split
from caffdet_cli.data.warp import through
from caffdet_cli.main import main
from caffdet_cli.settings.load import load_config
from caffdet_cli.visualization.overlay import overlay

sys.path.append(str(Path(__file__).resolve().parent.parent / "data"))
from rig_scenes import HEIGHT, MOVED_SIZE, TRUTH, WIDTH, off, pair, write_set

CORNERS = np.array([[60.0, 60.0], [440.0, 70.0], [420.0, 330.0], [70.0, 340.0], [250.0, 200.0]])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("two"))


def points(folder: Path, name: str = "1.png", matrix: np.ndarray = TRUTH) -> str:
    """A list of exact points as a file."""
    rows = zip(CORNERS.tolist(), through(matrix, CORNERS).tolist(), strict=True)
    lines = [f"{name},{x},{y},{u},{v}" for (x, y), (u, v) in rows]
    path = folder / "points.csv"
    path.write_text("\n".join(["pair,rgb_x,rgb_y,ir_x,ir_y", *lines]))
    return str(path)


def sharpness(path: Path) -> float:
    """How far infrared (red) and visible (cyan) are alike at their edges, 0..1 about."""
    picture = cv2.imread(str(path)).astype(np.float32)
    edges = [np.hypot(*np.gradient(cv2.GaussianBlur(picture[..., channel], (0, 0), 2))) for channel in (0, 2)]
    return float(np.corrcoef(edges[0].ravel(), edges[1].ravel())[0, 1])


def test_the_pairs_alone_give_a_rig_and_pictures_on_which_edges_meet(root, tmp_path, capsys):
    out = tmp_path / "rig"
    assert main(["data", "align", str(root), "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rig = read_rig(out / "rig.toml")
    assert off(rig.homography, TRUTH, MOVED_SIZE, (WIDTH, HEIGHT)) < 0.7
    assert (rig.moved, rig.pairs) == ("rgb", 2)
    assert (report["schema"], report["pairs"], report["by_hand"]) == (1, ["1.png", "2.png"], False)
    assert report["homography"] == [list(row) for row in report["homography"]]
    np.testing.assert_allclose(report["homography"], rig.homography, rtol=1e-9)
    assert sorted(path.name for path in out.iterdir()) == ["after.png", "before.png", "rig.toml"]
    assert sharpness(out / "after.png") > sharpness(out / "before.png") + 0.2


def test_points_named_by_hand_do_it_too_and_the_line_to_use_it_is_told(root, tmp_path, capsys):
    out = root / "rig"
    assert main(["data", "align", str(root), "-o", str(out), "--points", points(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "from 1 pairs of train" in said
    assert "5 points, 0.00 pixels off" in said
    assert f'write into [data] of {root / "dataset.toml"}: rig = "rig/rig.toml"' in said
    np.testing.assert_allclose(read_rig(out / "rig.toml").homography, TRUTH, rtol=1e-4, atol=1e-6)
    line = said.split("dataset.toml: ")[1].strip()
    own = root / "with-rig.toml"
    own.write_text((root / "dataset.toml").read_text().replace("[data]\n", f"[data]\n{line}\n"))
    _, annotations = load_split(load_config(dataset=str(own)).config.data, "train")
    assert annotations.rig == read_rig(out / "rig.toml")


def test_a_rig_that_the_data_set_names_and_that_is_gone_can_be_made_again(root, tmp_path):
    own = root / "without-rig.toml"
    own.write_text((root / "dataset.toml").read_text().replace("[data]\n", '[data]\nrig = "gone.toml"\n'))
    assert main(["data", "align", str(own), "-o", str(tmp_path / "rig"), "--points", points(tmp_path)]) == 0


def test_the_moved_spectrum_can_be_chosen(root, tmp_path, capsys):
    words = ["data", "align", str(root), "-o", str(tmp_path / "rig"), "--points", points(tmp_path), "--moved", "ir"]
    assert main(words) == 0
    assert "ir pictures (320x256) onto rgb pictures (480x384)" in capsys.readouterr().out
    assert read_rig(tmp_path / "rig/rig.toml").moved == "ir"


def test_the_spectrum_of_the_boxes_stays_where_it_is(root, tmp_path):
    content = json.loads((root / "train.json").read_text())
    content["info"]["caffdet"]["label_spectrum"] = "rgb"
    content["info"]["root"] = str(root)
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "dataset.toml").write_text((root / "dataset.toml").read_text())
    assert main(["data", "align", str(tmp_path), "-o", str(tmp_path / "rig"), "--points", points(tmp_path)]) == 0
    rig = read_rig(tmp_path / "rig/rig.toml")
    assert (rig.moved, rig.moved_size, rig.fixed_size) == ("ir", (WIDTH, HEIGHT), MOVED_SIZE)


def test_of_four_points_it_is_said_that_they_prove_nothing(root, tmp_path, capsys):
    path = Path(points(tmp_path))
    path.write_text("\n".join(path.read_text().splitlines()[:5]))
    assert main(["data", "align", str(root), "-o", str(tmp_path / "rig"), "--points", str(path)]) == 0
    assert "Four points always fit" in capsys.readouterr().out


def test_a_broken_picture_is_left_out_unless_points_name_it(tmp_path, capsys):
    root = write_set(tmp_path / "set", (1, 2, 3))
    broken = root / "rgb/2.png"
    broken.write_bytes(broken.read_bytes()[:-500])
    assert main(["data", "align", str(root), "-o", str(tmp_path / "rig")]) == 0
    assert "a pair is left out: picture " in capsys.readouterr().err
    assert off(read_rig(tmp_path / "rig/rig.toml").homography, TRUTH, MOVED_SIZE, (WIDTH, HEIGHT)) < 3
    listed = points(tmp_path, "2.png")
    assert main(["data", "align", str(root), "--points", listed, "-o", str(tmp_path / "other")]) == 2
    assert "2.png" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_an_output_that_exists_needs_overwrite(root, tmp_path, capsys):
    words = ["data", "align", str(root), "-o", str(tmp_path / "rig"), "--points", points(tmp_path)]
    assert main(words) == 0
    before = (tmp_path / "rig/rig.toml").read_bytes()
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert (tmp_path / "rig/rig.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("named", "matrix", "message"),
    [
        ("9.png", TRUTH, "line 2: "),
        ("1.png", np.diag([-1.0, 1.0, 1.0]) @ TRUTH, "is outside of the ir picture"),
    ],
)
def test_points_that_do_not_fit_the_data_set_are_told_and_nothing_is_written(
    root, tmp_path, capsys, named, matrix, message
):
    words = ["data", "align", str(root), "-o", str(tmp_path / "rig"), "--points", points(tmp_path, named, matrix)]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "points.csv" in err
    assert not (tmp_path / "rig").exists()


def test_pictures_that_cannot_be_aligned_leave_nothing_and_name_the_fallback(tmp_path, capsys):
    root = write_set(tmp_path / "two")
    assert cv2.imwrite(str(root / "ir/1.png"), pair(7).ir)  # of another scene
    assert main(["data", "align", str(root), "-o", str(tmp_path / "rig"), "--pairs", "1"]) == 2
    assert "--points FILE" in capsys.readouterr().err
    assert not (tmp_path / "rig").exists()


def test_a_data_set_of_one_spectrum_has_nothing_to_align(root, tmp_path, capsys):
    content = json.loads((root / "train.json").read_text())
    for image in content["images"]:
        image["file_name_IR"] = None
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "dataset.toml").write_text((root / "dataset.toml").read_text())
    assert main(["data", "align", str(tmp_path), "-o", str(tmp_path / "rig")]) == 2
    assert "no example with both" in capsys.readouterr().err


def test_what_is_missing_is_told_with_an_example(capsys):
    assert main(["data", "align"]) == 2
    assert "caffdet data align data/mine -o rig" in capsys.readouterr().err


def test_what_lies_on_itself_is_grey():
    picture = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    laid = overlay(picture, picture)
    assert (laid[..., 0] == laid[..., 1]).all()
    assert (laid[..., 1] == laid[..., 2]).all()
    assert len(np.unique(overlay(picture, np.zeros_like(picture))[..., 0])) == 1
