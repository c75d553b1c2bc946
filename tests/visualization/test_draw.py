"""Boxes, words and colours on one picture."""

import numpy as np
import pytest

from caffdet_cli.visualization import text
from caffdet_cli.visualization.draw import Labelled, draw_boxes, draw_objects
from caffdet_cli.visualization.palette import PALETTE, colour_of, text_colour_on

GREY = 90


def flat(height: int = 240, width: int = 320) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=-1).any())


def changed(picture: np.ndarray) -> np.ndarray:
    """(y, x) limits of what was drawn: top, left, bottom, right."""
    rows, columns = np.nonzero((picture != GREY).any(axis=2))
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


def test_the_picture_itself_is_not_touched():
    picture = flat()
    drawn = draw_boxes(picture, np.array([[20, 30, 100, 90]]), ["car"], [0.5])
    assert (picture == GREY).all()
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8


def test_a_grey_picture_gets_colours():
    drawn = draw_boxes(np.full((100, 100), GREY, np.uint8), np.array([[20, 30, 80, 90]]), ["car"], [0.5])
    assert drawn.shape == (100, 100, 3)
    assert has(drawn, colour_of("car"))


def test_a_frame_lies_on_the_edges_of_its_box():
    drawn = draw_boxes(flat(), np.array([[20.4, 30.0, 100.0, 90.6]]), [""], kind="truth")
    np.testing.assert_array_equal(changed(drawn), [30, 20, 91, 100])


def test_truth_is_dashed_and_a_detection_is_solid():
    box = np.array([[20, 60, 220, 180]])
    truth = draw_boxes(flat(), box, ["car"], kind="truth")
    found = draw_boxes(flat(), box, ["car"], [0.9])
    colour = colour_of("car")
    left_of = [(picture[60:180, 20] == colour).all(axis=1) for picture in (truth, found)]
    assert left_of[1][2:-2].all()
    assert 0.3 < left_of[0].mean() < 0.7


def test_truth_shows_on_top_of_a_detection_of_the_same_box():
    objects = Labelled(np.array([[20, 60, 220, 180]]), ["car"])
    alone = draw_objects(flat(), detections=objects._replace(scores=[0.9]))
    both = draw_objects(flat(), truth=objects, detections=objects._replace(scores=[0.9]))
    assert (alone[100:150, 20] != both[100:150, 20]).any()


@pytest.mark.parametrize(
    "box",
    [
        [np.nan, 10, 50, 50],
        [10, 10, np.inf, 50],
        [-90, -90, -10, -10],
        [400, 10, 500, 50],
    ],
)
def test_a_box_that_cannot_be_seen_is_left_out(box: list[float]):
    assert (draw_boxes(flat(), np.array([box]), ["car"], [0.9]) == GREY).all()


@pytest.mark.parametrize("box", [[-1e9, -1e9, 1e9, 1e9], [50, 50, 50, 50], [60, 60, 40, 40], [318, 238, 330, 250]])
def test_odd_boxes_are_drawn_without_complaint(box: list[float]):
    assert not (draw_boxes(flat(), np.array([box]), ["car"], [0.9]) == GREY).all()


def test_no_boxes_leave_the_picture_as_it_is():
    assert (draw_boxes(flat(), np.zeros((0, 4)), [], []) == GREY).all()


def test_the_best_detection_lies_on_top():
    box = np.array([[20, 60, 220, 180], [20, 60, 220, 180]])
    drawn = draw_boxes(flat(), box, ["car", "person"], [0.4, 0.9])
    assert tuple(drawn[120, 20]) == colour_of("person")


def test_a_crowd_of_boxes_is_drawn():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 100, (300, 2))], axis=1)
    drawn = draw_boxes(flat(512, 640), boxes, ["person"] * 300, rng.uniform(0, 1, 300).tolist())
    assert has(drawn, colour_of("person"))


@pytest.mark.parametrize("shape", [(1, 1), (8, 400), (400, 8), (20, 20)])
def test_tiny_pictures_are_no_problem(shape: tuple[int, int]):
    drawn = draw_boxes(flat(*shape), np.array([[0, 0, shape[1], shape[0]]]), ["a long class name"], [0.5])
    assert drawn.shape == (*shape, 3)


def test_lines_and_letters_grow_with_the_picture():
    small, large = (
        changed(
            draw_boxes(flat(side, side), np.array([[side // 4, side // 2, side // 2, side * 3 // 4]]), ["x"], [0.5])
        )
        for side in (256, 1024)
    )
    above = 256 // 2 - small[0], 1024 // 2 - large[0]  # height of the label
    assert 2 < above[1] / above[0] < 5


# ------------------------------------------------------------------------------------------------------ colours


def test_a_name_has_one_colour_whatever_the_case():
    assert colour_of("person") == colour_of(" Person ") == (230, 159, 0)


@pytest.mark.parametrize(
    "names",
    [
        ("person", "dog", "car", "sign"),
        ("person", "bicycle", "car", "dog"),
        ("people", "car", "bus", "motorcycle", "lamp", "truck"),
        ("person", "cyclist", "people", "person?"),
        ("car", "truck", "bus", "van", "freight car"),
    ],
    ids=["demo", "flir", "m3fd", "kaist", "dronevehicle"],
)
def test_classes_of_one_data_set_differ(names: tuple[str, ...]):
    assert len({colour_of(name) for name in names}) == len(names)


@pytest.mark.parametrize("colour", PALETTE)
def test_words_on_every_colour_can_be_read(colour: tuple[int, int, int]):
    def luminance(values: tuple[int, int, int]) -> float:  # WCAG 2.1
        linear = [(v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4) for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(colour), luminance(text_colour_on(colour))))
    assert (light + 0.05) / (dark + 0.05) > 3.3


# -------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize("words", ["person", "Größe", "人 车", "пешеход", "a\nb\tc\x1b[0m", "\udcff", "", "😀"])
def test_any_name_can_be_written(words: str):
    picture = flat(60, 400)
    text.write(picture, words, 5, 5, 20, (255, 255, 255))
    assert text.width_of(words, 20) >= 0
    shown = changed(picture) if words else np.array([5, 5, 25, 5])
    assert shown[2] <= 5 + text.line_height(20)  # one line
    assert shown[3] <= 5 + text.width_of(words, 20) + 2


def test_words_beyond_the_edge_do_not_wrap():
    picture = flat(100, 60)
    text.write(picture, "a name that is much too long", 5, 5, 16, (255, 255, 255))
    assert changed(picture)[2] <= 5 + text.line_height(16)


def test_a_long_name_is_shortened_to_fit():
    assert text.shorten("person", 12, 500) == "person"
    short = text.shorten("a very long class name", 12, 60)
    assert short.endswith("..")
    assert text.width_of(short, 12) <= 60
    assert text.shorten("person", 12, 3) == ""
