"""Two pictures side by side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffdet_cli.visualization.draw import Labelled, look_for
from caffdet_cli.visualization.pair import draw_pair, scaled
from caffdet_cli.visualization.palette import colour_of
from caffdet_cli.visualization.text import line_height

TRUTH = Labelled(np.array([[100, 100, 200, 300]]), ["person"])


def grey(height: int, width: int, level: int = 60) -> np.ndarray:
    return np.full((height, width), level, np.uint8)


def halves(pair: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    return pair[:, :width], pair[:, -width:]


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Limits of a colour: left, top, right, bottom."""
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_both_pictures_carry_the_boxes():
    pair = draw_pair(np.zeros((400, 500, 3), np.uint8), grey(400, 500), TRUTH, legend=False)
    rgb, ir = halves(pair, 500)
    assert places(rgb, colour_of("person")) == places(ir, colour_of("person"))
    title = line_height(look_for(grey(400, 500)).text)
    assert pair.shape[0] == 400 + title


def test_boxes_are_scaled_onto_a_partner_of_another_size():
    truth = Labelled(np.array([[50.0, 100.0, 150.0, 200.0]]), [""])
    large, small = np.zeros((800, 1000, 3), np.uint8), grey(400, 500)
    pair = draw_pair(large, small, truth, label_spectrum="ir", legend=False)
    assert pair.shape[1] > 2000  # the small one is shown as high as the large one
    rgb, ir = halves(pair, 1000)
    title = pair.shape[0] - 800
    left, top, right, bottom = places(rgb, colour_of(""))
    assert places(ir, colour_of("")) == (left, top, right, bottom)
    assert abs(left - 100) <= 3
    assert abs(top - title - 200) <= 3
    assert abs(right - 300) <= 3 + 12  # the last dash may be a white one
    assert abs(bottom - title - 400) <= 3 + 12


def test_boxes_may_belong_to_the_rgb_picture():
    boxes = Labelled(np.array([[200.0, 200.0, 600.0, 600.0]]), [""])
    pair = draw_pair(np.zeros((800, 1000, 3), np.uint8), grey(400, 500), boxes, label_spectrum="rgb", legend=False)
    rgb, ir = halves(pair, 1000)
    assert places(rgb, colour_of(""))[0] == places(ir, colour_of(""))[0]
    assert abs(places(rgb, colour_of(""))[0] - 200) <= 3


def test_a_missing_picture_is_an_empty_panel_of_the_same_size():
    there = draw_pair(np.zeros((400, 500, 3), np.uint8), grey(400, 500), TRUTH)
    lost = draw_pair(np.zeros((400, 500, 3), np.uint8), None, TRUTH)
    assert lost.shape == there.shape
    rgb, ir = halves(lost, 500)
    in_panel = ir[:400]
    assert not (in_panel == colour_of("person")).all(axis=2).any()
    assert in_panel.min(axis=2).max() > 200  # the words
    np.testing.assert_array_equal(rgb, halves(there, 500)[0])


def test_two_missing_pictures_need_a_size():
    with pytest.raises(ValueError, match="size"):
        draw_pair(None, None)
    assert draw_pair(None, None, size=(400, 500), legend=False).shape[1] > 1000


def test_small_pictures_are_enlarged_so_that_labels_have_room():
    assert draw_pair(grey(128, 160), grey(128, 160), legend=False).shape[1] > 2 * 480


def test_one_spectrum_may_be_drawn_alone():
    assert draw_pair(None, grey(400, 500), spectra=["ir"], legend=False).shape[1] == 500


def test_the_legend_shows_the_classes_and_grows_by_lines():
    plain = draw_pair(grey(400, 500), grey(400, 500), TRUTH, legend=False)
    legend = draw_pair(grey(400, 500), grey(400, 500), TRUTH)[plain.shape[0] :]
    assert (legend == colour_of("person")).all(axis=2).any()
    many = Labelled(np.tile([[10, 10, 50, 50]], (80, 1)), [f"class number {number}" for number in range(80)])
    tall = draw_pair(grey(400, 500), grey(400, 500), many).shape[0] - plain.shape[0]
    assert legend.shape[0] < tall < 4 * legend.shape[0]  # three lines at most


def test_scaling_is_by_each_side():
    boxes = scaled(Labelled(np.array([[10, 20, 30, 40]]), ["x"]), (100, 200), (200, 100))
    assert boxes is not None
    np.testing.assert_allclose(boxes.boxes, [[5, 40, 15, 80]])


SIDES = st.sampled_from([1, 2, 31, 100, 256, 320, 640])


@settings(deadline=None, max_examples=60)
@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.booleans())
def test_pictures_of_any_two_shapes_are_a_pair(first, second, legend):
    """An upright picture beside a lying one is what a lost EXIF orientation looks like."""
    pair = draw_pair(grey(*first), grey(*second), TRUTH, legend=legend)
    assert 384 <= pair.shape[0] <= 800
    assert pair.shape[1] <= 2 * 4 * 640 + 5


@pytest.mark.parametrize("size", [(2, 30_000), (100, 30_000), (30_000, 2), (1, 1)])
@pytest.mark.parametrize("height", [None, 240, 120])
def test_a_picture_of_an_extreme_shape_takes_little_room(size, height):
    boxes = Labelled(np.array([[0.0, 0.0, size[1], size[0]]]), ["person"])
    pair = draw_pair(grey(*size, level=200), grey(512, 640), boxes, label_spectrum="rgb", height=height)
    assert pair.nbytes < 70e6
    assert (pair == colour_of("person")).all(axis=2).any()
    if height:
        assert pair.shape[1] < 4 * height + height * 640 // 512 + 10


def test_two_pictures_that_fit_nowhere_take_bounded_room():
    pair = draw_pair(grey(1, 20_000), grey(20_000, 1), TRUTH)
    assert pair.nbytes < 200e6


def test_large_pictures_of_cameras_are_drawn_as_they_are():
    assert draw_pair(grey(3000, 4000), grey(3000, 4000), TRUTH, legend=False).shape[1] > 8000


def test_a_long_picture_keeps_its_aspect_above_an_empty_strip():
    stripe = np.repeat(np.repeat(np.uint8([[255, 0], [0, 255]]), 50, axis=0), 500, axis=1)
    pair = draw_pair(stripe, None, size=(100, 1000), spectra=("rgb",), height=200, legend=False)
    panel = pair[-200:]
    assert panel.shape[1] == 800
    assert (panel[10:30, :390] > 200).all()  # 80 rows are the picture
    assert (panel[50:70, 410:] > 200).all()
    assert (panel[81:] == panel[-1, -1]).all()
