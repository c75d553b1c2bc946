"""What a data set holds, counted."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_set import HEIGHT, WIDTH, InspectedSet

from caffdet_cli.data.inspection.heat import GRID, add_boxes, covered, empty_grid
from caffdet_cli.data.inspection.info import ClassInfo, Form, Info, describe
from caffdet_cli.data.inspection.report import info_json
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import load_config


@pytest.fixture
def made(tmp_path) -> InspectedSet:
    return InspectedSet(tmp_path / "set", train=4, val=2)


def described(made: InspectedSet, progress: Progress | None = None) -> Info:
    return describe(load_config(dataset=str(made.save())).config.data, progress=progress)


def test_pictures_boxes_and_their_sizes_are_counted(made):
    train = made.splits["train"]
    train["categories"].append({"id": 1, "name": "car"})
    train["annotations"] += [
        {"id": 51, "image_id": 0, "category_id": 0, "bbox": [0, 0, 8, 10]},
        {"id": 52, "image_id": 0, "category_id": 1, "bbox": [0, 0, 120, 100]},
        {"id": 53, "image_id": 1, "category_id": 1, "bbox": [0, 0, 40, 40], "iscrowd": 1},
    ]
    train["annotations"] = [one for one in train["annotations"] if one["image_id"] != 3]
    (made.root / "ir/002.png").unlink()
    found = described(made).splits["train"]
    assert (found.pictures, found.with_rgb, found.with_ir, found.unreadable) == (4, 4, 4, 1)
    assert (found.boxes, found.crowd, found.most_boxes, found.without_objects) == (5, 1, 3, 1)
    assert found.classes["person"] == ClassInfo(4, 3, 1, 3, 0, 14.5, 40.0, 40.0)
    assert found.classes["car"] == ClassInfo(1, 1, 0, 0, 1, 100.0, 100.0, 100.0)
    assert found.forms == {Form("rgb", WIDTH, HEIGHT, "uint8", 3): 4, Form("ir", WIDTH, HEIGHT, "uint8", 1): 3}


def test_a_class_without_boxes_and_a_split_without_objects(made):
    made.splits["val"]["annotations"] = []
    found = described(made).splits["val"]
    assert found.classes == {"person": ClassInfo(0, 0, 0, 0, 0, 0.0, 0.0, 0.0)}
    assert (found.boxes, found.most_boxes, found.without_objects) == (0, 0, 2)


def test_what_cannot_be_used_is_warned_of(made):
    class Heard(Progress):
        def warn(self, text):
            warnings.append(text)

    warnings: list[str] = []
    made.splits["val"]["annotations"][0]["bbox"] = [1, 1, 0, 4]
    described(made, Heard())
    assert warnings == ["1 box without area (dropped): caffdet data check tells where"]


def test_light_by_brightness_where_names_do_not_say_it(made):
    made.change("rgb", "001.png", lambda pixels: pixels // 8)
    found = described(made).splits["train"]
    assert (found.light, found.light_from) == ({"bright": 3, "dark": 1}, "brightness")


def test_light_by_folders_and_by_both(made):
    for index, image in enumerate(made.splits["train"]["images"][:3]):
        for key in ("file_name", "file_name_IR"):
            old, new = made.root / image[key], made.root / ("night" if index else "day") / image[key]
            new.parent.mkdir(parents=True, exist_ok=True)
            old.rename(new)
            image[key] = new.relative_to(made.root).as_posix()
    found = described(made).splits["train"]
    assert (found.light, found.light_from) == ({"day": 1, "night": 2, "bright": 1}, "names and brightness")


def test_json_holds_the_counts(made):
    report = json.loads(json.dumps(info_json(described(made)), allow_nan=False))
    assert (report["schema"], report["label_spectrum"], list(report["splits"])) == (1, "ir", ["train", "val"])
    val = report["splits"]["val"]
    assert (val["pictures"], val["boxes"], val["light"]) == (2, 2, {"bright": 2})
    assert val["forms"][0] == {
        "spectrum": "rgb", "width": WIDTH, "height": HEIGHT, "depth": "uint8", "channels": 3, "number": 2
    }  # fmt: skip


SIDES = st.floats(-50, 150, allow_nan=False)


@settings(max_examples=40)
@given(st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), max_size=6))
def test_heat_counts_the_boxes_that_touch_a_field(boxes):
    width, height = 100, 80
    grid = empty_grid()
    add_boxes(grid, np.array(boxes, np.float64).reshape(-1, 4), (width, height))
    expected = np.zeros((GRID, GRID))
    for left, top, right, bottom in boxes:
        columns = [at for at in range(GRID) if left / width * GRID < at + 1 and right / width * GRID > at]
        rows = [at for at in range(GRID) if top / height * GRID < at + 1 and bottom / height * GRID > at]
        if right > left and bottom > top:
            expected[np.ix_(rows, columns)] += 1
    assert (covered(grid) == expected).all()


def test_real_data_of_both_kinds(shared):
    llvip = describe(load_config(dataset="llvip").config.data, root=shared / "data/llvip_mini")
    assert {name: (split.pictures, split.boxes) for name, split in llvip.splits.items()} == {
        "train": (7, 34),
        "test": (3, 8),
    }
    assert [split.light for split in llvip.splits.values()] == [{"dark": 7}, {"dark": 3}]
    coco = describe(load_config(dataset="coco").config.data, root=shared / "data/coco_mini")
    assert sum(split.boxes for split in coco.splits.values()) == 176
    assert sum(split.crowd for split in coco.splits.values()) == 1
