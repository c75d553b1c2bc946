"""The label files of YOLO, line by line."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_sets import picture
from yolo_sets import row, write

from caffdet_cli.data.formats.records import BrokenAnnotation
from caffdet_cli.data.formats.yolo_text import parse_yolo, yolo_reader
from caffdet_cli.errors import DatasetError

NAMES = {0: "person", 1: "bicycle", 2: "car"}
SIZE = (100, 50)


def parse(text, *, size=SIZE, names=NAMES, form="boxes"):
    return parse_yolo(text.encode(), size, names, form)


def test_fractions_become_corners_in_pixels_and_numbers_names():
    (one,) = parse("2 0.5 0.4 0.2 0.8\n")
    assert (one.name, one.box, one.problem) == ("car", (40.0, 0.0, 60.0, 40.0), "")


@pytest.mark.parametrize("text", ["", "\n", "  \n\t\n", "\ufeff"])
def test_an_empty_file_is_a_picture_without_objects(text):
    assert parse(text) == ()


def test_trailing_blanks_double_blanks_tabs_windows_lines_and_no_final_newline_are_fine():
    plain = parse("0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.4 0.4\n")
    assert parse("0  0.5  0.5\t0.2 0.2  \r\n\r\n1 0.5 0.5 0.4 0.4  ") == plain


def test_a_class_written_as_a_float_is_its_number():
    assert [one.name for one in parse("1.0 0.5 0.5 0.1 0.1\n2.000000e0 0.5 0.5 0.1 0.1")] == ["bicycle", "car"]


def test_without_names_classes_are_called_by_their_numbers():
    assert [one.name for one in parse("0 .5 .5 .1 .1\n12 .5 .5 .1 .1", names=None)] == ["0", "12"]


def test_a_number_without_a_name_is_called_so_that_no_class_has_that_name():
    (one,) = parse("7 0.5 0.5 0.1 0.1")
    assert one.name == "number 7"
    assert one.box is not None


@pytest.mark.parametrize("text", ["person", "-1", "0.5", "nan", "inf", "1e7", "0x1", "1e400"])
def test_a_class_that_is_no_whole_number_is_told_with_its_line(text):
    _, two = parse(f"0 0.5 0.5 0.1 0.1\n{text} 0.5 0.5 0.1 0.1")
    assert (two.name, two.box) == ("", None)
    assert two.problem.startswith("line 2: class is ")


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ("320 0.5 0.1 0.1", "centre x is '320'"),
        ("0.5 -0.2 0.1 0.1", "centre y is '-0.2'"),
        ("0.5 0.5 1.5 0.1", "width is '1.5'"),
        ("0.5 0.5 0.1 -0.1", "height is '-0.1'"),
        ("nan 0.5 0.1 0.1", "centre x is 'nan'"),
        ("0.5 inf 0.1 0.1", "centre y is 'inf'"),
        ("0.5 0.5 1e999 0.1", "width is '1e999'"),
        ("0.5 0.5 0.1 x", "height is 'x'"),
    ],
)
def test_what_is_no_fraction_is_a_broken_box_and_never_taken_for_pixels(columns, what):
    (one,) = parse(f"0 {columns}")
    assert one.box is None
    assert one.problem == f"line 1: {what}, a fraction of the picture from 0 to 1 is needed"


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        (1, "1 columns; a label is: class, centre x"),
        (4, "4 columns; a label is"),
        (6, "6 columns: with a sixth, a confidence"),
        (7, "7 columns: a polygon"),
        (8, "8 columns; a label is"),
        (9, "9 columns: four corners"),
        (11, "11 columns: a polygon"),
    ],
)
def test_other_numbers_of_columns_are_refused_with_what_they_look_like(columns, what):
    with pytest.raises(BrokenAnnotation, match=f"line 3 has {what}"):
        parse("0 0.5 0.5 0.1 0.1\n\n" + " ".join(["0"] + ["0.5"] * (columns - 1)))


def test_corners_are_read_where_they_were_asked_for():
    (one,) = parse("0 0.1 0.2 0.5 0.1 0.6 0.6 0.2 0.7", form="corners")
    assert one.corners == ((10, 10), (50, 5), (60, 30), (20, 35))
    assert one.box == (10, 5, 60, 35)
    (plain,) = parse("0 0.5 0.5 0.2 0.2", form="corners")
    assert plain.corners is None
    with pytest.raises(BrokenAnnotation, match="a polygon"):
        parse("0 0.1 0.2 0.5 0.1 0.6 0.6", form="corners")


def test_of_polygons_the_box_around_is_taken():
    triangle, square = parse("0 0.1 0.2 0.5 0.1 0.6 0.6\n1 0 0 1 0 1 1 0 1", form="polygons")
    assert (triangle.box, triangle.corners) == ((10, 5, 60, 30), None)
    assert (square.box, square.corners) == ((0, 0, 100, 50), None)
    with pytest.raises(BrokenAnnotation, match="8 columns"):
        parse("0 0.1 0.2 0.5 0.1 0.6 0.6 0.7", form="polygons")


def test_a_corner_that_is_no_fraction_is_named():
    (one,) = parse("0 0.1 0.2 0.5 7 0.6 0.6 0.2 0.7", form="corners")
    assert one.problem.startswith("line 1: y2 is '7'")


@pytest.mark.parametrize("content", [b"\xff\xfe0\x00", b"0 0.5 0.5 0.1 \x80"])
def test_what_is_no_text_is_refused(content):
    with pytest.raises(BrokenAnnotation, match="no text in UTF-8"):
        parse_yolo(content, SIZE)


def test_the_size_comes_from_the_pictures_header_as_width_and_height(tmp_path):
    path = write(tmp_path / "1.txt", "0 0.5 0.5 1 1")
    record = yolo_reader(NAMES)(path, picture(tmp_path / "1.png", 80, 60))
    assert (record.size, record.objects[0].box, record.filename) == ((80, 60), (0, 0, 80, 60), "")
    assert yolo_reader(NAMES)(path, None).size is None


def test_a_link_in_a_circle_and_a_picture_that_is_none_are_errors_of_the_user(tmp_path):
    (tmp_path / "1.txt").symlink_to(tmp_path / "1.txt")
    with pytest.raises(DatasetError, match="cannot read"):
        yolo_reader(NAMES)(tmp_path / "1.txt", None)
    write(tmp_path / "2.txt", "0 0.5 0.5 1 1")
    write(tmp_path / "2.jpg", "no picture")
    with pytest.raises(DatasetError, match=r"2\.jpg cannot be read"):
        yolo_reader(NAMES)(tmp_path / "2.txt", tmp_path / "2.jpg")


@given(
    side=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    fractions=st.tuples(*[st.floats(0, 1)] * 4),
    number=st.integers(0, 2),
    decimals=st.sampled_from([4, 6, 9]),
)
@settings(max_examples=60)
def test_boxes_of_a_picture_come_back_within_their_rounding_and_never_leave_it(side, fractions, number, decimals):
    width, height = side
    left, right = sorted(one * width for one in fractions[:2])
    top, bottom = sorted(one * height for one in fractions[2:])
    (one,) = parse(row(number, (left, top, right, bottom), side, decimals), size=side)
    assert one.name == NAMES[number]
    for read, meant, length in zip(one.box, (left, top, right, bottom), side * 2, strict=True):
        assert abs(read - meant) <= length * 0.51 * 10**-decimals * 2 + 1e-9
        assert 0 <= read <= length


TOKENS = st.sampled_from(
    ["0", "1", "0.5", "1.0", "nan", "-1", "x", "1e400", "०", "\x00", " ", "\n", "\r\n", "\t", "\u2028"]
)


@given(
    st.lists(TOKENS, max_size=40).map(" ".join) | st.text(max_size=80),
    st.sampled_from(["boxes", "corners", "polygons"]),
)
@settings(max_examples=150)
def test_any_text_is_read_or_refused(text, form):
    try:
        objects = parse(text, form=form)
    except BrokenAnnotation:
        return
    for one in objects:
        assert (one.box is None) == bool(one.problem)
        assert one.box is None or all(-SIZE[0] <= side <= 2 * SIZE[0] for side in one.box)


@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_any_bytes_are_read_or_refused(content):
    with suppress(BrokenAnnotation):
        parse_yolo(content, SIZE, NAMES)
