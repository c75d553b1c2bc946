"""Thermal counts to the range of the model: the stated rules, and nothing lost on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from caffdet_cli.data.thermal import by_rule, to_model_range
from caffdet_cli.settings.data import PercentileRule, PerImageRule, RangeRule

RULES = [RangeRule(low=7000, high=9000), PercentileRule(), PerImageRule()]
COUNTS = (7000 + np.arange(2000).reshape(40, 50)).astype(np.uint16)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_eight_bit_pictures_stay_as_they_are_whatever_the_rule(rule):
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    result = to_model_range(picture, "ir", rule)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.dstack([picture] * 3))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_sixteen_bit_pictures_keep_their_levels(rule):
    result = to_model_range(COUNTS, "ir", rule)
    assert result.dtype == np.float32
    assert result.shape == (40, 50, 3)
    assert len(np.unique(result)) > 1900


def test_range_keeps_absolute_counts():
    counts = np.array([[6000, 7000, 8000, 9000, 10000]], np.uint16)
    np.testing.assert_allclose(by_rule(counts, RULES[0]), [[0, 0, 0.5, 1, 1]])


def test_percentiles_leave_out_a_hot_pixel():
    counts = COUNTS.copy()
    counts[0, 0] = 65535
    scaled = by_rule(counts, PercentileRule(low=0, high=99))
    assert scaled[0, 0] == 1
    assert 0.4 < np.median(scaled) < 0.6
    assert np.median(by_rule(counts, PerImageRule())) < 0.1


def test_per_image_spreads_from_0_to_1():
    scaled = by_rule(COUNTS, PerImageRule())
    assert scaled.min() == 0
    assert scaled.max() == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_three_channels_share_the_limits(rule):
    grey = to_model_range(COUNTS, "ir", rule)
    np.testing.assert_array_equal(to_model_range(np.dstack([COUNTS] * 3), "ir", rule), grey)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_other_depths_follow_the_same_rule(dtype):
    np.testing.assert_allclose(
        by_rule(COUNTS.astype(dtype), PerImageRule()), by_rule(COUNTS, PerImageRule()), atol=1e-6
    )


def test_counts_that_are_not_finite_do_not_count():
    counts = COUNTS.astype(np.float32)
    counts[0, :3] = [np.nan, np.inf, -np.inf]
    scaled = by_rule(counts, PerImageRule())
    np.testing.assert_array_equal(scaled[0, :3], [0, 1, 0])
    np.testing.assert_allclose(scaled[1:], by_rule(COUNTS, PerImageRule())[1:], atol=0.01)


@pytest.mark.parametrize("counts", [np.full((3, 4), 5, np.uint16), np.full((3, 4), np.nan, np.float32)])
@pytest.mark.parametrize("rule", RULES[1:], ids=lambda rule: rule.name)
def test_a_picture_without_contrast_becomes_0(counts, rule):
    np.testing.assert_array_equal(by_rule(counts, rule), np.zeros((3, 4)))


def test_visible_sixteen_bit_pictures_are_divided_by_their_type():
    result = to_model_range(np.array([[0, 65535]], np.uint16), "rgb", PerImageRule())
    np.testing.assert_array_equal(result[0, :, 0], [0, 1])
    np.testing.assert_allclose(to_model_range(np.array([[32768, 0]], np.uint16), "rgb", RULES[0])[0, 0], 0.5, atol=1e-4)


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6))), st.sampled_from(RULES))
def test_the_result_is_in_0_to_1_and_keeps_the_order_of_counts(counts, rule):
    scaled = by_rule(counts, rule)
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    order = np.argsort(counts, axis=None, kind="stable")
    assert (np.diff(scaled.reshape(-1)[order]) >= 0).all()


def test_a_range_may_be_given_in_degrees_of_a_radiometric_camera():
    rule = RangeRule(low=0, high=40, degrees_per_count=0.04, degrees_at_zero=-273.15)
    at_20 = (20 + 273.15) / 0.04
    np.testing.assert_allclose(by_rule(np.array([[at_20]], np.float64), rule), [[0.5]], atol=1e-4)


def test_degrees_at_zero_alone_is_refused():
    with pytest.raises(ValueError, match="degrees_per_count"):
        RangeRule(low=0, high=40, degrees_at_zero=-273.15)
