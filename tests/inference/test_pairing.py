"""Which pictures belong together: by name, by patterns, by time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.inference.pairing import paired, time_of


def files(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def names(pairs) -> dict[str, tuple[str | None, str | None]]:
    return {key: (two.rgb and two.rgb.name, two.ir and two.ir.name) for key, two in pairs.items()}


def test_a_pattern_says_what_both_names_share():
    found = paired(files("c-7.png", "c-8.png", "notes.png"), files("t-7.tiff", "t-9.tiff"), "c-*.png=t-*.tiff")
    assert names(found) == {"7": ("c-7.png", "t-7.tiff"), "8": ("c-8.png", None), "9": (None, "t-9.tiff")}


@pytest.mark.parametrize("rule", ["c.png=t-*.png", "*_*.png=*.png", "nearest", "a=b=c", ""])
def test_a_rule_that_says_nothing_is_refused(rule):
    with pytest.raises(ConfigError, match="--pair-by"):
        paired(files("a.png"), files("b.png"), rule)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("20260501_142233_250", 1777645353.25),
        ("2026-05-01T14-22-33.25", 1777645353.25),
        ("cam0_20260501142233", 1777645353.0),
        ("1777645353.25", 1777645353.25),
        ("frame_1777645353250", 1777645353.25),
        ("1777645353250000", 1777645353.25),
        ("ir-1777645353250000000", 1777645353.25),
    ],
)
def test_times_are_read_from_the_usual_names(name, seconds):
    assert time_of(name) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize("name", ["frame_000123", "20261350_999999", "picture", "12345678901234567890123"])
def test_other_names_have_no_time(name):
    assert time_of(name) is None


@given(st.integers(1_600_000_000, 1_990_000_000), st.sampled_from([3, 6, 9]), st.data())
def test_long_numbers_are_seconds_whatever_they_look_like(seconds, digits, data):
    part = data.draw(st.integers(0, 10**digits - 1))
    assert time_of(f"cam_{seconds}{part:0{digits}d}") == pytest.approx(seconds + part / 10**digits, abs=1e-3)


def test_frames_of_kaist_are_called_as_its_results_call_them():
    rgb, ir = (
        [Path(f"KAIST/images/set06/V00{video}/{side}/I00019.jpg") for video in (0, 1)] for side in ("visible", "lwir")
    )
    found = paired(rgb, ir)
    assert list(found) == ["set06_V000_I00019", "set06_V001_I00019"]
    assert found["set06_V001_I00019"] == (rgb[1], ir[1])


def test_a_number_of_2032_is_no_day_of_1966():
    assert time_of("cam_1966082100000000") == pytest.approx(1_966_082_100)
    assert time_of("19991231_235959_25") == pytest.approx(946_684_799.25)


@given(st.text(max_size=40))
def test_any_name_has_a_time_or_none(name):
    assert time_of(name) is None or time_of(name) >= 0


def test_the_nearest_in_time_are_a_pair_and_each_picture_is_in_one():
    rgb = files("1777645353.000.png", "1777645353.040.png", "1777645353.500.png")
    ir = files("1777645353.030.png", "1777645353.045.png", "1777645353.900.png")
    found = names(paired(rgb, ir, "time"))
    assert found["1777645353.040"] == ("1777645353.040.png", "1777645353.045.png")
    assert found["1777645353.000"] == ("1777645353.000.png", "1777645353.030.png")
    assert found["1777645353.500"] == ("1777645353.500.png", None)
    assert found["1777645353.900"] == (None, "1777645353.900.png")
    assert names(paired(rgb, ir, "time:0.41"))["1777645353.500"][1] == "1777645353.900.png"
    assert names(paired(rgb, ir, "time:0.001"))["1777645353.040"][1] is None


@given(st.lists(st.integers(0, 400), unique=True, max_size=20), st.lists(st.integers(0, 400), unique=True, max_size=20))
def test_every_picture_is_in_one_pair_and_no_pair_is_too_far_apart(first, second):
    rgb, ir = ([Path(f"{1777645353000 + at}.png") for at in side] for side in (first, second))
    ir = [path.with_name(f"ir_{path.name}") for path in ir]
    found = paired(rgb, ir, "time:0.02")
    assert sorted(two.rgb for two in found.values() if two.rgb) == sorted(rgb)
    assert sorted(two.ir for two in found.values() if two.ir) == sorted(ir)
    for two in found.values():
        if two.rgb and two.ir:
            assert abs(time_of(two.rgb.stem) - time_of(two.ir.stem)) <= 0.02


def test_a_name_without_a_time_is_told():
    with pytest.raises(DatasetError, match=r"no time in the name of a\.png"):
        paired(files("a.png"), files("1777645353.0.png"), "time")


@pytest.mark.parametrize("rule", ["time:", "time:x", "time:-1", "time:nan", "time:1e9"])
def test_seconds_are_a_sane_number(rule):
    with pytest.raises(ConfigError, match="no number of seconds"):
        paired([], [], rule)
