"""A camera rig from the data set's file to what the detector sees, what is drawn, and what is written."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import tiny_pair_settings

from caffdet_cli.data.annotations import AnnotationSet, Example, no_objects
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.fingerprint import fingerprint
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.data.rig import write_rig
from caffdet_cli.data.splits import load_split
from caffdet_cli.data.warp import onto, warp, warp_boxes
from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.inference.predict import predict
from caffdet_cli.inference.rigged import in_pixels_of
from caffdet_cli.models.build import detector
from caffdet_cli.progress import Progress
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import Input
from caffdet_cli.settings.rig import Rig
from caffdet_cli.settings.train import Augment
from caffdet_cli.visualization.show import visualize_set
from caffdet_cli.weights.store import save_weights

SMALL = Input(short_side=48, max_side=64)
# Twice as large and shifted: what the RGB camera records of the infrared picture's 64 x 48 pixels.
RIG = Rig(
    moved="rgb",
    homography=((0.5, 0.0, -8.0), (0.0, 0.5, -6.0), (0.0, 0.0, 1.0)),
    moved_size=(160, 120),
    fixed_size=(64, 48),
)
INVERSE = np.linalg.inv(np.array(RIG.homography))


@pytest.fixture
def fitting(make_pairs) -> Path:
    """A data set whose pictures fit."""
    return make_pairs(count=2).root


@pytest.fixture
def apart(fitting, tmp_path) -> Path:
    """The same as two cameras record it: the RGB pictures lie elsewhere, and rig.toml says where."""
    root = tmp_path / "apart"
    (root / "rgb").mkdir(parents=True)
    (root / "ir").mkdir()
    for path in (fitting / "ir").iterdir():
        (root / "ir" / path.name).write_bytes(path.read_bytes())
    for path in (fitting / "rgb").iterdir():
        smooth = cv2.GaussianBlur(cv2.imread(str(path)), (0, 0), 2)
        cv2.imwrite(str(path), smooth)
        cv2.imwrite(str(root / "rgb" / path.name), warp(smooth, INVERSE, (120, 160)))
    (root / "train.json").write_bytes((fitting / "train.json").read_bytes())
    write_rig(RIG, root / "rig.toml")
    (root / "dataset.toml").write_text(
        '[data]\nname = "apart"\nroot = "."\nrig = "rig.toml"\nlabel_spectrum = "ir"\n\n'
        '[data.splits.train]\nannotations = ["train.json"]\n'
    )
    return root


def loaded(root: Path):
    return load_split(load_config(dataset=str(root / "dataset.toml")).config.data, "train")[1]


def conventions(**changes: object) -> Conventions:
    classes = ("person", "car", "bicycle")
    return Conventions(
        input=SMALL, spectra=("rgb", "ir"), label_spectrum="ir", classes=classes, category_ids=(0, 1, 2), **changes
    )


def weights(path: Path, **changes: object) -> str:
    torch.manual_seed(0)
    model = tiny_pair_settings().model_copy(update={"input": SMALL, "spectra": ("rgb", "ir")})
    save_weights(path, detector(model, 3).state_dict(), model, conventions(**changes))
    return str(path)


def test_a_detector_sees_what_it_would_see_through_one_lens(fitting, apart):
    straight = PairDataset(read_coco(fitting / "train.json"), conventions(), None, 0)[0]
    warped = PairDataset(loaded(apart), conventions(), None, 0)[0]
    assert warped.size == straight.size
    assert torch.equal(warped.pictures[1], straight.pictures[1])
    assert torch.equal(warped.targets.boxes, straight.targets.boxes)
    inner = (warped.pictures[0].float() - straight.pictures[0].float()).abs()[:, 4:-4, 4:-4]
    assert inner.mean() < 3
    apart_from_it = PairDataset(replace(loaded(apart), rig=None), conventions(), None, 0)[0]
    assert (apart_from_it.pictures[0].float() - straight.pictures[0].float()).abs().mean() > 10


def test_a_rig_for_the_other_direction_is_turned_round(apart):
    turned = onto(RIG, "rgb")
    assert (turned.moved, turned.moved_size, turned.fixed_size) == ("ir", (64, 48), (160, 120))
    np.testing.assert_allclose(np.array(turned.homography), INVERSE / INVERSE[2, 2], atol=1e-9)
    write_rig(turned, apart / "rig.toml")
    assert loaded(apart).rig.moved == "rgb"


def test_the_fingerprint_of_the_data_knows_the_rig(apart):
    annotations = loaded(apart)
    assert fingerprint(annotations) != fingerprint(replace(annotations, rig=None))


def test_a_rig_of_other_pictures_is_refused_with_the_picture(apart):
    cv2.imwrite(str(apart / "rgb" / "000.png"), np.zeros((120, 120, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"000\.png: the rgb picture is 120x120, and the rig was made for 160x120"):
        PairDataset(loaded(apart), conventions(), None, 0)[0]


def test_a_missing_rig_file_is_told(apart):
    (apart / "rig.toml").unlink()
    with pytest.raises(DatasetError, match=r"there is no file .*rig\.toml"):
        loaded(apart)


def test_predicting_through_a_rig_finds_the_same_as_on_pictures_that_fit(fitting, apart, tmp_path):
    file = weights(tmp_path / "w.safetensors")
    given = {"score": 0.0, "device": "cpu", "draw": False}
    predict(file, tmp_path / "a", rgb=fitting / "rgb", ir=fitting / "ir", **given)
    predict(file, tmp_path / "b", rgb=apart / "rgb", ir=apart / "ir", rig=apart / "rig.toml", **given)
    straight, warped = (best(tmp_path / name) for name in "ab")
    for key in straight:
        np.testing.assert_allclose(warped[key], straight[key], atol=0.05)


def best(folder: Path) -> dict[str, float]:
    """The largest score of each picture."""
    found = json.loads((folder / "detections.json").read_text())
    return {key: max(one["score"] for one in found if one["image_id"] == key) for key in ("000", "001")}


def test_boxes_are_written_in_the_pixels_that_were_asked_for(apart, tmp_path):
    file = weights(tmp_path / "w.safetensors")
    given = {"rgb": apart / "rgb", "ir": apart / "ir", "rig": apart / "rig.toml", "score": 0.0, "device": "cpu"}
    for spectrum in ("ir", "rgb"):
        predict(file, tmp_path / spectrum, boxes=spectrum, draw=False, **given)
    ir, rgb = (json.loads((tmp_path / name / "detections.json").read_text()) for name in ("ir", "rgb"))
    assert len(ir) == len(rgb) >= 10
    boxes = np.array([one["bbox"] for one in ir])
    boxes[:, 2:] += boxes[:, :2]
    expected = warp_boxes(boxes, RIG, "moved").clip(0, [160, 120, 160, 120])
    written = np.array([one["bbox"] for one in rgb])
    written[:, 2:] += written[:, :2]
    np.testing.assert_allclose(written, expected, atol=0.1)


def test_without_a_rig_boxes_are_stretched_to_the_other_picture(fitting, tmp_path):
    for path in (fitting / "rgb").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (128, 96)))
    file = weights(tmp_path / "w.safetensors")
    for spectrum in ("ir", "rgb"):
        given = {"rgb": fitting / "rgb", "ir": fitting / "ir", "score": 0.0, "device": "cpu", "draw": False}
        predict(file, tmp_path / spectrum, boxes=spectrum, **given)
    ir, rgb = (json.loads((tmp_path / name / "detections.json").read_text()) for name in ("ir", "rgb"))
    np.testing.assert_allclose([one["bbox"] for one in rgb], 2 * np.array([one["bbox"] for one in ir]), atol=0.1)


def test_what_the_other_camera_does_not_see_is_left_out(apart):
    """The RGB camera sees more on every side: its own corner is outside of the infrared picture."""
    turned = onto(RIG, "rgb")
    example = loaded(apart).examples[0]
    pictures = AnnotationSet((replace(example, width=160, height=120),), (), "rgb", apart, turned)
    boxes = np.array([[0.0, 0.0, 10.0, 8.0], [60.0, 50.0, 100.0, 80.0]])
    found = {example.id: DetectionArrays(boxes, np.array([0, 1]), np.array([0.9, 0.8]))}
    (kept,) = in_pixels_of("ir", found, pictures).values()
    assert kept.labels.tolist() == [1]
    np.testing.assert_allclose(kept.boxes, [[22, 19, 42, 34]], atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"boxes": "rgb"}, "--boxes rgb: there are no rgb pictures"),
        ({"rig": "rig.toml"}, "--rig rig.toml is for pairs"),
    ],
)
def test_what_needs_both_spectra_is_refused_where_there_is_one(apart, tmp_path, asked, words):
    with pytest.raises(ConfigError, match=words):
        predict(weights(tmp_path / "w.safetensors"), tmp_path / "out", ir=apart / "ir", device="cpu", **asked)


def test_fast_pixels_of_the_moved_camera_keep_their_detail(tmp_path):
    """The RGB camera sees four times as much: what both see is a quarter of its picture, and decoded in full."""
    checks = (np.indices((512, 640)).sum(axis=0) // 4 % 2 * 255).astype(np.uint8)
    wide = np.zeros((2048, 2560), np.uint8)
    wide[768:1280, 960:1600] = checks
    for name, pixels in (("rgb", wide), ("ir", checks)):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    rig = Rig(
        moved="rgb",
        homography=((1.0, 0.0, -960.0), (0.0, 1.0, -768.0), (0.0, 0.0, 1.0)),
        moved_size=(2560, 2048),
        fixed_size=(640, 512),
    )
    example = Example(1, tmp_path / "rgb.jpg", tmp_path / "ir.jpg", 640, 512, no_objects())
    pictures = AnnotationSet((example,), (), "ir", tmp_path, rig)
    seen = [
        PairDataset(pictures, conventions(), Augment(flip=0, crop=0, scales=(512,), pixels=pixels), 0)[0].pictures[0]
        for pixels in ("exact", "fast")
    ]
    assert float(seen[1].float().std()) > 0.9 * float(seen[0].float().std()) > 50


class Told(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, message: str) -> None:
        self.said.append(message)


def test_the_rig_of_the_training_pictures_is_used_and_said_unless_told_otherwise(apart, tmp_path):
    file = weights(tmp_path / "w.safetensors", rig=RIG)
    given = {"rgb": apart / "rgb", "ir": apart / "ir", "score": 0.0, "device": "cpu", "draw": False}
    told = Told()
    predict(file, tmp_path / "own", progress=told, **given)
    assert any("camera rig of the training pictures" in line for line in told.said)
    predict(file, tmp_path / "said", rig=apart / "rig.toml", **given)
    predict(file, tmp_path / "none", rig="none", **given)
    own, said, none = (best(tmp_path / name) for name in ("own", "said", "none"))
    assert own == said
    assert own != none


def test_pictures_are_drawn_as_the_detector_sees_them(fitting, apart, tmp_path):
    for name, annotations in (("a", read_coco(fitting / "train.json")), ("b", loaded(apart))):
        visualize_set(annotations, tmp_path / name, truth=False, sheet=False)
    straight, warped = (cv2.imread(str(tmp_path / name / "000.jpg")).astype(float) for name in "ab")
    assert straight.shape == warped.shape
    assert np.abs(straight - warped)[40:-80, 40:-40].mean() < 6
