"""The rule `camera`: one range for all pictures, measured on the training split and stored as such."""

import cv2
import numpy as np
import pytest

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, no_objects
from caffdet_cli.data.camera_range import fixed_rule
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.data import CameraRule, PercentileRule, RangeRule


def pictures_of(folder, arrays, suffix=".png"):
    """An annotation set of infrared pictures alone."""
    examples = []
    for number, counts in enumerate(arrays):
        path = folder / f"{number:04d}{suffix}"
        assert cv2.imwrite(str(path), counts)
        examples.append(Example(number, None, path, counts.shape[1], counts.shape[0], no_objects()))
    return AnnotationSet(tuple(examples), (Category(1, "person"),), "ir", folder / "train.json")


def scene(warmest, dtype=np.uint16):
    return np.linspace(7000, warmest, 64 * 80).reshape(64, 80).astype(dtype)


def test_other_rules_stay_as_they_are(tmp_path):
    empty = pictures_of(tmp_path, [])
    for rule in (PercentileRule(), RangeRule(low=1, high=2)):
        assert fixed_rule(rule, empty) is rule


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_the_range_covers_all_pictures_but_for_its_percentiles(tmp_path, suffix):
    found = fixed_rule(CameraRule(low=0, high=100), pictures_of(tmp_path, [scene(8000), scene(9000)], suffix))
    assert found.name == "range"
    assert (found.low, found.high) == pytest.approx((7000, 9000), abs=2)


def test_a_hot_pixel_does_not_widen_the_range(tmp_path):
    hot = scene(8000)
    hot[3, 4] = 65535
    found = fixed_rule(CameraRule(), pictures_of(tmp_path, [hot, scene(8000)]))
    assert found.high < 8100


def test_three_equal_channels_and_floating_point_are_measured_too(tmp_path):
    three = np.repeat(scene(8000)[:, :, None], 3, axis=2)
    floating = scene(8000, np.float32)
    floating[0, 0] = np.nan
    found = fixed_rule(CameraRule(low=0, high=100), pictures_of(tmp_path, [three, floating], ".tiff"))
    assert (found.low, found.high) == pytest.approx((7000, 8000), abs=2)


def test_so_many_pictures_are_looked_at_the_last_one_among_them(tmp_path):
    many = pictures_of(tmp_path, [scene(8000)] * 6 + [scene(9000)])
    broken = many.examples[3].ir
    assert broken is not None
    broken.write_bytes(b"no picture")
    found = fixed_rule(CameraRule(low=0, high=100, pictures=2), many)
    assert found.high == pytest.approx(9000, abs=2)


def test_eight_bit_pictures_have_nothing_to_measure(tmp_path):
    with pytest.raises(DatasetError, match="8 bits"):
        fixed_rule(CameraRule(), pictures_of(tmp_path, [np.full((8, 8), 7, np.uint8)]))


def test_pictures_without_contrast_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no contrast"):
        fixed_rule(CameraRule(), pictures_of(tmp_path, [np.full((8, 8), 7000, np.uint16)]))
