"""Pictures and scenes that two splits share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffdet_cli.data.inspection import leakage
from caffdet_cli.data.inspection.leakage import NEAR, Lookalike, lookalikes, same_files
from caffdet_cli.data.inspection.pictures import PairFacts, PictureFacts
from caffdet_cli.data.inspection.scenes import scenes

BITS = st.integers(0, 2**64 - 1)


def picture(bits: int, *, contrast: float = 50.0, digest: bytes = b"x") -> PictureFacts:
    return PictureFacts(hash=bits, contrast=contrast, digest=digest)


def pair(rgb: int | None, ir: int | None) -> PairFacts:
    return PairFacts(None if rgb is None else picture(rgb), None if ir is None else picture(ir))


def flipped(bits: int, count: int) -> int:
    return bits ^ ((1 << count) - 1)


@settings(max_examples=30)
@given(st.lists(st.tuples(BITS, BITS), min_size=1, max_size=8), st.lists(st.tuples(BITS, BITS), min_size=1, max_size=8))
def test_lookalikes_are_those_of_the_plain_definition(first, second):
    second = [*second, (flipped(first[0][0], 3), flipped(first[0][1], NEAR))]
    found = list(lookalikes([pair(*one) for one in first], [pair(*one) for one in second]))
    expected = []
    for index, (rgb, ir) in enumerate(first):
        bits = [max(bin(rgb ^ a).count("1"), bin(ir ^ b).count("1")) for a, b in second]
        if min(bits) <= NEAR:
            expected.append(Lookalike(index, bits.index(min(bits)), min(bits)))
    assert found == expected
    assert found


def test_both_spectra_must_look_alike_and_a_flat_or_missing_one_says_nothing():
    base = pair(5, 9)
    assert not list(lookalikes([base], [pair(5, flipped(9, NEAR + 1))]))
    assert list(lookalikes([base], [pair(5, None)])) == [Lookalike(0, 0, 0)]
    flat = PairFacts(picture(5), picture(flipped(9, 60), contrast=0.5))
    assert list(lookalikes([base], [flat])) == [Lookalike(0, 0, 0)]
    black = PairFacts(picture(0, contrast=0), picture(0, contrast=0))
    assert not list(lookalikes([black], [black]))
    assert not list(lookalikes([], [base]))
    assert not list(lookalikes([base], []))


def test_blocks_do_not_change_the_result(monkeypatch):
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**64, 40, np.uint64).tolist()
    first = [pair(one, one) for one in bits]
    second = [pair(flipped(one, number % 8), one) for number, one in enumerate(bits)]
    whole = list(lookalikes(first, second))
    monkeypatch.setattr(leakage, "_BLOCK", 90)
    assert list(lookalikes(first, second)) == whole
    assert len(whole) == 25


@pytest.mark.parametrize("fast", [True, False])
@given(bits=st.lists(BITS, min_size=1, max_size=20))
@settings(max_examples=20)
def test_ones_are_counted_with_and_without_numpy_2(fast, bits):
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.delattr(np, "bitwise_count", raising=False)
        assert leakage._count(np.array(bits, np.uint64)).tolist() == [bin(one).count("1") for one in bits]


def test_the_same_file_is_found_again_and_unreadable_ones_are_not_alike():
    files = [picture(1, digest=b"a"), PictureFacts(problem="broken"), picture(1, digest=b"b"), None]
    again = [picture(2, digest=b"a"), PictureFacts(problem="broken"), picture(3, digest=b"a")]
    assert list(same_files([*files, *again])) == [(4, 0), (6, 0)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["visible/train/010001.jpg", "visible/test/190001.jpg"], ["01", "19"]),
        (["images/set06/V000/visible/I00459.png", "x/set07_V001_I00001_lwir.png"], ["set06/V000", "set07/V001"]),
        (["road/0001.png", "park/0001.png"], ["road", "park"]),
        (["rgb/road_0001.png", "rgb/park-07.png"], ["road", "park"]),
        (["train/0001.png", "val/0001.png"], [None, None]),
        (["FLIR_00001_RGB.jpg", "FLIR_00002_RGB.jpg", "FLIR_00003_RGB.jpg", "07.jpg"], [None] * 4),
        ([], []),
    ],
)
def test_scenes_by_name(names, expected):
    assert scenes(names) == expected


def test_one_long_count_of_six_digits_is_no_count_per_scene():
    assert set(scenes([f"{number:06}.jpg" for number in range(0, 30_000, 50)])) == {None}


def test_a_scene_that_most_pictures_share_says_nothing():
    names = [f"FLIR_{number:05}.jpg" for number in range(8)] + [f"FLIR_video_{number:05}.jpg" for number in range(2)]
    assert scenes(names) == [None] * 8 + ["FLIR_video"] * 2
