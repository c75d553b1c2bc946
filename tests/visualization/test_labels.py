"""Labels: inside the picture, never over each other, near their box."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.visualization.labels import place_labels

PICTURE = (200, 120)  # width, height


def box() -> st.SearchStrategy[list[int]]:
    def between(end: int) -> st.SearchStrategy[list[int]]:
        return st.tuples(st.integers(0, end), st.integers(0, end)).map(sorted)

    return st.tuples(between(199), between(119)).map(lambda ends: [each[side] for side in (0, 1) for each in ends])


labels = st.lists(st.tuples(box(), st.tuples(st.integers(1, 250), st.integers(1, 40)), st.booleans()), max_size=30)


@given(labels)
def test_labels_stay_inside_and_apart(wanted: list[tuple[list[int], tuple[int, int], bool]]):
    boxes = np.array([each[0] for each in wanted], np.int64).reshape(-1, 4)
    sizes = [each[1] for each in wanted]
    spots = place_labels(boxes, sizes, PICTURE, [each[2] for each in wanted])
    taken = np.zeros(PICTURE[::-1], int)
    for spot, (width, height) in zip(spots, sizes, strict=True):
        if spot is not None:
            left, top = spot
            assert min(left, top) >= 0
            assert left + width <= PICTURE[0]
            assert top + height <= PICTURE[1]
            taken[top : top + height, left : left + width] += 1
    assert taken.max(initial=0) <= 1


def one(box: list[int], size: tuple[int, int] = (40, 10), below: bool = False) -> tuple[int, int] | None:
    return place_labels(np.array([box]), [size], PICTURE, [below])[0]


def test_a_label_sits_above_its_box():
    assert one([50, 50, 100, 90]) == (50, 40)


def test_a_label_that_wants_to_sits_below_its_box():
    assert one([50, 50, 100, 90], below=True) == (50, 90)


def test_at_the_upper_edge_the_label_goes_below():
    assert one([50, 5, 100, 60]) == (50, 60)


def test_at_the_right_edge_the_label_ends_where_its_box_ends():
    assert one([180, 50, 200, 90]) == (160, 40)


def test_the_label_of_a_box_as_large_as_the_picture_is_inside():
    assert one([0, 0, 200, 120]) == (0, 0)


def test_the_same_box_many_times_gets_a_pile_of_labels_and_then_none():
    spots = place_labels(np.array([[50, 50, 90, 60]] * 200), [(40, 10)] * 200, PICTURE, [False] * 200)
    assert spots[0] == (50, 40)
    found = [spot for spot in spots if spot is not None]
    assert 10 < len(found) < 200
    assert spots[-1] is None
    assert all(abs(left - 50) <= 80 and abs(top - 50) <= 60 for left, top in found)


def test_a_label_wider_than_the_picture_has_no_place():
    assert one([50, 50, 100, 90], size=(201, 10)) is None


def test_thousands_of_labels_are_placed_in_a_moment():
    """Drawing 5,000 boxes took 16 seconds; no time is asserted, only that the work grows with the picture's room."""
    boxes = np.random.default_rng(0).integers(0, 100, (20_000, 2)).repeat(2, axis=1)[:, [0, 2, 1, 3]]
    boxes[:, 2:] += 20
    spots = place_labels(boxes, [(40, 10)] * len(boxes), PICTURE, [False] * len(boxes))
    found = [spot for spot in spots if spot is not None]
    assert 5 < len(found) <= 200 * 120 // (40 * 10)
