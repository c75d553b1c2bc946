"""Pedestrians of COCO files: which class counts, what is ignored, day and night."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.data.annotations import Category
from caffdet_cli.data.daylight import part_of
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.miss_rate_truth import MissRateTruth, kaist_name, miss_rate_truth, pedestrians

CATEGORIES = [{"id": 0, "name": "person"}, {"id": 3, "name": "people"}, {"id": 5, "name": "car"}]


def read(folder: Path, annotations: list[dict[str, Any]], **image: Any) -> MissRateTruth:
    images = [{"id": "a", "width": 1280, "height": 1024, **image}]
    path = folder / "truth.json"
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    path.write_text(json.dumps(content))
    return miss_rate_truth(read_coco(path))


def person(**more: Any) -> dict[str, Any]:
    return {"id": 7, "image_id": "a", "category_id": 0, "bbox": [1, 2, 30, 40.5], **more}


def test_without_further_keys_the_height_is_the_boxs_and_nothing_is_occluded(tmp_path):
    (frame,) = read(tmp_path, [person()]).frames
    assert (frame.heights.tolist(), frame.occlusions.tolist(), frame.ignored.tolist()) == ([40.5], [0], [False])
    assert (frame.width, frame.height, frame.part) == (1280, 1024, None)


def test_further_keys_are_taken(tmp_path):
    (frame,) = read(tmp_path, [person(height=55, occlusion=2)]).frames
    assert (frame.heights.tolist(), frame.occlusions.tolist()) == ([55], [2])


@pytest.mark.parametrize("more", [{"ignore": 1}, {"ignore": True}, {"iscrowd": 1}, {"category_id": 3}])
def test_what_is_flagged_or_a_group_is_ignored(tmp_path, more):
    (frame,) = read(tmp_path, [person(), {**person(**more), "id": 8}]).frames
    assert frame.ignored.tolist() == [False, True]


def test_cars_are_neither_counted_nor_ignored(tmp_path):
    (frame,) = read(tmp_path, [person(category_id=5), {**person(height=55), "id": 0}]).frames
    assert frame.heights.tolist() == [55]
    assert frame.first == 0


def test_objects_that_were_dropped_do_not_shift_the_keys_of_others(tmp_path):
    flat = {**person(height=11), "bbox": [1, 2, 0, 4]}
    again = person(height=22)
    records = [
        flat,
        {"broken": 1},
        "x",
        again,
        again,
        {**person(height=33), "id": 9},
        {**person(height=44), "id": None},
    ]
    (frame,) = read(tmp_path, records).frames
    assert frame.heights.tolist() == [22, 33, 44]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"occlusion": 3}, "annotations[0].occlusion is 3; it is 0"),
        ({"occlusion": "0"}, "annotations[0].occlusion is '0'"),
        ({"height": -1}, "annotations[0].height is -1"),
        ({"height": float("nan")}, "annotations[0].height is nan"),
        ({"height": 1e12}, "annotations[0].height is 1000000000000.0"),
        ({"height": True}, "annotations[0].height is True"),
        ({"height": [5]}, "annotations[0].height is [5]"),
    ],
)
def test_a_key_that_is_no_number_is_said(tmp_path, more, sentence):
    with pytest.raises(DatasetError) as caught:
        read(tmp_path, [person(**more)])
    assert sentence in str(caught.value)


junk = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(["height", "occlusion", "ignore", "iscrowd", "id", "bbox"]), junk))
def test_any_value_of_a_key_is_objects_or_an_error_in_words(tmp_path_factory, more):
    with contextlib.suppress(DatasetError):
        (frame,) = read(tmp_path_factory.getbasetemp(), [person(**more)]).frames
        assert (frame.heights >= 0).all()


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (["__ignore__", "person", "cyclist", "people", "person?"], "person"),
        (["car", "Person"], "Person"),
        (["pedestrian", "people"], "pedestrian"),
        (["People", "Car", "Bus"], "People"),
        (["walker"], "walker"),
        (["walker", "cyclist"], "walker"),
    ],
)
def test_the_class_that_counts(names, counts):
    categories = [Category(place, name) for place, name in enumerate(names)]
    assert names[pedestrians(categories, Path("truth.json"))] == counts


def test_without_pedestrians_there_is_no_miss_rate():
    with pytest.raises(DatasetError, match=r"no class is called person or pedestrian.*'car', 'bus'"):
        pedestrians([Category(1, "car"), Category(2, "bus")], Path("truth.json"))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("set06/V000/I00019", "day"),
        ("images/set08/V000/visible/I02159.jpg", "day"),
        ("set09_V000_I01139_lwir.png", "night"),
        ("set05/V000/I00019", "night"),
        ("set12/V000/I00019", None),
        ("Night/Visible/NewTest/FramesPos/1.tif", "night"),
        ("day\\1.tif", "day"),
        ("monday/1.jpg", None),
        ("010001.jpg", None),
        ("asset06/x.jpg", None),
    ],
)
def test_day_and_night_by_name(name, part):
    assert part_of(name) == part


def test_names_say_day_or_night_in_files_too(tmp_path):
    (frame,) = read(tmp_path, [person()], file_name="set10/V001/visible/I03279.jpg").frames
    assert frame.part == "night"


@pytest.mark.parametrize(
    "name",
    ["set06/V000/I00019", "set06_V000_I00019", "images/set06/V000/lwir/I00019.jpg", "set06_V000_I00019_visible.png"],
)
def test_all_spellings_of_a_frame_are_one(name):
    assert kaist_name(name) == "set06/V000/I00019"
