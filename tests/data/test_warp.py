"""Pictures and boxes through a rig."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from caffdet_cli.data.warp import matrix_for, through, warp_boxes, warp_picture
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.rig import Rig

WIDTH, HEIGHT = 64, 48


def rig(matrix: object, moved_size=(WIDTH, HEIGHT), fixed_size=(WIDTH, HEIGHT)) -> Rig:
    return Rig(moved="rgb", homography=np.asarray(matrix).tolist(), moved_size=moved_size, fixed_size=fixed_size)


def shift(x: float, y: float) -> list[list[float]]:
    return [[1, 0, x], [0, 1, y], [0, 0, 1]]


def pixels(dtype: type, *shape: int) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


@st.composite
def rigs(draw: st.DrawFn) -> Rig:
    """Corners moved by up to a fifth of the picture, onto a picture of any size."""
    fixed = draw(st.tuples(st.integers(20, 900), st.integers(20, 900)))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    moved = draw(st.lists(st.floats(-0.2, 0.2), min_size=8, max_size=8))
    places = (corners + np.array(moved).reshape(4, 2)) * fixed
    matrix = cv2.getPerspectiveTransform((corners * (WIDTH, HEIGHT)).astype(np.float32), places.astype(np.float32))
    try:
        return rig(matrix, fixed_size=fixed)
    except ValidationError:
        assume(False)
        raise


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (HEIGHT, WIDTH, 3)])
def test_no_warp_changes_no_pixel_of_any_depth(dtype, shape):
    picture = pixels(dtype, *shape)
    warped = warp_picture(picture, rig(np.eye(3)))
    assert warped.dtype == dtype
    np.testing.assert_array_equal(warped, picture)


def test_a_shift_moves_pixels_and_leaves_zeros():
    picture = pixels(np.uint16, HEIGHT, WIDTH) + 1
    warped = warp_picture(picture, rig(shift(5, 3)))
    np.testing.assert_array_equal(warped[3:, 5:], picture[:-3, :-5])
    assert not warped[:3].any()
    assert not warped[:, :5].any()


def test_twice_the_size_keeps_pixels_where_boxes_say_they_are():
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[10:20, 30:50] = 200
    double = rig(np.diag([2, 2, 1]), fixed_size=(2 * WIDTH, 2 * HEIGHT))
    warped = warp_picture(picture, double)
    rows, columns = np.nonzero(warped > 100)
    box = warp_boxes(np.array([[30, 10, 50, 20]]), double)[0]
    assert box.tolist() == [60, 20, 100, 40]
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (60, 20, 100, 40)


def test_a_much_larger_picture_is_averaged_not_sampled():
    stripes = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
    stripes[:, ::2] = 200
    small = rig(np.diag([1 / 8, 1 / 8, 1]), moved_size=(WIDTH * 8, HEIGHT * 8))
    assert set(np.unique(warp_picture(stripes, small)[2:-2, 2:-2]).tolist()) == {100}


def test_pictures_of_another_size_and_the_same_shape_are_warped_alike():
    picture = cv2.GaussianBlur(pixels(np.float32, HEIGHT, WIDTH), (0, 0), 4)
    moved = rig([[1.02, 0.01, 4], [0, 0.98, 2], [1e-4, 0, 1]])
    once = warp_picture(picture, moved)
    twice = warp_picture(cv2.resize(picture, None, fx=2, fy=2), moved, size=(HEIGHT * 2, WIDTH * 2))
    back = cv2.resize(twice, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    inside = (slice(6, -6), slice(8, -8))
    np.testing.assert_allclose(back[inside], once[inside], atol=2)


def test_boxes_follow_pictures_of_another_size():
    moved = rig(shift(4, 2))
    box = warp_boxes(np.array([[20, 20, 40, 60]]), moved, moved_size=(HEIGHT * 2, WIDTH * 2))
    assert box[0].tolist() == [14, 12, 24, 32]
    back = warp_boxes(box, moved, "moved", moved_size=(HEIGHT * 2, WIDTH * 2))
    np.testing.assert_allclose(back, [[20, 20, 40, 60]])


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH + 20), (WIDTH, HEIGHT), (HEIGHT // 2, WIDTH)])
def test_another_shape_is_another_camera(shape):
    with pytest.raises(DatasetError, match=f"{shape[1]}x{shape[0]}.*made for 64x48"):
        warp_picture(np.zeros(shape, np.uint8), rig(np.eye(3)))


def test_a_size_that_rounding_made_is_no_other_shape():
    warped = warp_picture(np.zeros((513, 641), np.uint8), rig(np.eye(3), (1282, 1025), (1282, 1025)), (513, 641))
    assert warped.shape == (513, 641)


def test_what_lies_outside_of_the_picture_is_cut_off_before_the_warp():
    steep = rig([[1, 0, 0], [0, 1, 0], [-0.8 / WIDTH, 0, 1]], fixed_size=(WIDTH * 5, HEIGHT * 5))
    boxes = warp_boxes(np.array([[-30, -30, 1000, 1000], [2000, 0, 3000, 10]]), steep)
    np.testing.assert_allclose(boxes[0], warp_boxes(np.array([[0, 0, WIDTH, HEIGHT]]), steep)[0])
    assert np.isfinite(boxes).all()


def test_no_boxes_are_no_boxes():
    assert warp_boxes(np.zeros((0, 4)), rig(np.eye(3))).shape == (0, 4)


@settings(max_examples=60)
@given(rigs(), st.integers(0, 1000))
def test_points_come_back(one, seed):
    matrix = matrix_for(one, (HEIGHT, WIDTH), one.fixed_size[::-1])
    points = np.random.default_rng(seed).random((10, 2)) * (WIDTH, HEIGHT)
    back = through(np.linalg.inv(matrix), through(matrix, points))
    np.testing.assert_allclose(back, points, atol=1e-6 * WIDTH)


@settings(max_examples=60)
@given(rigs(), st.integers(0, 1000))
def test_a_warped_box_holds_every_warped_point_of_it(one, seed):
    random = np.random.default_rng(seed)
    low, high = np.sort(random.random((2, 2)) * (WIDTH, HEIGHT), axis=0)
    box = warp_boxes(np.array([[*low, *high]]), one)[0]
    points = through(
        matrix_for(one, (HEIGHT, WIDTH), one.fixed_size[::-1]), low + random.random((20, 2)) * (high - low)
    )
    assert (points >= box[:2] - 1e-6).all()
    assert (points <= box[2:] + 1e-6).all()


@settings(max_examples=60)
@given(rigs())
def test_a_box_there_and_back_holds_the_box(one):
    box = np.array([[10.0, 8.0, 30.0, 24.0]])
    there = warp_boxes(box, one)
    width, height = one.fixed_size
    assume((there >= 0).all() and (there[0, 2:] <= (width, height)).all())
    back = warp_boxes(there, one, "moved")[0]
    assert (back[:2] <= box[0, :2] + 1e-6).all()
    assert (back[2:] >= box[0, 2:] - 1e-6).all()
