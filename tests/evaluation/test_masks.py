"""Masks of files: as pycocotools has them, and never broken ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.masks import read_mask

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools with numpy 2

SIZE = (6, 8)
PLACE = "found.json: entry 3"

grids = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1))


def runs_of(grid: np.ndarray) -> list[int]:
    """Lengths of the runs down the columns, the first of zeros."""
    flat = grid.flatten(order="F").tolist()
    runs, value = [0], 0
    for pixel in flat:
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@given(grids)
def test_packed_and_listed_runs_are_the_picture(grid):
    size = grid.shape
    packed = coco_mask.encode(np.asfortranarray(grid))
    as_text = {"size": list(size), "counts": packed["counts"].decode()}
    as_list = {"size": list(size), "counts": runs_of(grid)}
    for value in (as_text, as_list):
        np.testing.assert_array_equal(coco_mask.decode(read_mask(value, size, PLACE)), grid)


def test_long_runs_are_unpacked():
    grid = np.zeros((3000, 3000), np.uint8)
    grid[17:2900, 5:9] = 1
    packed = coco_mask.encode(np.asfortranarray(grid))
    value = {"size": [3000, 3000], "counts": packed["counts"].decode()}
    assert coco_mask.area(read_mask(value, (3000, 3000), PLACE)) == grid.sum()


def test_polygons_are_filled_together():
    mask = read_mask([[0, 0, 4, 0, 4, 4, 0, 4], [5, 0, 8, 0, 8, 2, 5, 2]], SIZE, PLACE)
    assert coco_mask.area(mask) == 16 + 6


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "is missing"),
        ([], "is missing"),
        ("text", "is 'text'"),
        (7, "is 7"),
        ([[]], "[0] is []; a polygon is x, y"),
        ([[1, 2, 3, 4]], "a polygon is x, y"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon is x, y"),
        ([1, 2, 3, 4, 5, 6], "[0] is 1; a polygon"),
        ([[1, 2, 3, 4, 5, float("nan")]], "something else than coordinates"),
        ([[1, 2, 3, 4, 5, 1e300]], "something else than coordinates"),
        ([[1, 2, 3, 4, 5, 10**400]], "something else than coordinates"),
        ([[1, 2, 3, 4, 5, "6"]], "something else than coordinates"),
        ([[0, 0, 1e6, 0, 0, 1e6]], "outline is longer"),
        ({"size": [8, 6], "counts": [48]}, "size is [8, 6], its picture has [6, 8]"),
        ({"counts": [48]}, "size is None"),
        ({"size": [6, 8]}, "no run lengths"),
        ({"size": [6, 8], "counts": [47]}, "no run lengths that make up"),
        ({"size": [6, 8], "counts": [50, -2]}, "no run lengths"),
        ({"size": [6, 8], "counts": [1.5, 46.5]}, "no run lengths"),
        ({"size": [6, 8], "counts": [10**30]}, "no run lengths"),
        ({"size": [6, 8], "counts": ""}, "no run lengths"),
        ({"size": [6, 8], "counts": "ooooooooooooooo0"}, "no run lengths"),
        ({"size": [6, 8], "counts": "\u00e9\0"}, "no run lengths"),
        ({"size": [6, 8], "counts": "o"}, "no run lengths"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(value, sentence):
    with pytest.raises(DatasetError) as caught:
        read_mask(value, SIZE, PLACE)
    assert str(caught.value).startswith(f"{PLACE}.segmentation")
    assert sentence in str(caught.value)


def test_a_picture_too_large_for_masks_is_refused():
    with pytest.raises(DatasetError, match="too many for masks"):
        read_mask({"size": [10**6, 10**6], "counts": [10**12]}, (10**6, 10**6), PLACE)


@given(st.text(alphabet=st.characters(min_codepoint=48, max_codepoint=111), max_size=12))
def test_any_packed_text_is_a_whole_mask_or_refused(text):
    try:
        mask = read_mask({"size": list(SIZE), "counts": text}, SIZE, PLACE)
    except DatasetError:
        return
    assert coco_mask.decode(mask).shape == SIZE


side = st.floats(-50, 50) | st.integers(-50, 50)


@given(st.lists(st.lists(side, max_size=12), max_size=4))
def test_any_polygons_are_a_mask_or_refused(polygons):
    try:
        mask = read_mask(polygons, SIZE, PLACE)
    except DatasetError:
        return
    assert 0 <= coco_mask.area(mask) <= SIZE[0] * SIZE[1]
