"""KAIST's annotation forms read alone: any text and any JSON is either read or refused with its place."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kaist_sets import HEAD, TEST, kaist, kaist_json

from caffdet_cli.data.convert import convert
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.kaist_index import Named, frame_name
from caffdet_cli.data.formats.kaist_json import read_kaist_json
from caffdet_cli.data.formats.kaist_text import SIZE, parse_kaist, read_kaist
from caffdet_cli.data.formats.layout import Request
from caffdet_cli.data.formats.records import BrokenAnnotation
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress

PERSON = "person 282 209 52 111 1 0 0 0 0 0 0"


def parsed(*lines: str, head: str = HEAD):
    return parse_kaist("\n".join([head, *lines]).encode())


def request_of(folder) -> Request:
    return Request(folder, None, None, 0, FindingLog(), Progress())


# Text


def test_a_line_is_a_box_as_it_stands_with_its_occlusion():
    record = parsed(PERSON, "", "People 1 2 3.5 4 2 0 0 0 0 0 0")
    person, people = record.objects
    assert record.size == SIZE == (640, 512)
    assert (person.name, person.box, person.occlusion, person.ignored) == ("person", (282, 209, 334, 320), 1, False)
    assert (people.name, people.box, people.occlusion, people.ignored) == ("person", (1, 2, 4.5, 6), 2, True)


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", PERSON.encode(), b"% bbGt version=2\n", b"\xff\xfe%", b"{}", b"\0" * 9]
)
def test_what_does_not_begin_as_an_annotation_is_broken(content):
    with pytest.raises(BrokenAnnotation):
        parse_kaist(content)


def test_a_head_alone_is_a_picture_without_anybody():
    assert parse_kaist(b"\xef\xbb\xbf% bbGt version=3\r\n").objects == ()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("person 1 2 3 4", "line 2: 5 columns, an object has 12"),
        ("person 1 2 3 4 0 0 0 0 0 0 0 0", "line 2: 13 columns"),
        ("person nan 2 3 4 0 0 0 0 0 0 0", "line 2: x is 'nan', a number is needed"),
        ("person 1 2 inf 4 0 0 0 0 0 0 0", "line 2: w is 'inf'"),
        ("person 1 2 3 1e300 0 0 0 0 0 0 0", "line 2: h is '1e300'"),
        ("person 1 2 3 4 3 0 0 0 0 0 0", "line 2: occlusion 3, it is 0, 1 or 2"),
        ("person 1 2 3 4 0 0 0 0 0 yes 0", "line 2: ignore is 'yes'"),
    ],
)
def test_a_broken_line_is_an_object_without_a_box(line, what):
    (one,) = parsed(line).objects
    assert (one.name, one.box) == ("person", None)
    assert what in one.problem


def test_unknown_labels_keep_their_names():
    assert [one.name for one in parsed("dog 1 2 3 4 0 0 0 0 0 0 0", "Persön 1 2 3 4 0 0 0 0 0 0 0").objects] == [
        "dog",
        "Persön",
    ]


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: f"{HEAD}\n{text}".encode("utf-8", "replace")))
@settings(max_examples=150)
def test_any_content_is_read_or_broken(content):
    try:
        record = parse_kaist(content)
    except BrokenAnnotation:
        return
    for one in record.objects:
        assert one.name
        assert (one.box is None) == bool(one.problem)
        assert one.box is None or np.isfinite(one.box).all()


numbers = st.integers(-50, 900)


@given(
    st.lists(st.tuples(numbers, numbers, st.integers(1, 400), st.integers(1, 400), st.integers(0, 2), st.booleans()))
)
@settings(max_examples=50)
def test_what_was_written_is_read(rows):
    lines = [f"{('person', 'people')[group]} {x} {y} {w} {h} {occ} 0 0 0 0 0 0" for x, y, w, h, occ, group in rows]
    objects = parsed(*lines).objects
    assert [(one.box, one.occlusion, one.ignored) for one in objects] == [
        ((x, y, x + w, y + h), occ, group) for x, y, w, h, occ, group in rows
    ]


def test_a_file_that_is_too_large_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"% bbGt version=3\n" + b"\n" * (1 << 20))
    with pytest.raises(DatasetError, match="larger than 1 MiB"):
        read_kaist(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("set06/V000/I00019", "set06/V000/I00019"),
        ("SET06_v000_i00019", "set06/V000/I00019"),
        ("set06/V000/I00019.jpg", None),
        ("../set06/V000/I00019", None),
        ("set06/V000/I00019\n", None),
        ("set٠6/V000/I00019", None),
        ("set6/V0/I19", None),
    ],
)
def test_a_frame_has_one_name(text, name):
    assert frame_name(text) == name


# JSON


def written(tmp_path, objects: list[dict[str, Any]], **change: Any):
    path = kaist_json(tmp_path / "KAIST_annotation.json", TEST, objects)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **change}))
    return path


def test_odd_objects_of_the_json_are_dropped_with_their_place(tmp_path):
    raw = kaist(tmp_path / "raw", train=())
    odd = [
        {"bbox": [1, 2, float("nan"), 4]},
        {"bbox": [1, 2, 10**400, 4]},
        {"bbox": [1, 2, 3]},
        {"bbox": None},
        {"bbox": [1, 2, 0, 4]},
        {"image_id": 77},
        {"image_id": [0]},
        {"category_id": 9},
        {"category_id": True},
        {"occlusion": 3},
        {"ignore": "1"},
    ]
    written(raw, [{}, *odd, {"category_id": 3}])
    report = convert("kaist", raw, tmp_path / "out")
    found = json.loads((tmp_path / "out/test.json").read_text())["annotations"]
    assert [(one["id"], one["ignore"]) for one in found] == [(0, 0), (12, 1)]
    assert report.findings.lost_boxes == len(odd)
    dropped = [one for one in report.findings if one.action == "dropped"]
    assert [one.place for one in dropped] == [f"KAIST_annotation.json: annotations[{at}]" for at in range(1, 12)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 5}, "no list 'images'"),
        ({"images": [5]}, r"images\[0\]\.im_name is None"),
        ({"images": [{"id": 0, "im_name": "../set06/V000/I00019", "width": 1, "height": 1}]}, r"images\[0\]\.im_name"),
        ({"images": [{"id": 0.5, "im_name": TEST[0], "width": 1, "height": 1}]}, r"images\[0\]\.id is 0\.5"),
        ({"images": [{"id": 0, "im_name": TEST[0], "width": 1e9, "height": 1}]}, r"images\[0\]\.width"),
        ({"images": [{"id": 0, "im_name": TEST[0], "width": 1, "height": 1}] * 2}, r"images\[1\]: id 0 or frame"),
        ({"categories": [{"id": 1, "name": "car"}]}, "0 that are called person"),
        ({"categories": [{"id": None, "name": "person"}]}, r"categories\[0\]"),
        ({"annotations": [{"id": 1}, {"id": 1}]}, r"annotations\[1\]\.id is 1"),
        ({"annotations": ["x"]}, r"annotations\[0\]\.id is None"),
    ],
)
def test_a_json_of_another_form_is_refused(tmp_path, change, message):
    with pytest.raises(DatasetError, match=message):
        read_kaist_json(written(tmp_path, [{}], **change), Named({}, {}, {}), request_of(tmp_path), "ir")


def test_two_files_of_the_test_split_are_refused(tmp_path):
    raw = kaist(tmp_path / "raw")
    kaist_json(raw / "KAIST_annotation.json", TEST, [])
    kaist_json(raw / "kaist_annotations_test20.json", TEST, [])
    with pytest.raises(DatasetError, match="both annotations of the test split"):
        convert("kaist", raw, tmp_path / "out")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "bbox", "im_name"]), inner),
    max_leaves=8,
)


@given(key=st.sampled_from(["images", "annotations", "categories"]), value=json_values | st.lists(json_values))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_refused(tmp_path, key, value):
    path = written(tmp_path, [{}], **{key: value})
    try:
        found = read_kaist_json(path, Named({}, {}, {}), request_of(tmp_path), "ir")
    except DatasetError:
        return
    assert all(np.isfinite(example.objects.boxes).all() for example in found.examples)
