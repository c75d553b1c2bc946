"""Predicting with two detectors: one pixel grid, classes of both, what is written, told and refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from late_members import Told, member

from caffdet_cli.data.images import read_picture
from caffdet_cli.data.rig import write_rig
from caffdet_cli.data.warp import onto, warp_boxes
from caffdet_cli.errors import ConfigError, DatasetError, OutputError, WeightsError
from caffdet_cli.inference.late import predict_late
from caffdet_cli.inference.predict import predict
from caffdet_cli.main import main
from caffdet_cli.settings.late import Late
from caffdet_cli.settings.rig import Rig

APART = Late(iou=1.0, least=0)  # no two boxes of untrained detectors are the same
HOW = {"device": "cpu", "score": 0, "draw": False}
# The RGB picture is twice as large, and its camera looks a little further to the left.
RIG = Rig(
    moved="rgb",
    homography=((0.5, 0.0, -8.0), (0.0, 0.5, 0.0), (0.0, 0.0, 1.0)),
    moved_size=(128, 96),
    fixed_size=(64, 48),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, str]:
    """Detectors by name."""
    root = tmp_path_factory.mktemp("members")
    kinds = {
        "rgb": (("rgb",), {}),
        "ir": (("ir",), {}),
        "pair": (("ir", "rgb"), {}),
        "rigged": (("ir", "rgb"), {"rig": RIG}),
        "others": (("ir",), {"classes": ("dog", "car", None)}),
        "nameless": (("ir",), {"classes": ()}),
    }
    return {
        name: member(root / f"{name}.safetensors", *spectra, seed=seed, **changes)
        for seed, (name, (spectra, changes)) in enumerate(kinds.items())
    }


@pytest.fixture
def root(make_pairs) -> Path:
    """Two pairs, the RGB pictures twice as large as the infrared ones."""
    root = make_pairs(count=2).root
    for path in (root / "rgb").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (128, 96)))
    return root


def boxes(folder: Path) -> dict[float, np.ndarray]:
    """Boxes of what was written by their scores, which no two share."""
    found = json.loads((folder / "detections.json").read_text())
    return {round(each["score"], 6): np.array(each["bbox"]) for each in found}


def alone(weights: str, output: Path, **places: Path) -> dict[float, np.ndarray]:
    predict(weights, output, **places, **HOW)
    return boxes(output)


def test_boxes_of_both_are_in_infrared_pixels_and_each_looks_as_if_it_were_alone(made, root, tmp_path):
    places = {"rgb": root / "rgb", "ir": root / "ir"}
    done = predict_late(made["rgb"], made["ir"], tmp_path / "out", late=APART, **places, **HOW)
    found = boxes(tmp_path / "out")
    rgb = alone(made["rgb"], tmp_path / "rgb", rgb=root / "rgb")
    ir = alone(made["ir"], tmp_path / "ir", ir=root / "ir")
    assert found.keys() == rgb.keys() | ir.keys()
    assert (done.pictures, done.found, done.lonely) == (2, len(rgb) + len(ir), ())
    for score, box in ir.items():
        np.testing.assert_allclose(found[score], box, atol=1e-3)
    inside = [score for score, (x, y, w, h) in rgb.items() if x >= 0 and y >= 0 and x + w <= 128 and y + h <= 96]
    assert inside
    for score in inside:
        np.testing.assert_allclose(found[score], rgb[score] / 2, atol=1e-3)


def test_boxes_in_rgb_pixels_on_request(made, root, tmp_path):
    places = {"rgb": root / "rgb", "ir": root / "ir", "boxes": "rgb"}
    predict_late(made["rgb"], made["ir"], tmp_path / "out", late=APART, **places, **HOW)
    found, rgb = boxes(tmp_path / "out"), alone(made["rgb"], tmp_path / "rgb", rgb=root / "rgb")
    for score, box in rgb.items():
        np.testing.assert_allclose(found[score], box, atol=1e-3)


def test_a_rig_brings_boxes_together(made, root, tmp_path):
    write_rig(RIG, tmp_path / "rig.toml")
    places = {"rgb": root / "rgb", "ir": root / "ir", "rig": tmp_path / "rig.toml"}
    predict_late(made["rgb"], made["ir"], tmp_path / "out", late=APART, **places, **HOW)
    found, rgb = boxes(tmp_path / "out"), alone(made["rgb"], tmp_path / "rgb", rgb=root / "rgb")
    for score, (x, y, w, h) in rgb.items():
        left, top, right, bottom = warp_boxes(np.array([[x, y, x + w, y + h]]), onto(RIG, "ir"))[0]
        left, right = np.clip([left, right], 0, 64)
        top, bottom = np.clip([top, bottom], 0, 48)
        np.testing.assert_allclose(found[score], [left, top, right - left, bottom - top], atol=1e-3)


def test_the_rig_of_a_member_is_used_and_told(made, root, tmp_path):
    places = {"rgb": root / "rgb", "ir": root / "ir"}
    results = {}
    for name, rig in (("own", None), ("none", "none")):
        how = {"late": APART, "rig": rig, "progress": (told := Told()), **HOW}
        predict_late(made["rgb"], made["rigged"], tmp_path / name, **places, **how)
        assert any("warped by the camera rig" in line for line in told.lines) is (rig is None)
        results[name] = boxes(tmp_path / name)
    rgb = alone(made["rgb"], tmp_path / "rgb", rgb=root / "rgb")
    assert any(not np.allclose(results["own"][score], results["none"][score]) for score in rgb)


def test_fused_objects_are_drawn_and_counted_once(made, root, tmp_path):
    places = {"rgb": root / "rgb", "ir": root / "ir"}
    how = {**HOW, "draw": True}
    done = predict_late(made["rgb"], made["ir"], tmp_path / "out", late=Late(iou=0.1, least=0), **places, **how)
    both = [len(alone(made[name], tmp_path / name, **{name: root / name})) for name in ("rgb", "ir")]
    assert max(both) <= done.found < sum(both)
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())) == done.found
    names = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert names == ["000.jpg", "001.jpg", "sheet.jpg"]
    assert read_picture(tmp_path / "out" / "pictures" / "000.jpg").ndim == 3


def test_a_picture_without_partner_has_the_detections_of_one(made, root, tmp_path):
    (root / "ir" / "001.png").unlink()
    how = {**HOW, "progress": (told := Told())}
    done = predict_late(made["rgb"], made["ir"], tmp_path / "out", rgb=root / "rgb", ir=root / "ir", late=APART, **how)
    assert done.lonely == ("001",)
    assert "warning: 1 of 2 pictures have no partner: 001" in told.lines
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    predict(made["rgb"], tmp_path / "rgb", rgb=root / "rgb" / "001.png", **HOW)
    one = json.loads((tmp_path / "rgb" / "detections.json").read_text())
    assert [each["score"] for each in found if each["image_id"] == "001"] == pytest.approx(
        [each["score"] for each in one]
    )


@pytest.mark.parametrize("spectrum", ["rgb", "ir"])
@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_a_pair_with_a_broken_picture_is_left_out_whoever_looks_at_it(made, root, tmp_path, spectrum, damage):
    places = {"rgb": root / "rgb", "ir": root / "ir"}
    predict_late(made["rgb"], made["ir"], tmp_path / "whole", late=APART, **places, **HOW)
    broken = sorted((root / spectrum).iterdir())[1]
    broken.write_bytes(b"" if damage == "empty" else broken.read_bytes()[:-300])
    done = predict_late(made["rgb"], made["ir"], tmp_path / "out", late=APART, **places, **HOW)
    assert done.pictures == 1
    (why,) = done.left_out.values()
    assert broken.name in why
    whole, rest = (json.loads((tmp_path / name / "detections.json").read_text()) for name in ("whole", "out"))
    assert rest
    assert rest == [one for one in whole if one["image_id"] not in done.left_out]


def test_a_detector_that_has_nothing_left_to_look_at_is_no_crash(made, root, tmp_path):
    names = sorted(path.name for path in (root / "rgb").iterdir())
    third = names[0].replace("0", "7")
    (root / "rgb" / names[1]).rename(root / "rgb" / third)  # without a partner, and broken
    (root / "rgb" / third).write_bytes(b"")
    (root / "ir" / names[0]).write_bytes(b"")
    done = predict_late(made["rgb"], made["ir"], tmp_path / "out", rgb=root / "rgb", ir=root / "ir", late=APART, **HOW)
    assert done.pictures == 1
    assert len(done.left_out) == 2


def test_classes_of_both_are_written_each_with_an_id_of_its_own(made, root, tmp_path):
    how = {"late": APART, "progress": (told := Told()), **HOW}
    predict_late(made["rgb"], made["others"], tmp_path / "out", rgb=root / "rgb", ir=root / "ir", **how)
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {each["category_id"] for each in found} <= {0, 1, 2, 3}  # dog, which was 0, is 3
    assert any("only --weights-ir knows 'dog'" in line for line in told.lines)


@pytest.mark.parametrize(
    ("weights", "weights_ir", "places", "error", "said"),
    [
        ("rgb", "ir", {"rgb": "rgb"}, DatasetError, "no ir pictures, and --weights-ir"),
        ("rgb", "ir", {"ir": "ir"}, DatasetError, "no rgb pictures, and --weights "),
        ("pair", "ir", {"ir": "ir", "boxes": "rgb"}, ConfigError, "--boxes rgb: there are no rgb pictures"),
        ("rgb", "nameless", {"rgb": "rgb", "ir": "ir"}, WeightsError, "does not say what its 3 class slots are called"),
        ("ir", "rgb", {"rgb": "rgb", "ir": "ir"}, ConfigError, "exchange them"),
        ("rgb", "missing", {"rgb": "rgb", "ir": "ir"}, WeightsError, "not there"),
        ("rgb", "ir", {"rgb": "rgb", "ir": "ir", "rig": "nothing.toml"}, DatasetError, "nothing.toml"),
    ],
)
def test_wrong_requests_are_one_sentence_and_leave_nothing(
    made, root, tmp_path, weights, weights_ir, places, error, said
):
    given = {key: root / value if key in ("rgb", "ir") else value for key, value in places.items()}
    known = {**made, "missing": str(tmp_path / "missing.safetensors")}
    with pytest.raises(error, match=said) as told:
        predict_late(known[weights], known[weights_ir], tmp_path / "out", **given, **HOW)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_pair_detector_takes_what_there_is(made, root, tmp_path):
    done = predict_late(made["pair"], made["ir"], tmp_path / "out", ir=root / "ir", late=APART, **HOW)
    assert done.pictures == 2


def test_results_are_not_overwritten(made, root):
    with pytest.raises(OutputError, match="--overwrite"):
        predict_late(made["rgb"], made["ir"], root, rgb=root / "rgb", ir=root / "ir", **HOW)


def test_the_command_writes_what_the_library_does(made, root, tmp_path, capsys):
    words = ["predict", "--weights", made["rgb"], "--weights-ir", made["ir"], "--rgb", str(root / "rgb")]
    words += ["--ir", str(root / "ir"), "-o", str(tmp_path / "out"), "--device", "cpu", "--score", "0", "--no-draw"]
    assert main([*words, "--late", "least=0", "--late", "iou=1", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    predict_late(made["rgb"], made["ir"], tmp_path / "two", rgb=root / "rgb", ir=root / "ir", late=APART, **HOW)
    written = [(tmp_path / name / "detections.json").read_bytes() for name in ("out", "two")]
    assert written[0] == written[1]
    assert value["detections"] == len(json.loads(written[0]))
