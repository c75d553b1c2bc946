"""Names and files of exports, for any content: what is written is read back to the last digit that matters."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects
from caffdet_cli.data.exporting.names import flat_names
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.voc_write import voc_text
from caffdet_cli.data.formats.voc_xml import parse_voc
from caffdet_cli.data.formats.yolo_names import parse_data_yaml
from caffdet_cli.data.formats.yolo_text import parse_yolo
from caffdet_cli.data.formats.yolo_write import data_yaml, yolo_text


@given(st.lists(st.text(min_size=1, max_size=6).filter(lambda text: text not in (".", "..")), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_names_are_apart_fit_for_a_list_and_the_same_each_time(stems):
    root = Path("/root")
    examples = [
        Example(at, root / str(at) / (stem.replace("/", "_") + ".png"), None, 4, 3, no_boxes())
        for at, stem in enumerate(stems)
    ]
    sets = {"train": AnnotationSet(tuple(examples), (), "rgb", root)}
    names = flat_names(sets, root, "rgb")["train"]
    assert names == flat_names(sets, root, "rgb")["train"]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert name == name.strip()
        assert name.isprintable()
        assert name[0] != "."
        assert len(name.encode()) < 200
        assert "/" not in name


def no_boxes() -> Objects:
    return boxed(np.zeros((0, 4)))


def boxed(boxes: Any, labels: Any = None) -> Objects:
    count = len(boxes)
    return Objects(
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        labels=np.zeros(count, np.int64) if labels is None else np.array(labels, np.int64),
        areas=np.ones(count),
        crowd=np.zeros(count, np.bool_),
        ids=tuple(range(count)),
    )


@st.composite
def pictures_with_boxes(draw: st.DrawFn) -> Example:
    width, height = draw(st.integers(1, 100_000)), draw(st.integers(1, 100_000))
    part = st.floats(0, 1, allow_subnormal=False)
    corners = [sorted((draw(part) * side, draw(part) * side)) for side in (width, height)]
    (left, right), (top, bottom) = corners
    return Example(
        1, Path("a.png"), None, width, height, boxed([[left, top, right, bottom]], [draw(st.integers(0, 2))])
    )


CLASSES = tuple(Category(number, name) for number, name in enumerate(["car", "<&> 'bus\"", "Fußgänger"]))


@given(pictures_with_boxes())
@settings(max_examples=100, deadline=None)
def test_written_labels_are_read_to_a_thousandth_of_a_pixel(example):
    (line,) = parse_yolo(
        yolo_text(example, [5, 6, 7]).encode(), (example.width, example.height), {5: "car", 6: "bus", 7: "person"}
    )
    assert line.name == ["car", "bus", "person"][int(example.objects.labels[0])]
    assert np.allclose(line.box, example.objects.boxes[0], rtol=0, atol=1e-3)


@given(pictures_with_boxes(), st.booleans(), st.none() | st.integers(0, 2), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_written_annotation_is_read_with_all_that_it_says(example, ignored, occlusion, oriented):
    corners = tuple(example.objects.boxes[0][[0, 1, 2, 1, 2, 3, 0, 3]].tolist()) if oriented else None
    objects = replace(
        example.objects,
        crowd=np.array([ignored]),
        occlusions=None if occlusion is None else np.array([occlusion]),
        corners=(corners,) if oriented else None,
    )
    annotations = AnnotationSet((example,), CLASSES, "rgb", Path("x"))
    record = parse_voc(voc_text(replace(example, objects=objects), annotations, "visible/a.png").encode())
    (one,) = record.objects
    assert (record.filename, record.size) == ("a.png", (example.width, example.height))
    assert one.name == CLASSES[int(example.objects.labels[0])].name
    assert (one.ignored, one.occlusion, one.difficult) == (ignored, occlusion, False)
    assert np.allclose(one.box, example.objects.boxes[0], rtol=0, atol=1e-6)
    assert (one.corners is None) == (not oriented)
    if one.corners:
        assert np.allclose(np.ravel(one.corners), corners, rtol=0, atol=1e-6)


@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), unique_by=str.strip, min_size=1, max_size=4)
)
@settings(max_examples=80, deadline=None)
def test_any_class_name_that_is_allowed_survives_data_yaml(names):
    names = [name.strip() for name in names if name.strip() and name.strip().isprintable()]
    text = data_yaml({"train": "images/train"}, names, "a test")
    read_back = parse_data_yaml(text.encode(), "data.yaml")
    assert read_back.names == dict(enumerate(names))
    assert read_back.splits == {"train": ("images/train",)}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@given(segmentation=values | st.lists(st.lists(st.floats(), min_size=8, max_size=8), max_size=2), occlusion=values)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_for_corners_and_occlusion_an_object_is_read(tmp_path, segmentation, occlusion):
    record = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    document = {
        "info": {"caffdet": {"version": 1, "label_spectrum": "rgb"}},
        "images": [{"id": 1, "width": 9, "height": 9, "file_name": "a.png", "file_name_IR": None}],
        "annotations": [{**record, "segmentation": segmentation, "occlusion": occlusion}],
        "categories": [{"id": 1, "name": "car"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(document))
    objects = read_coco(tmp_path / "train.json").examples[0].objects
    assert objects.boxes.tolist() == [[1, 2, 4, 6]]
    assert objects.corners is None or np.isfinite(objects.corners[0]).all()
    assert objects.occlusions is None or objects.occlusions.tolist() == [occlusion]
