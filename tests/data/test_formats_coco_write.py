"""The paired form that is written: read back, plain COCO, any file name."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects, no_objects
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.coco_write import write_coco

ids = st.integers(0, 10**12) | st.text(min_size=1, max_size=8)
sides = st.integers(-(10**6), 10**6).map(lambda number: number / 997)
lengths = st.integers(1, 10**6).map(lambda number: number / 997)


@st.composite
def annotation_sets(draw: st.DrawFn) -> AnnotationSet:
    keys = draw(st.lists(ids, unique=True, max_size=4))
    classes = draw(st.lists(st.text(min_size=1, max_size=5), unique=True, min_size=1, max_size=3))
    examples, number = [], 0
    for index, key in enumerate(keys):
        count = draw(st.integers(0, 3))
        corners = np.array([[draw(sides), draw(sides), draw(lengths), draw(lengths)] for _ in range(count)]).reshape(
            -1, 4
        )
        corners[:, 2:] += corners[:, :2]
        which = draw(st.sampled_from(["pair", "rgb", "ir"]))
        objects = Objects(
            boxes=corners,
            labels=np.array([draw(st.integers(0, len(classes) - 1)) for _ in range(count)], np.int64),
            areas=np.array([draw(lengths) for _ in range(count)], np.float64),
            crowd=np.array([draw(st.booleans()) for _ in range(count)], np.bool_),
            ids=tuple(range(number, number + count)),
        )
        number += count
        rgb, ir = Path(f"/root/v/{index}.jpg"), Path(f"/root/t/é {index}.png")
        examples.append(Example(key, None if which == "ir" else rgb, None if which == "rgb" else ir, 40, 30, objects))
    categories = tuple(Category(10 * number, name) for number, name in enumerate(classes))
    return AnnotationSet(tuple(examples), categories, draw(st.sampled_from(["rgb", "ir"])), Path("/root/a.json"))


@given(annotation_sets())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path, before):
    path = tmp_path / "a.json"
    write_coco(before, path, root=Path("/root"), root_as="/root", made_by="test")
    findings = FindingLog()
    after = read_coco(path, findings=findings)
    assert not findings.items
    assert after.categories == before.categories
    assert len(after.examples) == len(before.examples)
    for one, other in zip(before.examples, after.examples, strict=True):
        assert (one.id, one.rgb, one.ir, one.width, one.height) == (
            other.id,
            other.rgb,
            other.ir,
            other.width,
            other.height,
        )
        np.testing.assert_allclose(other.objects.boxes, one.objects.boxes, atol=2e-6)
        np.testing.assert_allclose(other.objects.areas, one.objects.areas, atol=1e-6)
        assert other.objects.labels.tolist() == one.objects.labels.tolist()
        assert other.objects.crowd.tolist() == one.objects.crowd.tolist()
        assert other.objects.ids == one.objects.ids


def test_the_written_file_is_plain_coco_that_pycocotools_opens(tmp_path):
    from pycocotools.coco import COCO

    objects = Objects(np.array([[1, 2, 4.25, 6]]), np.zeros(1, np.int64), np.array([13.0]), np.zeros(1, np.bool_), (1,))
    example = Example(7, tmp_path / "v/a.jpg", None, 40, 30, objects)
    annotations = AnnotationSet((example,), (Category(0, "person"),), "rgb", tmp_path)
    write_coco(annotations, tmp_path / "a.json", root=tmp_path, made_by="test", other_sizes={7: (80, 60)})
    coco = COCO(str(tmp_path / "a.json"))
    assert coco.loadImgs([7]) == [
        {
            "id": 7,
            "width": 40,
            "height": 30,
            "width_other": 80,
            "height_other": 60,
            "file_name": "v/a.jpg",
            "file_name_IR": None,
        }
    ]
    assert coco.loadAnns(coco.getAnnIds()) == [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 0,
            "bbox": [1, 2, 3.25, 4],
            "area": 13,
            "iscrowd": 0,
            "segmentation": [],
        }
    ]
    info = coco.dataset["info"]
    assert info == {
        "description": "RGB + infrared pairs in COCO form",
        "caffdet": {"version": 1, "label_spectrum": "rgb", "made_by": "test"},
    }


def test_names_that_are_no_utf8_survive(tmp_path):
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    example = Example(1, tmp_path / name, None, 4, 3, no_objects())
    write_coco(AnnotationSet((example,), (), "rgb", tmp_path), tmp_path / "a.json", root=tmp_path, made_by="test")
    assert read_coco(tmp_path / "a.json").examples[0].rgb == tmp_path / name
