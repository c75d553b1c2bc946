"""A rig from points named by hand."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffdet_cli.data.alignment.points import Point, read_points, rig_from_points
from caffdet_cli.data.warp import through
from caffdet_cli.errors import DatasetError

RGB, IR = (1280, 1024), (640, 512)
HEADER = "pair,rgb_x,rgb_y,ir_x,ir_y\n"
TRUTH = np.array([[0.5, 0.02, 6.0], [-0.01, 0.48, 9.0], [2e-5, 1e-5, 1.0]])
SIMILAR = np.array([[0.5, -0.02, 16.0], [0.02, 0.5, 9.0], [0.0, 0.0, 1.0]])


def points(count: int = 9, matrix: np.ndarray = TRUTH) -> list[Point]:
    """Points all over the picture, on lines 2, 3, ..."""
    fractions = [(0.1, 0.1), (0.85, 0.15), (0.8, 0.85), (0.15, 0.8), (0.5, 0.4), (0.3, 0.6), (0.6, 0.2), (0.7, 0.6)]
    rgb = np.array([*fractions, (0.2, 0.35)])[:count] * RGB
    ir = through(matrix, rgb)
    return [Point(line, "a.jpg", tuple(a), tuple(b)) for line, (a, b) in enumerate(zip(rgb, ir, strict=True), start=2)]


@pytest.mark.parametrize("count", [4, 5, 9])
def test_exact_points_give_the_exact_homography(count):
    found = rig_from_points(points(count), RGB, IR)
    np.testing.assert_allclose(found.rig.homography, TRUTH, rtol=1e-5, atol=1e-7)
    assert found.rig.residual < 1e-3
    assert (found.rig.moved_size, found.rig.fixed_size, found.rig.pairs) == (RGB, IR, 1)


@pytest.mark.parametrize("model", ["similarity", "affine", "homography"])
def test_every_model_can_say_a_similarity(model):
    found = rig_from_points(points(9, SIMILAR), RGB, IR, model=model)
    np.testing.assert_allclose(found.rig.homography, SIMILAR, rtol=1e-5, atol=1e-5)


def test_the_other_picture_can_be_moved():
    back = rig_from_points(points(), RGB, IR, "ir").rig
    assert (back.moved, back.moved_size, back.fixed_size) == ("ir", IR, RGB)
    places = through(np.array(back.homography), np.array([one.ir for one in points()]))
    np.testing.assert_allclose(places, [one.rgb for one in points()], atol=1e-3)


def test_clicks_that_are_a_pixel_off_leave_a_residual():
    random = np.random.default_rng(0)
    rough = [one._replace(ir=tuple(np.array(one.ir) + random.normal(0, 1, 2))) for one in points()]
    assert 0.3 < rig_from_points(rough, RGB, IR).rig.residual < 2


@pytest.mark.parametrize("wrong", [0, 4, 8])
def test_a_wrong_point_among_many_is_named_by_its_line(wrong):
    given = points()
    given[wrong] = given[wrong]._replace(ir=(given[wrong].ir[0] + 120, given[wrong].ir[1]))
    with pytest.raises(DatasetError, match=f"line {given[wrong].line} fits worst"):
        rig_from_points(given, RGB, IR, source="points.csv")


def test_points_on_a_line_are_refused():
    line = [Point(n, "", (100.0 * n, 80.0 * n), (50.0 * n, 40.0 * n)) for n in range(2, 8)]
    for model in ("similarity", "affine", "homography"):
        with pytest.raises(DatasetError, match="on a line"):
            rig_from_points(line, RGB, IR, model=model)


def test_mirrored_points_cannot_be_two_cameras():
    mirrored = [one._replace(ir=(640 - one.ir[0], one.ir[1])) for one in points(9, SIMILAR)]
    with pytest.raises(DatasetError, match="mirrors"):
        rig_from_points(mirrored, RGB, IR)


def test_a_point_outside_of_its_picture_is_told_with_its_line():
    given = [*points(), Point(77, "", (1300.0, 5.0), (1.0, 2.0))]
    with pytest.raises(DatasetError, match=r"line 77: \(1300, 5\) is outside of the rgb picture, 1280x1024"):
        rig_from_points(given, RGB, IR)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "points.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_as_a_spreadsheet_writes_it_is_read(tmp_path):
    rows = '"a, b.jpg", 1, 2.5,3,4\r\n\r\n' + "c.jpg,5,6,7,8\r\n" * 3
    found = read_points(write(tmp_path, "\ufeff" + HEADER.upper().replace("\n", "\r\n") + rows))
    assert found[0] == Point(2, "a, b.jpg", (1.0, 2.5), (3.0, 4.0))
    assert [one.line for one in found] == [2, 4, 5, 6]


def test_pairs_need_not_be_named_and_columns_may_be_in_any_order(tmp_path):
    found = read_points(write(tmp_path, "ir_y,ir_x,rgb_y,rgb_x\n" + "4,3,2,1\n" * 4))
    assert found[0] == Point(2, "", (1.0, 2.0), (3.0, 4.0))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: there is no column 'rgb_x'"),
        ("1,2,3,4\n" * 4, "line 1: there is no column 'rgb_x'"),
        (HEADER + "a,1,2,3,4\n" * 3, "3 points; 4 are needed"),
        (HEADER + "a,1,2,3,4\n" + "a,1,2,x,4\n", "line 3: ir_x is 'x', a number of pixels is needed"),
        (HEADER + "a,1,2,3\n", "line 2: ir_y is ''"),
        (HEADER + "a,1,nan,3,4\n", "line 2: rgb_y is 'nan'"),
        (HEADER + "a,1,2,inf,4\n", "line 2: ir_x is 'inf'"),
        (HEADER + "a,1,2,3,1e9\n", "line 2: ir_y is '1e9'"),
        (b"\xff\xfe", "byte 0"),
        (HEADER + "x" * (1 << 20), "larger than 1 MiB"),
        (HEADER + '"' + "x" * 200_000, "no CSV"),
    ],
)
def test_a_broken_file_is_told_with_its_line(tmp_path, text, reason):
    with pytest.raises(DatasetError) as raised:
        read_points(write(tmp_path, text))
    assert "points.csv" in str(raised.value)
    assert reason in str(raised.value)


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: (HEADER + text).encode())))
def test_whatever_a_file_holds_it_is_points_or_one_sentence(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("points"), content)
    with suppress(DatasetError):
        assert len(read_points(path)) >= 4
