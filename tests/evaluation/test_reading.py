"""Which reading of a checkpoint is right, and published numbers beside measured ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation.test_evaluation_report import result

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects, no_objects
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.evaluation.detector import tell_released
from caffdet_cli.evaluation.reading import Checked, Reading, firing, spread
from caffdet_cli.evaluation.receipt import Compared, Published, published_beside
from caffdet_cli.evaluation.report import SpectraReport, to_json
from caffdet_cli.progress import Progress
from caffdet_cli.released.registry import Entry


def objects(*labelled: tuple[int, tuple[int, int, int, int]]) -> Objects:
    boxes = np.array([box for _, box in labelled], float).reshape(-1, 4)
    count = len(labelled)
    return Objects(
        boxes, np.array([label for label, _ in labelled]), np.ones(count), np.zeros(count, bool), tuple(range(count))
    )


def annotated(*several: Objects) -> AnnotationSet:
    examples = tuple(
        Example(number, Path(f"{number}.png"), None, 100, 100, each) for number, each in enumerate(several)
    )
    return AnnotationSet(examples, (Category(1, "person"), Category(3, "car")), "rgb", Path("a.json"))


def found(*rows: tuple[int, float, tuple[int, int, int, int]]) -> DetectionArrays:
    return DetectionArrays(
        np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        np.array([slot for slot, _, _ in rows]),
        np.array([score for _, score, _ in rows], np.float32),
    )


def test_the_slot_that_fires_is_the_strongest_on_the_object():
    truth = annotated(
        objects((0, (0, 0, 10, 10)), (1, (50, 50, 70, 70))),
        objects((0, (20, 20, 40, 40))),
        no_objects(),
        objects((1, (0, 0, 30, 30))),
    )
    detections = {
        0: found(
            (1, 0.9, (0, 0, 10, 11)), (2, 0.95, (80, 80, 90, 90)), (7, 0.3, (0, 0, 10, 10)), (4, 0.2, (51, 50, 70, 70))
        ),
        1: found((1, 0.1, (20, 20, 40, 40)), (0, 0.8, (90, 90, 99, 99))),
        3: found((4, 0.5, (60, 60, 90, 90))),
    }
    assert firing(truth, detections) == {"person": {1: 2}, "car": {4: 1}}


@pytest.mark.parametrize(("count", "ids"), [(1, [0]), (2, [0, 6]), (3, [0, 3, 6]), (50, [0, 2, 3, 4, 6])])
def test_pictures_are_spread_over_those_with_objects(count, ids):
    some = objects((0, (0, 0, 5, 5)))
    truth = annotated(some, no_objects(), some, some, some, no_objects(), some)
    chosen = [each.id for each in spread(truth, count).examples]
    assert chosen == (ids if count != 3 else [0, 3, 6])
    assert spread(annotated(no_objects()), 5).examples == ()


def reading(streams: tuple[str, ...], ap: float, slot: int = 1) -> Reading:
    return Reading(streams, ap, ap, {"person": {slot: round(20 * ap), 5: 1}})


def test_the_better_order_is_said():
    checked = Checked([reading(("rgb", "ir"), 0.1), reading(("ir", "rgb"), 0.6)], 20, {"person": 1})
    assert checked.sentences == [
        "The streams are better read as ir, rgb: AP 60.0 instead of 10.0, 13 objects are found instead of 3.",
        "Every class is read from the slot that fires on it.",
    ]
    assert json.loads(json.dumps(checked.to_json()))["best"] == ["ir", "rgb"]


def test_ap_decides_and_objects_only_where_it_says_nothing():
    """Of 300 boxes a picture some lie on every object, whatever the order: hits saturate."""
    own, other = (
        Reading(("ir", "rgb"), 0.6, 0.9, {"person": {1: 99}}),
        Reading(("rgb", "ir"), 0.2, 0.4, {"person": {1: 100}}),
    )
    assert Checked([own, other], 20, {"person": 1}).best is own
    own, other = (
        Reading(("ir", "rgb"), 0.0001, 0.0, {"person": {1: 3}}),
        Reading(("rgb", "ir"), 0.0, 0.0, {"person": {7: 90}}),
    )
    assert Checked([own, other], 20, {"person": 1}).best is other


def test_a_class_that_is_read_from_another_slot_is_said():
    checked = Checked([reading(("ir", "rgb"), 0.6, slot=0), reading(("rgb", "ir"), 0.1)], 20, {"person": 1})
    assert checked.sentences == [
        "The streams are ir, rgb, as they are read.",
        "Slot 0 fires on 'person', which is read from slot 1.",
    ]
    assert checked.strangers == {"person": 0}


def test_slots_that_all_mean_something_else_do_not_hide_the_order():
    readings = [
        Reading(("rgb", "ir"), 0.0, 0.0, {"person": {0: 3}}),
        Reading(("ir", "rgb"), 0.0, 0.0, {"person": {0: 50}}),
    ]
    assert Checked(readings, 50, {"person": 1}).sentences == [
        "The streams are better read as ir, rgb: AP 0.0 instead of 0.0, 50 objects are found instead of 3.",
        "Slot 0 fires on 'person', which is read from slot 1.",
    ]


def test_classes_without_a_slot_or_without_a_hit_are_said():
    checked = Checked([Reading(("rgb",), 0.1, 0.1, {"human": {0: 3}, "car": {}})], 5, {"human": None, "car": 2})
    assert checked.sentences == [
        "Slot 0 fires on 'human', which is read from no slot: the detector has no class of this name.",
        "No slot fires on car.",
    ]


def test_weights_of_other_data_find_nothing():
    checked = Checked([Reading(("rgb",), 0.0, 0.0, {"person": {}})], 7, {"person": 1})
    assert checked.sentences == ["Nothing is found on 7 pictures in any order: the weights are not of this data."]


# Published numbers


def test_published_numbers_are_compared_on_their_own_data_only():
    name, path = "lite-dino-r50-coco", Path("somewhere.pth")
    own = published_beside(name, path, "coco", "val", result(0.503), 5000)
    assert own is not None
    assert own.reproduced is False  # AP50 is 0.5 in `result`
    assert published_beside(name, path, "llvip", "val", result(0.503), 5000) is None
    assert published_beside(name, path, "coco", "train", result(0.503), 5000) is None
    assert published_beside("run/x", path, "coco", "val", result(0.503), 5000) is None
    assert published_beside("x", Path("r50_s3ex3_50.4.pth"), "coco", "val", result(0.5), 5000) is not None


@pytest.mark.parametrize(("measured", "reproduced"), [(0.504, True), (0.5025, True), (0.5059, True), (0.501, False)])
def test_the_verdict_allows_for_rounding(measured, reproduced):
    published = Published("some-file", [Compared("AP", 0.504, measured)], "", "coco", 3)
    assert published.reproduced == reproduced
    assert ("is reproduced" if reproduced else "is not reproduced") in published.sentence
    assert "on 3 pictures" in published.sentence
    assert ("weights check some-file --dataset coco" in published.sentence) != reproduced
    value = to_json(SpectraReport({"rgb": result(measured)}, published=published))
    assert value["published"] == {
        "name": "some-file",
        "numbers": {"AP": {"published": 0.504, "measured": measured}},
        "reproduced": reproduced,
    }


class Heard(Progress):
    def __init__(self) -> None:
        self.words: list[str] = []

    def say(self, text: str) -> None:
        self.words.append(text)


@pytest.mark.parametrize(("figures", "without", "count"), [({}, True, 2), ({}, False, 1), ({"AP": 0.5}, True, 1)])
def test_of_a_released_file_it_is_said_what_is_not_there(figures, without, count):
    entry = Entry("some-file", "weights", "about", "a.pth", dataset="llvip", published=figures)
    heard = Heard()
    tell_released(entry, "llvip", None, without, heard)
    assert len(heard.words) == count
    assert any("no figures of some-file on llvip are published" in text for text in heard.words) == (not figures)
    assert any("--output DIR" in text for text in heard.words) == without
    tell_released(entry, "flir", None, without, heard)
    tell_released(None, "llvip", None, without, heard)
    assert len(heard.words) == count
