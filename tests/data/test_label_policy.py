"""Whose labels count where each spectrum was labelled apart: on records, and through a conversion."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_sets import assert_books_balance, kinds, picture, read
from yolo_sets import labels, write

from caffdet_cli.data.convert import convert
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.label_policy import SAME, Agreement, merge, policy_of, together
from caffdet_cli.data.formats.records import RawObject, RawRecord
from caffdet_cli.errors import DatasetError

SIZE = (100, 80)
BROKEN = RawObject("person", None, "width is 'nan'")
FLAT = RawObject("person", (5, 5, 5, 9))
POLICIES = ("rgb", "ir", "union", "intersection")


def person(left, top, right, bottom, **more):
    return RawObject("person", (left, top, right, bottom), **more)


def record(*objects, size=SIZE):
    return RawRecord("", size, objects)


def iou(one, other):
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


# Which policy


@pytest.mark.parametrize(
    ("labels", "spectrum", "expected"),
    [
        (None, None, ("ir", "ir")),
        (None, "rgb", ("rgb", "rgb")),
        (None, "ir", ("ir", "ir")),
        ("rgb", None, ("rgb", "rgb")),
        ("ir", None, ("ir", "ir")),
        ("union", None, ("union", "ir")),
        ("union", "rgb", ("union", "rgb")),
        ("intersection", None, ("intersection", "ir")),
        ("intersection", "rgb", ("intersection", "rgb")),
    ],
)
def test_labels_of_a_spectrum_are_in_its_pixels_and_infrared_is_usual(labels, spectrum, expected):
    assert policy_of(labels, spectrum) == expected


# Records


def bare(merged: RawRecord) -> tuple[RawObject, ...]:
    """Objects without word of where they were labelled."""
    return tuple(one._replace(labelled=()) for one in merged.objects)


def test_each_policy_on_one_object_in_both_and_one_in_each():
    both, same, mine, theirs = (
        person(10, 10, 30, 30),
        person(11, 10, 31, 30),
        person(50, 50, 60, 60),
        person(70, 10, 90, 20),
    )
    own, other = record(both, mine), record(theirs, same)
    merged = {policy: merge(own, other, policy) for policy in POLICIES}
    both, mine, theirs = (
        both._replace(labelled=("rgb", "ir")),
        mine._replace(labelled=("ir",)),
        theirs._replace(labelled=("rgb",)),
    )
    assert merged["rgb"][0].objects == merged["ir"][0].objects == (both, mine)
    assert merged["union"][0].objects == (both, mine, theirs)
    assert merged["intersection"][0].objects == (both,)
    for _, agreement in merged.values():
        assert agreement == Agreement(both=1, own=1, other=1, overlap=pytest.approx(19 / 21))


def test_boxes_of_other_classes_are_never_one_object():
    car = RawObject("car", (10, 10, 30, 30))
    merged, agreement = merge(record(person(10, 10, 30, 30)), record(car), "union")
    assert [one.name for one in merged.objects] == ["person", "car"]
    assert agreement[:3] == (0, 1, 1)


@pytest.mark.parametrize(("right", "both"), [(20, 1), (19.99, 0)])
def test_an_iou_of_one_half_is_the_same_object_and_less_is_not(right, both):
    assert merge(record(person(0, 0, 40, 10)), record(person(0, 0, right, 10)), "union")[1].both == both


def test_partners_are_chosen_together_and_not_greedily():
    left, right = person(0, 0, 100, 10), person(30, 0, 130, 10)
    between, beside = person(10, 0, 110, 10), person(0, 0, 60, 10)
    # `between` fits `left` best, but only then would `right` and `beside` be left without a partner
    _, agreement = merge(record(left, right), record(between, beside), "intersection")
    assert agreement.both == 2
    assert agreement.overlap == pytest.approx(80 / 120 + 60 / 100)


def test_two_boxes_on_one_of_the_partner_are_one_pair_and_one_alone():
    twice = record(person(10, 10, 30, 30), person(10, 10, 30, 29))
    merged, agreement = merge(twice, record(person(10, 10, 30, 30)), "intersection")
    assert bare(merged) == twice.objects[:1]
    assert agreement == Agreement(1, 1, 0, 1.0)


def test_boxes_of_a_partner_of_another_size_are_stretched_with_their_corners():
    corners = ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0))
    other = record(person(10, 10, 20, 20, corners=corners), size=(50, 20))
    merged, _ = merge(record(), other, "union")
    assert merged.objects[0].box == (20, 40, 40, 80)
    assert merged.objects[0].corners == ((20, 40), (40, 40), (40, 80), (20, 80))
    assert bare(merge(record(size=None), other, "union")[0]) == other.objects


def test_boxes_that_are_none_stay_to_be_reported_and_are_nobodys_partner():
    own, other = record(BROKEN, FLAT, person(1, 1, 9, 9)), record(BROKEN, FLAT)
    merged = {policy: merge(own, other, policy) for policy in POLICIES}
    assert bare(merged["ir"][0]) == own.objects
    assert bare(merged["union"][0]) == own.objects + other.objects
    assert bare(merged["intersection"][0]) == (BROKEN, FLAT)
    assert {agreement for _, agreement in merged.values()} == {Agreement(0, 1, 0, 0.0)}


def test_nothing_and_nothing_is_nothing():
    for policy in POLICIES:
        assert merge(record(), record(), policy) == (record(), Agreement(0, 0, 0, 0.0))


def test_agreements_of_frames_add_up():
    assert together(Agreement(1, 2, 3, 0.5), Agreement(10, 20, 30, 7.0)) == Agreement(11, 22, 33, 7.5)


SIDE = st.integers(0, 6).map(lambda step: step * 5.0)
OBJECTS = st.lists(
    st.tuples(st.sampled_from(["person", "car"]), st.none() | st.tuples(SIDE, SIDE, SIDE, SIDE)).map(
        lambda pair: RawObject(*pair)
    ),
    max_size=6,
)


def usable(one):
    return one.box is not None and one.box[2] > one.box[0] and one.box[3] > one.box[1]


@given(OBJECTS, OBJECTS)
@settings(max_examples=80)
def test_objects_are_counted_once_whatever_the_policy(own, other):
    mine, theirs = record(*own), record(*other)
    agreement = merge(mine, theirs, "union")[1]
    good, bad = sum(map(usable, own)), len(own) - sum(map(usable, own))
    assert agreement.both + agreement.own == good
    assert agreement.both + agreement.other == sum(map(usable, other))
    assert SAME * agreement.both <= agreement.overlap + 1e-9 <= agreement.both + 2e-9
    union, both = (bare(merge(mine, theirs, policy)[0]) for policy in ("union", "intersection"))
    assert len(union) == len(own) + len(other) - agreement.both
    assert union[: len(own)] == tuple(own)
    assert len(both) == agreement.both + bad
    left = list(own)
    assert [left.remove(one) for one in both] == [None] * len(both)  # a part of the label spectrum's


@given(OBJECTS, OBJECTS)
@settings(max_examples=80)
def test_no_two_objects_without_partner_could_be_one(own, other):
    both = list(bare(merge(record(*own), record(*other), "intersection")[0]))
    alone = [one for one in own if usable(one) and one not in both]
    added = merge(record(*own), record(*other), "union")[0].objects[len(own) :]
    for one in alone:
        for partner in filter(usable, added):
            assert one.name != partner.name or iou(one.box, partner.box) < SAME


@given(OBJECTS, OBJECTS)
@settings(max_examples=50)
def test_both_sides_see_the_same_agreement(own, other):
    one, two = (merge(record(*a), record(*b), "union")[1] for a, b in ((own, other), (other, own)))
    assert (one.both, one.own, one.other) == (two.both, two.other, two.own)
    assert one.overlap == pytest.approx(two.overlap)


@given(OBJECTS, OBJECTS, st.sampled_from([2, 4]))
@settings(max_examples=50)
def test_the_size_of_the_partner_does_not_matter(own, other, factor):
    larger = [one._replace(box=one.box and tuple(side * factor for side in one.box)) for one in other]
    for policy in POLICIES:
        stretched = merge(record(*own), record(*larger, size=(SIZE[0] * factor, SIZE[1] * factor)), policy)
        assert stretched == merge(record(*own), record(*other), policy)


# Through a conversion

BOTH, RGB_ONLY, IR_ONLY = (2, 2, 12, 12), (20, 2, 30, 12), (2, 15, 12, 28)


def raw_pairs(root, rgb=(80, 60)):
    """Two pairs, the RGB pictures twice as large: somebody in both, somebody in RGB only, somebody in infrared only."""
    for name in ("1", "2"):
        picture(root / f"visible/train/{name}.png", *rgb)
        picture(root / f"infrared/train/{name}.png", 40, 30)
        labels(root / f"labels/visible/train/{name}.txt", [(0, BOTH), (0, RGB_ONLY)])
        labels(root / f"labels/infrared/train/{name}.txt", [(0, (3, 2, 13, 12)), (0, IR_ONLY)])
    write(root / "classes.txt", "person\n")
    return root


@pytest.mark.parametrize(
    ("choice", "spectrum", "expected"),
    [
        ({}, "ir", [[3, 2, 10, 10], [2, 15, 10, 13]]),
        ({"labels": "ir"}, "ir", [[3, 2, 10, 10], [2, 15, 10, 13]]),
        ({"label_spectrum": "rgb"}, "rgb", [[4, 4, 20, 20], [40, 4, 20, 20]]),
        ({"labels": "rgb"}, "rgb", [[4, 4, 20, 20], [40, 4, 20, 20]]),
        ({"labels": "union"}, "ir", [[3, 2, 10, 10], [2, 15, 10, 13], [20, 2, 10, 10]]),
        ({"labels": "union", "label_spectrum": "rgb"}, "rgb", [[4, 4, 20, 20], [40, 4, 20, 20], [4, 30, 20, 26]]),
        ({"labels": "intersection"}, "ir", [[3, 2, 10, 10]]),
        ({"labels": "intersection", "label_spectrum": "rgb"}, "rgb", [[4, 4, 20, 20]]),
    ],
)
def test_a_conversion_keeps_the_labels_that_count_in_the_pixels_asked_for(tmp_path, choice, spectrum, expected):
    report = convert("yolo", raw_pairs(tmp_path / "raw"), tmp_path / "out", **choice)
    assert report.label_spectrum == spectrum
    file = read(tmp_path / "out/train.json")
    for image in file["images"]:
        boxes = [one["bbox"] for one in file["annotations"] if one["image_id"] == image["id"]]
        assert boxes == [pytest.approx(box, abs=1e-3) for box in expected]
    (twice,) = (finding for finding in report.findings if finding.kind == "labelled twice")
    partner = "rgb" if spectrum == "ir" else "ir"
    assert twice.what == f"2 objects in both, IoU 0.82 on average; 2 in {spectrum} only, 2 in {partner} only"
    assert twice.place == f"labels: {choice.get('labels', spectrum)}"
    assert_books_balance(report)


def test_labels_of_a_spectrum_are_not_given_in_the_others_pixels(tmp_path):
    raw = raw_pairs(tmp_path / "raw")
    with pytest.raises(DatasetError, match="labels of rgb are in rgb pixels"):
        convert("yolo", raw, tmp_path / "out", labels="rgb", label_spectrum="ir")


def test_a_pair_without_the_labels_that_count_is_left_out_and_told(tmp_path):
    """It would pass for a picture without objects; of one that both must have, one is not enough."""
    raw = raw_pairs(tmp_path / "raw")
    (raw / "labels/infrared/train/1.txt").unlink()
    counts = {}
    for policy in POLICIES:
        report = convert("yolo", raw, tmp_path / policy, labels=policy)
        counts[policy] = [
            sum(one["image_id"] == name for one in read(tmp_path / policy / "train.json")["annotations"])
            for name in (1, 2)
        ]
        assert (("no annotation", "dropped") in kinds(report)) == (policy != "rgb")
        assert_books_balance(report)
    assert counts == {"rgb": [2, 2], "ir": [0, 2], "union": [0, 3], "intersection": [0, 1]}


@given(st.lists(st.sampled_from([BOTH, RGB_ONLY, IR_ONLY, (5, 5, 5, 9)]), max_size=4), st.sampled_from(POLICIES))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_books_balance_under_every_policy(tmp_path, boxes, policy):
    raw = tmp_path / "raw"
    if not raw.exists():
        raw_pairs(raw)
    labels(raw / "labels/visible/train/1.txt", [(0, box) for box in boxes])
    report = convert("yolo", raw, tmp_path / "out", labels=policy, overwrite=True)
    assert_books_balance(report)
    assert report.findings.lost_boxes == (boxes.count((5, 5, 5, 9)) if policy in ("rgb", "union") else 0)


def test_what_is_written_says_in_which_pictures_an_object_was_labelled(tmp_path):
    convert("yolo", raw_pairs(tmp_path / "raw"), tmp_path / "out", labels="union")
    told = [tuple(one["labelled_in"]) for one in read(tmp_path / "out/train.json")["annotations"]]
    assert set(told) == {("rgb", "ir"), ("rgb",), ("ir",)}
    example = read_coco(tmp_path / "out/train.json").examples[0]
    assert example.objects.labelled is not None
    assert set(example.objects.labelled) == set(told)
