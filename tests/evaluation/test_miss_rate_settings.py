"""Settings of a miss rate by name, and written out."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import ConfigError
from caffdet_cli.evaluation.miss_rate_settings import SETTINGS, USUAL, Setting, parse_settings


def test_none_named_are_the_four_of_the_papers():
    assert parse_settings([]) == USUAL
    assert [setting.name for setting in USUAL] == ["Reasonable", "Reasonable_small", "Reasonable_occ=heavy", "All"]


def test_each_is_found_by_its_name_in_any_case():
    for setting in SETTINGS:
        assert parse_settings([setting.name.upper()]) == (setting,)


def test_several_come_in_the_order_given_with_commas_or_repeated():
    names = [setting.name for setting in parse_settings(["far, near", "Occ=partial", "Scale=medium"])]
    assert names == ["far", "near", "occ=partial", "medium"]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("mine:height=40..90/occlusion=0+1/margin=0", Setting("mine", 40, 90, frozenset((0, 1)), 0)),
        ("tall:height=55..", Setting("tall", 55, math.inf)),
        ("tall:height=55", Setting("tall", 55, math.inf)),
        ("low:height=..45.5", Setting("low", 0, 45.5)),
        ("edge:margin=2.5", Setting("edge", margin=2.5)),
        ("all:", Setting("all")),
    ],
)
def test_one_of_your_own(text, setting):
    assert parse_settings([text]) == (setting,)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Reasonible", "did you mean 'Reasonable'"),
        ("", "there are Reasonable"),
        ("near,near", "given twice"),
        (":height=4", "a name comes before"),
        ("a:size=4", "'size' is not height, occlusion or margin"),
        ("a:height=nan", "'nan' is no number of pixels"),
        ("a:height=-4..", "'-4' is no number"),
        ("a:height=1e9", "'1e9' is no number"),
        ("a:height=9999999999", "is no number of pixels"),
        ("a:height=90..40", "from the smaller to the larger"),
        ("a:occlusion=3", "occlusion is 0"),
        ("a:occlusion=", "occlusion is 0"),
        ("a:margin=", "'' is no number"),
    ],
)
def test_what_is_wrong_is_said(text, sentence):
    with pytest.raises(ConfigError, match=r"--setting") as caught:
        parse_settings([text])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_setting_or_an_error_in_words(text):
    with contextlib.suppress(ConfigError):
        assert parse_settings([text])
