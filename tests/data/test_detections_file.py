"""Detections on disk: what was written comes back, under the data set's own ids."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, no_objects
from caffdet_cli.data.formats.detections import DetectionArrays, read_detections, write_detections
from caffdet_cli.errors import OutputError

NAMES = ("010001", 7, 0)
CATEGORY_IDS = (0, 91, 18)
TRUTH = AnnotationSet(
    examples=tuple(Example(name, None, None, 640, 512, no_objects()) for name in NAMES),
    categories=tuple(Category(number, f"class {number}") for number in CATEGORY_IDS),
    label_spectrum="ir",
    source=Path("annotations.json"),
)
corners = st.tuples(*[st.floats(-1e3, 1e3)] * 2, *[st.floats(0, 1e3)] * 2)
rows = st.lists(st.tuples(corners, st.integers(0, 2), st.floats(0, 1)), max_size=5)


def arrays(found: list[tuple[tuple[float, ...], int, float]]) -> DetectionArrays:
    corners = np.array([(x, y, x + w, y + h) for (x, y, w, h), _, _ in found], np.float64).reshape(-1, 4)
    labels = np.array([label for _, label, _ in found], np.int64)
    return DetectionArrays(corners, labels, np.array([score for _, _, score in found], np.float64))


@given(st.dictionaries(st.sampled_from(NAMES), rows))
def test_what_is_written_comes_back(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("detections") / "found.json"
    detections = {name: arrays(rows) for name, rows in found.items()}
    assert write_detections(path, detections, CATEGORY_IDS) == 0
    back = read_detections(path, TRUTH)
    assert list(back) == [name for name, rows in found.items() if rows]
    for name, (boxes, labels, scores) in back.items():
        np.testing.assert_allclose(boxes, detections[name].boxes, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(labels, detections[name].labels)
        np.testing.assert_array_equal(scores, detections[name].scores)


def test_the_file_is_a_coco_result_list_with_the_data_sets_ids(tmp_path):
    path = tmp_path / "found.json"
    write_detections(path, {"010001": arrays([((1.5, 2, 30, 40), 2, 0.25)])}, CATEGORY_IDS)
    assert json.loads(path.read_text()) == [
        {"image_id": "010001", "category_id": 18, "bbox": [1.5, 2, 30, 40], "score": 0.25}
    ]


def test_class_slots_without_an_id_are_left_out_and_counted(tmp_path):
    found = {7: arrays([((0, 0, 1, 1), 0, 0.5), ((0, 0, 1, 1), 1, 0.5), ((0, 0, 1, 1), 0, 0.5)])}
    assert write_detections(tmp_path / "found.json", found, (None, 91)) == 2
    assert read_detections(tmp_path / "found.json", TRUTH)[7].labels.tolist() == [1]


def test_numbers_that_json_does_not_have_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_detections(tmp_path / "found.json", {7: arrays([((0, 0, 1, 1), 0, float("nan"))])}, CATEGORY_IDS)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_detections(tmp_path / "file" / "found.json", {}, CATEGORY_IDS)
