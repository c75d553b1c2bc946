"""Reading and writing COCO annotation files: our form, published ones, broken ones."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffdet_cli.data.annotations import Category
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.errors import DatasetError

IMAGE = {"id": 1, "width": 40, "height": 30, "file_name": "a.jpg"}
OBJECT = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}


def save(path: Path, *, images: Any = None, annotations: Any = None, categories: Any = None, **more: Any) -> Path:
    document = {
        "images": [IMAGE] if images is None else images,
        "annotations": [OBJECT] if annotations is None else annotations,
        "categories": [{"id": 0, "name": "person"}] if categories is None else categories,
        **more,
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def names(path: Path, root: Path, **folders: Path) -> tuple[str | None, str | None]:
    """The two files of the first picture, relative to `root`."""
    example = read_coco(path, **folders).examples[0]
    rgb, ir = (None if file is None else file.relative_to(root).as_posix() for file in (example.rgb, example.ir))
    return rgb, ir


# Which files a record means


def test_one_name_means_the_same_file_in_both_folders(tmp_path):
    path = save(tmp_path / "a.json")
    assert names(path, tmp_path, rgb=tmp_path / "visible", ir=tmp_path / "infrared") == (
        "visible/a.jpg",
        "infrared/a.jpg",
    )


@pytest.mark.parametrize("key", ["file_name_IR", "image_IR"])
def test_both_spellings_of_the_infrared_key_are_read(tmp_path, key):
    image = {**IMAGE, "file_name": "x", "file_name_RGB": "a_RGB.png", key: "b.png"}
    path = save(tmp_path / "a.json", images=[image])
    assert names(path, tmp_path, rgb=tmp_path / "r", ir=tmp_path / "t") == ("r/a_RGB.png", "t/b.png")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("F_1_RGB.jpg", ("r/F_1_RGB.jpg", "t/F_1_PreviewData.jpeg")),
        ("F_1_PreviewData.jpeg", ("r/F_1_RGB.jpg", "t/F_1_PreviewData.jpeg")),
        ("F_1_RGB.png", ("r/F_1_RGB.png", "t/F_1_PreviewData.png")),
    ],
)
def test_without_an_infrared_key_flirs_rule_finds_the_partner(tmp_path, name, expected):
    path = save(tmp_path / "a.json", images=[{**IMAGE, "file_name": name}])
    assert names(path, tmp_path, rgb=tmp_path / "r", ir=tmp_path / "t") == expected


def test_one_folder_means_one_spectrum_and_its_boxes(tmp_path):
    path = save(tmp_path / "a.json")
    assert names(path, tmp_path, rgb=tmp_path / "r") == ("r/a.jpg", None)
    assert read_coco(path, rgb=tmp_path / "r").label_spectrum == "rgb"
    assert names(path, tmp_path, ir=tmp_path / "t") == (None, "t/a.jpg")
    assert read_coco(path, ir=tmp_path / "t", label_spectrum="rgb").label_spectrum == "ir"


def test_our_form_says_its_label_spectrum_root_and_missing_partners_itself(tmp_path):
    image = {**IMAGE, "file_name": "v/a.jpg", "file_name_IR": "t/a.jpg"}
    lonely = {**IMAGE, "id": 2, "file_name": None, "file_name_IR": "t/b.jpg"}
    info = {"root": "../raw", "caffdet": {"version": 1, "label_spectrum": "rgb"}}
    path = save(tmp_path / "a.json", images=[image, lonely], info=info)
    annotations = read_coco(path, rgb=tmp_path / "ignored", ir=tmp_path / "ignored", label_spectrum="ir")
    assert annotations.label_spectrum == "rgb"
    assert [example.rgb for example in annotations.examples] == [tmp_path / "../raw/v/a.jpg", None]
    assert annotations.examples[1].ir == tmp_path / "../raw/t/b.jpg"


def test_a_plain_file_without_folders_has_its_pictures_beside_it(tmp_path):
    assert names(save(tmp_path / "a.json"), tmp_path) == ("a.jpg", None)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.jpg", "v/../../a.jpg", "..\\a.jpg", "C:\\a.jpg", "\\\\host\\a", "a\0.jpg", ""]
)
def test_no_name_leads_out_of_its_folder(tmp_path, name):
    path = save(tmp_path / "a.json", images=[{**IMAGE, "file_name": name}])
    with pytest.raises(DatasetError, match=r"images\[0\]\.file_name"):
        read_coco(path)


def test_two_dots_inside_a_name_are_allowed(tmp_path):
    path = save(tmp_path / "a.json", images=[{**IMAGE, "file_name": "a..b.jpg"}])
    assert names(path, tmp_path) == ("a..b.jpg", None)


# Ids, classes and odd records


def test_text_ids_gapped_categories_and_id_0_are_kept(tmp_path):
    categories = [{"id": 0, "name": "person"}, {"id": 91, "name": "other"}]
    objects = [
        {**OBJECT, "id": 0, "image_id": "010001"},
        {**OBJECT, "id": "b", "image_id": "010001", "category_id": 91},
    ]
    path = save(tmp_path / "a.json", images=[{**IMAGE, "id": "010001"}], annotations=objects, categories=categories)
    annotations = read_coco(path)
    assert annotations.categories == (Category(0, "person"), Category(91, "other"))
    assert annotations.examples[0].id == "010001"
    assert annotations.examples[0].objects.ids == (0, "b")
    assert annotations.examples[0].objects.labels.tolist() == [0, 1]


def test_area_crowd_and_ignore_have_defaults(tmp_path):
    bare = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4]}
    crowd = {**OBJECT, "id": 2, "iscrowd": 1, "area": 5.5, "segmentation": {"counts": [1], "size": [3, 4]}}
    ignored = {**OBJECT, "id": 3, "ignore": 1}
    objects = read_coco(save(tmp_path / "a.json", annotations=[bare, crowd, ignored])).examples[0].objects
    assert objects.areas.tolist() == [12, 5.5, 12]
    assert objects.crowd.tolist() == [False, True, True]
    assert objects.boxes[0].tolist() == [1, 2, 4, 6]


def test_boxes_that_leave_the_picture_are_not_clipped(tmp_path):
    path = save(tmp_path / "a.json", annotations=[{**OBJECT, "bbox": [-5, 20, 100, 20.5]}])
    assert read_coco(path).examples[0].objects.boxes.tolist() == [[-5, 20, 95, 40.5]]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"image_id": 7}, "unknown picture"),
        ({"image_id": [1]}, "unknown picture"),
        ({"image_id": True}, "unknown picture"),
        ({"category_id": 7}, "unknown class"),
        ({"bbox": [1, 2, 3]}, "broken box"),
        ({"bbox": [1, 2, 3, float("nan")]}, "broken box"),
        ({"bbox": [1, 2, 3, float("inf")]}, "broken box"),
        ({"bbox": [1, 2, 3, 10**400]}, "broken box"),
        ({"bbox": ["1", 2, 3, 4]}, "broken box"),
        ({"bbox": None}, "broken box"),
        ({"bbox": [1, 2, 0, 4]}, "box without area"),
        ({"bbox": [1, 2, 3, -4]}, "box without area"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_written_down(tmp_path, change, kind):
    path = save(tmp_path / "a.json", annotations=[OBJECT, {**OBJECT, "id": 2, **change}])
    findings = FindingLog()
    annotations = read_coco(path, findings=findings)
    assert annotations.examples[0].objects.ids == (1,)
    assert [(one.kind, one.action, one.boxes, one.place) for one in findings] == [
        (kind, "dropped", 1, "a.json: annotations[1]")
    ]
    assert findings.boxes == 2


def test_an_object_whose_id_is_taken_or_missing_gets_one_and_a_repetition_goes(tmp_path):
    other = {**OBJECT, "bbox": [5, 5, 5, 5]}
    nameless = {key: value for key, value in OBJECT.items() if key != "id"}
    findings = FindingLog()
    path = save(tmp_path / "a.json", annotations=[OBJECT, OBJECT, other, nameless])
    assert read_coco(path, findings=findings).examples[0].objects.ids == (1, 2, 3)
    assert [(one.kind, one.action) for one in findings] == [
        ("duplicate id", action) for action in ("dropped", "repaired", "repaired")
    ]


def test_of_two_pictures_with_one_id_the_first_stays(tmp_path):
    findings = FindingLog()
    path = save(tmp_path / "a.json", images=[IMAGE, {**IMAGE, "file_name": "b.jpg"}])
    assert [example.name for example in read_coco(path, findings=findings).examples] == ["a.jpg"]
    assert (findings.pictures, findings.lost_pictures) == (2, 1)


def test_pictures_and_objects_stay_in_the_order_of_the_file(tmp_path):
    images = [{**IMAGE, "id": key} for key in (3, 1, 2)]
    objects = [{**OBJECT, "id": number, "image_id": key} for number, key in enumerate((2, 3, 2, 3, 3))]
    examples = read_coco(save(tmp_path / "a.json", images=images, annotations=objects)).examples
    assert [(example.id, example.objects.ids) for example in examples] == [(3, (1, 3, 4)), (1, ()), (2, (0, 2))]


# Files that are refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": {}}, "key 'images'"),
        ({"annotations": None}, None),
        ({"images": [1]}, r"images\[0\]"),
        ({"images": [{**IMAGE, "id": None}]}, r"images\[0\]\.id"),
        ({"images": [{**IMAGE, "id": 1.5}]}, r"images\[0\]\.id"),
        ({"images": [{**IMAGE, "width": 0}]}, r"images\[0\]\.width"),
        ({"images": [{**IMAGE, "height": "30"}]}, r"images\[0\]\.height"),
        ({"images": [{**IMAGE, "file_name": 5}]}, r"images\[0\]\.file_name"),
        ({"categories": [{"id": "0", "name": "person"}]}, r"categories\[0\]\.id"),
        ({"categories": [{"id": 0}]}, r"categories\[0\]\.name"),
        ({"categories": [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]}, r"categories\[1\]: id 0"),
        ({"categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "a"}]}, "several ids"),
        ({"annotations": [{**OBJECT, "image_id": 5}]}, "none of its 1 annotations"),
        ({"info": {"caffdet": {"version": 99, "label_spectrum": "ir"}}}, "update it"),
        ({"info": {"caffdet": {"version": 1, "label_spectrum": "uv"}}}, "label_spectrum"),
        ({"info": {"root": 5}}, r"info\.root"),
    ],
)
def test_a_wrong_structure_is_named_with_its_key(tmp_path, change, message):
    path = save(tmp_path / "a.json", **change)
    if message is None:
        path.write_text(json.dumps({"images": [], "categories": []}))
        message = "key 'annotations' is missing"
    with pytest.raises(DatasetError, match=message) as caught:
        read_coco(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"[]", "list of detections"),
        (b"5", "a JSON object"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"images": ' + b'{"a":' * 50_000, "nested too deeply"),
        (b'{"images": [\n{"id": 1,}]}', "line 2"),
        (b"\xff\xfe\xff", "broken JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "."),
    ],
)
def test_a_file_that_is_no_such_json_is_refused(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_coco(tmp_path / "a.json")


def test_a_file_cut_at_any_byte_is_refused(tmp_path):
    whole = save(tmp_path / "a.json").read_bytes()
    cut = tmp_path / "cut.json"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(DatasetError):
            read_coco(cut)


def test_a_missing_file_a_folder_and_too_large_a_file_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="there is no file"):
        read_coco(tmp_path / "none.json")
    with pytest.raises(DatasetError, match="not a file"):
        read_coco(tmp_path)
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate((2 << 30) + 1)  # sparse
    with pytest.raises(DatasetError, match="larger than"):
        read_coco(tmp_path / "large.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "bbox", "name", "image_id", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(images=json_values, annotations=json_values, categories=json_values, info=json_values)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_json_value_ends_in_another_error(tmp_path, images, annotations, categories, info):
    path = save(tmp_path / "a.json", images=[IMAGE], info=info)
    document = json.loads(path.read_text())
    for key, value in (("images", images), ("annotations", annotations), ("categories", categories)):
        for odd in (value, [value], [{**IMAGE, "extra": value}, value]):
            path.write_text(json.dumps({**document, key: odd}))
            with suppress(DatasetError):
                read_coco(path)


# Real files


def test_coco_itself_is_read_with_its_crowd_regions_and_gapped_ids(shared):
    annotations = read_coco(
        shared / "data/coco_mini/annotations/instances_train2017.json", rgb=shared / "data/coco_mini/train2017"
    )
    assert len(annotations.examples) == 13
    assert sum(len(example.objects) for example in annotations.examples) == 100
    assert sum(int(example.objects.crowd.sum()) for example in annotations.examples) == 1
    assert annotations.categories[-1] == Category(90, "toothbrush")
    assert all(example.rgb.is_file() and example.ir is None for example in annotations.examples)


def test_the_published_llvip_and_flir_forms_find_their_pictures(shared):
    data = shared / "data"
    mini, flir = data / "llvip_mini", data / "flir_layout_fixture/FLIR_aligned_coco"
    sets = [
        read_coco(mini / "coco_annotations/LLVIP_train.json", rgb=mini / "visible/train", ir=mini / "infrared/train"),
        read_coco(flir / "annotations/train.json", rgb=flir / "train_RGB", ir=flir / "train_thermal"),
    ]
    assert [sum(len(one.objects) for one in annotations.examples) for annotations in sets] == [34, 32]
    assert all(one.rgb.is_file() and one.ir.is_file() for annotations in sets for one in annotations.examples)
