"""The shift between two spectra: known ones are found, and what cannot be measured is not believed."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_set import HEIGHT, WIDTH, scene

from caffdet_cli.data.demo_scenes import scene as demo_scene
from caffdet_cli.data.inspection.alignment import alignment
from caffdet_cli.data.inspection.shift import TRUSTED, Shift, shift_between

LARGE = 256


def greys(seed: int, right: int = 0, down: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two windows of one scene; what is at x in the first is at x + right in the second."""
    rgb, ir = scene(seed, LARGE + 80, LARGE + 80)
    first = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[40 : 40 + LARGE, 40 : 40 + LARGE]
    second = ir[40 - down : 40 - down + LARGE, 40 - right : 40 - right + LARGE]
    return first.astype(np.float32), second.astype(np.float32)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), right=st.integers(-30, 30), down=st.integers(-30, 30))
def test_a_known_shift_between_inverted_spectra_is_found_to_a_pixel(seed, right, down):
    found = shift_between(*greys(seed, right, down), (LARGE, LARGE))
    assert found is not None
    assert found.trusted
    assert found.right == pytest.approx(right, abs=1)
    assert found.down == pytest.approx(down, abs=1)


def test_the_shift_is_in_pixels_of_the_size_that_is_given():
    found = shift_between(*greys(1, 8, -6), (4 * LARGE, 2 * LARGE))
    assert found is not None
    assert (found.right, found.down) == (pytest.approx(32, abs=4), pytest.approx(-12, abs=2))


def test_pictures_of_another_resolution_are_compared():
    rgb, ir = greys(2, 10, 4)
    found = shift_between(cv2.resize(rgb, (512, 512)), ir, (LARGE, LARGE))
    assert found is not None
    assert (found.right, found.down) == (pytest.approx(10, abs=1), pytest.approx(4, abs=1))


def test_two_different_scenes_are_hardly_ever_believed():
    found = [shift_between(greys(seed)[0], greys(seed + 1)[1], (LARGE, LARGE)) for seed in range(40)]
    assert sum(shift.trusted for shift in found) <= 1


@pytest.mark.parametrize("grey", [np.zeros((128, 128), np.float32), np.ones((8, 200), np.float32)])
def test_without_edges_or_with_too_few_pixels_there_is_no_shift(grey):
    assert shift_between(grey, greys(3)[1], (LARGE, LARGE)) is None


@pytest.mark.parametrize("number", [147, 189, 241, 250, 365, 439, 442, 604, 863])
def test_lights_in_the_dark_are_not_taken_for_a_shift(number):
    drawn = demo_scene((0, number), (HEIGHT, WIDTH))  # at night: one view of the edges alone would believe each
    pair = cv2.cvtColor(drawn.rgb, cv2.COLOR_RGB2GRAY), drawn.ir
    found = shift_between(*(grey.astype(np.float32) for grey in pair), (WIDTH, HEIGHT))
    assert found is not None
    assert max(abs(found.right), abs(found.down)) > 15
    assert not found.trusted


def shifts(*spots: tuple[float, float], confidence: float = 0.4) -> list[Shift | None]:
    return [Shift(right, down, confidence) for right, down in spots]


def test_the_median_ignores_pairs_that_are_not_trusted_and_tells_who_is_far_from_it():
    some = shifts((10, 0), (11, 1), (10, 0), (9, 0), (10, -1), (60, 0), (10, 40))
    found = alignment([*some, Shift(-500, 0, TRUSTED / 2), None], [640] * 9)
    assert (found.pairs, found.trusted) == (8, 7)
    assert (found.right, found.down) == (10, 0)
    assert found.doubts == (5, 6)  # the farthest first
    assert found.large


def test_scatter_of_a_loose_rig_raises_no_doubt():
    random = np.random.default_rng(0)
    found = alignment(shifts(*random.normal(0, 8, (200, 2)).tolist()), [640] * 200)
    assert len(found.doubts) <= 2
    assert not found.large


def test_a_pair_with_nothing_in_common_is_told_where_most_pairs_have_much():
    lost, good = Shift(3, 70, 0.01), shifts(*[(0, 0)] * 8)
    assert alignment([*good, lost], [640] * 9).strangers == (8,)
    assert alignment([*good, *[lost] * 8], [640] * 16).strangers == ()


def test_few_pairs_have_no_median():
    found = alignment(shifts((0, 0), (0, 0), (90, 0), (0, 0)), [640] * 4)
    assert (found.trusted, found.right, found.doubts) == (4, None, ())


def measured(rgb_path, ir_path, moved=(0, 0)):
    rgb, ir = (cv2.resize(cv2.imread(str(path), 0), (256, 205)).astype(np.float32) for path in (rgb_path, ir_path))
    ir = np.roll(ir, moved[::-1], (0, 1))
    return shift_between(rgb, ir, (256, 205))


def test_registered_night_pairs_lie_on_each_other_with_confidence(shared):
    rgbs = sorted((shared / "data/llvip_mini/visible").glob("*/*.jpg"))
    found = [measured(path, str(path).replace("visible", "infrared")) for path in rgbs]
    assert len(found) == 10
    assert all(shift.trusted and abs(shift.right) < 2 and abs(shift.down) < 2 for shift in found)


def test_a_shift_of_real_pairs_is_found(shared):
    rgbs = sorted((shared / "data/unlabelled_pairs/roadscene/visible").glob("FLIR_0[0-6]*.jpg"))
    found = [measured(path, str(path).replace("visible", "infrared"), (20, -9)) for path in rgbs]
    sure = [shift for shift in found if shift.trusted]
    assert len(sure) >= 5
    assert all(abs(shift.right - 20) < 3 and abs(shift.down + 9) < 3 for shift in sure)


def test_people_who_moved_before_a_still_background_are_not_seen(shared):
    folder = shared / "data/unlabelled_pairs/roadscene"
    found = measured(folder / "visible/FLIR_04598.jpg", folder / "infrared/FLIR_04598.jpg")
    assert found.trusted
    assert max(abs(found.right), abs(found.down)) < 2
