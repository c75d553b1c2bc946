"""KAIST's text files: what is read, and what is said of files that cannot be right."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.kaist_files import read_kaist_folder, read_result_lines
from caffdet_cli.evaluation.miss_rate_truth import MissRateTruth

HEAD = "% bbGt version=3\n"
PERSON = "person 282 209 52 111 0 0 0 0 0 0 0\n"
OTHERS = "people 10 20 30 40 1 0 0 0 0 0 0\nperson? 50 20 30 40 0 0 0 0 0 0 0\ncyclist 90 20 30 40 2 0 0 0 0 0 0\n"
UNSURE = "person?a 130 20 30 40 0 0 0 0 0 0 0\n"


def folder(root: Path, **frames: str | bytes) -> Path:
    """Annotations of frames `set06/V000/<name>.txt`."""
    place = root / "set06/V000"
    place.mkdir(parents=True, exist_ok=True)
    for name, content in frames.items():
        (place / f"{name}.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@pytest.fixture
def truth(tmp_path: Path) -> MissRateTruth:
    return read_kaist_folder(folder(tmp_path / "kaist", I00019=HEAD + PERSON, I00039=HEAD))


def test_annotations_are_read_as_they_are(tmp_path):
    root = folder(tmp_path, I00039=HEAD, I00019=HEAD + PERSON + OTHERS + "person 1 2 3 4 1 0 0 0 0 1 0\n")
    (tmp_path / "set11/V001").mkdir(parents=True)
    (tmp_path / "set11/V001/I00159.txt").write_bytes((HEAD + PERSON).replace("\n", "\r\n").encode())
    first, second, third = read_kaist_folder(root).frames
    assert [frame.id for frame in (first, second, third)] == [
        "set06/V000/I00019",
        "set06/V000/I00039",
        "set11/V001/I00159",
    ]
    assert (first.part, third.part) == ("day", "night")
    assert first.boxes[0].tolist() == [282, 209, 334, 320]
    assert first.heights.tolist() == [111, 40, 40, 40, 4]
    assert first.occlusions.tolist() == [0, 1, 0, 2, 1]
    assert first.ignored.tolist() == [False, True, True, True, True]
    assert len(second.boxes) == 0
    assert (first.first, third.first) == (0, -1)


def test_unsure_persons_of_the_original_annotations_are_ignored(tmp_path):
    (frame,) = read_kaist_folder(folder(tmp_path, I00019=HEAD + PERSON + UNSURE)).frames
    assert frame.ignored.tolist() == [False, True]


def test_the_folder_above_is_as_good(tmp_path):
    folder(tmp_path / "annotations", I00019=HEAD + PERSON)
    assert len(read_kaist_folder(tmp_path).frames) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "line 1: ''; an annotation begins with"),
        (PERSON, "line 1: 'person 282"),
        (HEAD + "person 1 2 3 4\n", "line 2: 5 columns; an object has 12"),
        (HEAD + PERSON + PERSON.strip() + " 7\n", "line 3: 13 columns"),
        (HEAD + "dog 1 2 3 4 0 0 0 0 0 0 0\n", "line 2: label 'dog'; there are person"),
        (HEAD + "person nan 2 3 4 0 0 0 0 0 0 0\n", "line 2: 'nan' is not a number"),
        (HEAD + "person 1 2 inf 4 0 0 0 0 0 0 0\n", "line 2: 'inf' is not a number"),
        (HEAD + "person 1 2 1e99 4 0 0 0 0 0 0 0\n", "line 2: '1e99' is not a number between"),
        (HEAD + "person 1 2 -3 4 0 0 0 0 0 0 0\n", "line 2: the width and height of a box are above 0, here -3"),
        (HEAD + "person 1 2 3 0 0 0 0 0 0 0 0\n", "line 2: the width and height"),
        (HEAD + "person 1 2 3 4 5 0 0 0 0 0 0\n", "line 2: occlusion 5"),
        (b"\xff\xfe\x00", "byte 0 is not text"),
    ],
)
def test_what_is_wrong_with_an_annotation_is_said_with_its_place(tmp_path, content, sentence):
    folder(tmp_path, I00019=content)
    with pytest.raises(DatasetError) as caught:
        read_kaist_folder(tmp_path)
    assert sentence in str(caught.value)
    assert str(tmp_path / "set06/V000/I00019.txt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_annotations_says_what_they_are_called(tmp_path):
    with pytest.raises(DatasetError, match=r"set06/V000/I00019\.txt"):
        read_kaist_folder(tmp_path)


def lines(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "result.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_detections_are_read_in_the_order_of_the_file(tmp_path, truth):
    path = lines(tmp_path, "2,1,2,3,4,0.5\n\n1, 5.5,6,7,8, 1e-3\r\n2.0,0,0,0,0,-7\n")
    found = read_result_lines(path, truth)
    assert list(found) == ["set06/V000/I00039", "set06/V000/I00019"]
    assert found["set06/V000/I00039"].boxes.tolist() == [[1, 2, 4, 6], [0, 0, 0, 0]]
    assert found["set06/V000/I00019"].scores.tolist() == [0.001]
    assert found["set06/V000/I00019"].labels.tolist() == [truth.label]


def test_an_empty_file_is_nothing_found(tmp_path, truth):
    assert read_result_lines(lines(tmp_path, "\n"), truth) == {}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1,2,3,4,5", "5 columns; a detection is frame,x,y,w,h,score"),
        ("1,2,3,4,5,6,7", "7 columns"),
        ("1 2 3 4 5 0.5", "1 columns"),
        ("0,1,2,3,4,0.5", "there is no frame '0'"),
        ("3,1,2,3,4,0.5", "there is no frame '3'"),
        ("-1,1,2,3,4,0.5", "there is no frame '-1'"),
        ("1.5,1,2,3,4,0.5", "there is no frame '1.5'"),
        ("1e400,1,2,3,4,0.5", "'1e400' is not a number between"),
        ("1,nan,2,3,4,0.5", "'nan' is not a number"),
        ("1,1,2,3,4,NaN", "'NaN' is not a number"),
        ("1,1,2,inf,4,0.5", "'inf' is not a number"),
        ("1,1e10,2,3,4,0.5", "'1e10' is not a number between"),
        ("1,1_0,2,3,4,0.5", "'1_0' is not a number"),
        ("1,,2,3,4,0.5", "'' is not a number"),
        ("1,0x10,2,3,4,0.5", "'0x10' is not a number"),
        ("1," + "9" * 5000 + ",2,3,4,0.5", "is not a number"),
        ("1,1,2,-3,4,0.5", "the width or height is negative"),
        ("1,1,2,3,-4,0.5", "the width or height is negative"),
    ],
)
def test_what_is_wrong_with_a_detection_is_said_with_its_line(tmp_path, truth, line, sentence):
    path = lines(tmp_path, f"1,1,2,3,4,0.5\n{line}\n")
    with pytest.raises(DatasetError) as caught:
        read_result_lines(path, truth)
    assert str(caught.value).startswith(f"{path}: line 2: ")
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_said(tmp_path, truth):
    with pytest.raises(DatasetError, match="byte 3 is not text"):
        read_result_lines(lines(tmp_path, b"1,2\xff"), truth)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("room"), I00019=HEAD + PERSON)


numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))
sizes = st.floats(0, 1e6).map(lambda value: round(value, 4))
detections = st.lists(st.tuples(numbers, numbers, sizes, sizes, st.floats(-1, 1)), max_size=20)


@given(detections)
def test_detections_come_back_as_they_were_written(room, rows):
    path = lines(room, "".join(f"1,{x!r},{y!r},{w!r},{h!r},{score!r}\n" for x, y, w, h, score in rows))
    found = read_result_lines(path, read_kaist_folder(room))
    if rows:
        (arrays,) = found.values()
        expected = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows])
        np.testing.assert_array_equal(arrays.boxes, expected)
        assert arrays.scores.tolist() == [row[-1] for row in rows]
    else:
        assert found == {}


@given(st.text(alphabet="0123456789.,-+eEnaif \n\r\tx%", max_size=60) | st.binary(max_size=60))
def test_any_content_is_detections_or_an_error_in_words(room, content):
    with contextlib.suppress(DatasetError):
        found = read_result_lines(lines(room, content), read_kaist_folder(room))
        assert all(np.isfinite(arrays.boxes).all() for arrays in found.values())


@given(st.text(alphabet="personcylit? 0123456789.-en%\n", max_size=80) | st.binary(max_size=60))
def test_any_annotation_is_objects_or_an_error_in_words(room, content):
    text = content if isinstance(content, bytes) else (HEAD + content).encode()
    folder(room, I00019=text)
    with contextlib.suppress(DatasetError):
        (own,) = read_kaist_folder(room).frames
        assert (own.heights > 0).all()
    folder(room, I00019=HEAD + PERSON)
