"""The rig of two cameras, found in their pictures: on drawn scenes, and on real pairs with a known warp."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from rig_scenes import HEIGHT, MOVED_SIZE, TRUTH, WIDTH, off, pair

from caffdet_cli.data.alignment.estimate import Estimate, PairPictures, doubt, estimate_rig
from caffdet_cli.data.alignment.fit import plainest
from caffdet_cli.data.alignment.refine import Fit
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.warp import through, warp
from caffdet_cli.errors import DatasetError


@pytest.fixture(scope="module")
def found() -> Estimate:
    return estimate_rig([pair(1)], "rgb", made_by="a test")


def test_a_known_map_between_two_cameras_is_found(found):
    rig = found.rig
    assert (rig.moved, rig.moved_size, rig.fixed_size, rig.pairs) == ("rgb", MOVED_SIZE, (WIDTH, HEIGHT), 1)
    assert off(rig.homography, TRUTH, MOVED_SIZE, (WIDTH, HEIGHT)) < 0.7
    assert rig.residual < 1
    assert found.agreeing > 0.8 * found.compared


def test_the_same_pairs_give_the_same_rig(found):
    assert estimate_rig([pair(1)], "rgb", made_by="a test") == found


def test_the_infrared_picture_can_be_the_moved_one_in_16_bits():
    one = pair(3)
    counts = 20_000 + one.ir.astype(np.uint16) * 8
    rig = estimate_rig([one._replace(ir=counts)], "ir", model="similarity").rig
    assert off(rig.homography, np.linalg.inv(TRUTH), (WIDTH, HEIGHT), MOVED_SIZE) < 3
    assert rig.homography[2] == (0.0, 0.0, 1.0)


def test_cameras_that_look_at_different_things_are_refused_and_the_fallback_is_named():
    with pytest.raises(DatasetError, match=r"could not be aligned.*more pairs.*--points FILE"):
        estimate_rig([pair(1, ir_seed=9)])


def test_pictures_without_anything_in_them_are_refused():
    blank = PairPictures("blank", np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH), np.nan, np.float32))
    with pytest.raises(DatasetError, match="could not be aligned: they show no edges"):
        estimate_rig([blank])


def test_pictures_of_several_shapes_are_no_rig():
    other = pair(2)._replace(ir=np.zeros((HEIGHT, WIDTH - 60), np.uint8))
    with pytest.raises(DatasetError, match=r"ir picture of 2\.png is 260x256, that of 1\.png 320x256"):
        estimate_rig([pair(1), other])


def test_no_pairs_are_told():
    with pytest.raises(DatasetError, match="there are no pairs"):
        estimate_rig([])


@pytest.mark.parametrize(
    ("fit", "reason"),
    [
        (Fit(np.eye(3), 40, 30, 0.5, 0.7), None),
        (Fit(np.eye(3), 8, 8, 0.5, 0.7), "hardly overlap"),
        (Fit(np.eye(3), 40, 15, 0.5, 0.7), "only 15 of 40"),
        (Fit(np.eye(3), 40, 30, 0.5, 0.1), "one small part"),
        (Fit(np.eye(3), 40, 30, 0.5, 0.7, 0.2), "bend the picture by 20% of its width"),
    ],
)
def test_a_map_that_little_agrees_with_is_doubted(fit, reason):
    said = doubt(fit)
    assert said is None if reason is None else reason in said


def test_points_in_one_half_of_the_picture_bend_the_other_half_no_more_than_they_must():
    """Two pixels of noise, a third of the width seen: how far plain least squares goes astray at the other end."""
    size, far = (640, 512), np.array([[640.0, 0.0], [640.0, 512.0]])
    distances = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        start = random.random((20, 2)) * (200, 512)
        end = start + np.array([10, 5]) + random.normal(0, 2, start.shape)
        plain = plainest(start, end, "homography", (size, size))
        bent, _ = cv2.findHomography(start, end, 0)
        distances.append([np.abs(through(matrix, far) - far - (10, 5)).max() for matrix in (plain, bent)])
    median_plain, median_bent = np.median(distances, axis=0)
    assert median_plain < 12
    assert median_plain < 0.8 * median_bent


def test_many_good_points_have_their_perspective():
    start = np.random.default_rng(0).random((60, 2)) * MOVED_SIZE
    matrix = plainest(start, through(TRUTH, start), "homography", (MOVED_SIZE, (WIDTH, HEIGHT)))
    assert off(matrix, TRUTH, MOVED_SIZE, (WIDTH, HEIGHT)) < 0.1


WARP = np.array([[1.1, 0.06, -70.0], [-0.05, 1.12, -30.0], [3e-5, -2e-5, 1.0]])
"""Of a real visible picture of 640 pixels: it is larger, turned by three degrees, and shifted."""


@pytest.mark.parametrize(
    ("visible", "infrared"),
    [
        ("unlabelled_pairs/roadscene/visible_hr/FLIR_00211.jpg", "unlabelled_pairs/roadscene/infrared/FLIR_00211.jpg"),
        ("unlabelled_pairs/llvip/visible/200002.jpg", "unlabelled_pairs/llvip/infrared/200002.jpg"),
        ("unlabelled_pairs/m3fd/visible/00471.png", "unlabelled_pairs/m3fd/infrared/00471.png"),
    ],
    ids=["three-times-as-large", "night", "m3fd"],
)
def test_a_warped_picture_of_a_real_registered_pair_finds_back(shared, visible, infrared):
    """What the sets call registered is off by a few pixels itself."""
    rgb, ir = (read_picture(shared / "data" / Path(name)) for name in (visible, infrared))
    moved, fixed = (rgb.shape[1], rgb.shape[0]), (ir.shape[1], ir.shape[0])
    unit = np.diag([640 / moved[0], 640 / moved[0], 1.0])
    matrix = np.linalg.inv(unit) @ WARP @ unit
    rig = estimate_rig([PairPictures("one", warp(rgb, matrix, rgb.shape[:2]), ir)]).rig
    truth = np.diag([fixed[0] / moved[0], fixed[1] / moved[1], 1.0]) @ np.linalg.inv(matrix)
    assert off(rig.homography, truth, moved, fixed) < 0.01 * fixed[0]
