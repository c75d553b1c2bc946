"""Late fusion of detections: scores and boxes by hand, a plain loop beside it, and what holds of any two lists."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.errors import ConfigError
from caffdet_cli.inference.ensemble import both_sigmoid, both_softmax, cluster, fuse, fuse_all, fuse_softmax
from caffdet_cli.settings.late import Late, late_settings

ALL = Late(least=0, prior=None)


def detections(*rows: tuple[list[float], int, float]) -> DetectionArrays:
    """From (box, label, score)."""
    boxes = np.array([box for box, _, _ in rows], np.float64).reshape(-1, 4)
    return DetectionArrays(boxes, np.array([row[1] for row in rows], np.int64), np.array([row[2] for row in rows]))


BOX, NEAR, FAR = [10.0, 10.0, 30.0, 50.0], [12.0, 10.0, 32.0, 50.0], [60.0, 10.0, 80.0, 50.0]


def test_two_that_agree_are_surer_than_each():
    found = fuse(detections((BOX, 1, 0.8)), detections((NEAR, 1, 0.7)), ALL)
    assert found.scores.tolist() == pytest.approx([0.56 / (0.56 + 0.06)])  # 0.8 * 0.7 against 0.2 * 0.3
    assert found.labels.tolist() == [1]
    assert found.boxes[0].tolist() == pytest.approx([10 + 2 * 0.7 / 1.5, 10, 30 + 2 * 0.7 / 1.5, 50])


def test_a_prior_is_counted_once():
    found = fuse(detections((BOX, 1, 0.8)), detections((BOX, 1, 0.7)), Late(least=0, prior=0.2))
    odds = (0.8 / 0.2) * (0.7 / 0.3) / (0.2 / 0.8)
    assert found.scores.tolist() == pytest.approx([odds / (1 + odds)])
    assert both_sigmoid(np.array([0.3]), np.array([0.3]), 0.3).tolist() == pytest.approx([0.3])  # nothing was learned


def test_what_one_member_alone_has_keeps_its_score_and_box():
    found = fuse(detections((BOX, 1, 0.8)), detections((FAR, 1, 0.7), (BOX, 0, 0.6)), ALL)
    assert found.scores.tolist() == [0.8, 0.7, 0.6]
    assert found.labels.tolist() == [1, 1, 0]  # another class at the same place is another object
    assert found.boxes.tolist() == [BOX, FAR, BOX]


def test_nothing_beside_nothing_is_nothing():
    assert len(fuse(detections(), detections(), ALL).scores) == 0
    assert fuse(detections(), detections((BOX, 2, 0.4)), ALL).scores.tolist() == [0.4]


def test_a_cluster_has_one_box_of_each_member():
    found = fuse(detections((BOX, 0, 0.9), (NEAR, 0, 0.2)), detections((BOX, 0, 0.6)), ALL)
    assert found.scores.tolist() == pytest.approx([0.54 / (0.54 + 0.04), 0.2])


def test_the_best_detection_chooses_first_and_takes_what_it_overlaps_most():
    first = detections((BOX, 0, 0.5), (NEAR, 0, 0.9))
    pairs = cluster(first, detections((NEAR, 0, 0.3), (BOX, 0, 0.4)), ALL)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(1, 0), (0, 1)]


def test_the_overlap_from_which_two_are_one_is_a_setting():
    first, second = detections((BOX, 0, 0.8)), detections((NEAR, 0, 0.7))  # IoU 18 / 22
    assert len(fuse(first, second, Late(iou=0.8, prior=None)).scores) == 1
    assert len(fuse(first, second, Late(iou=0.82, prior=None)).scores) == 2


def test_a_member_that_is_too_unsure_has_said_nothing():
    first, second = detections((BOX, 0, 0.8)), detections((BOX, 0, 0.29))
    assert fuse(first, second, Late()).scores.tolist() == [0.8, 0.29]
    assert fuse(second, first, Late()).scores.tolist() == [0.8, 0.29]
    both = fuse(first, second, Late(least=0.29, prior=None)).scores.tolist()
    assert both == pytest.approx([0.232 / (0.232 + 0.142)])


def test_certainty_does_not_break_the_arithmetic():
    found = fuse(detections((BOX, 0, 1.0)), detections((BOX, 0, 0.0)), ALL)
    assert found.scores.tolist() == pytest.approx([0.5])
    assert fuse(detections((BOX, 0, 0.0)), detections((NEAR, 0, 0.0)), ALL).boxes[0, 0] == pytest.approx(11)


def test_softmax_heads_are_joined_over_all_classes_and_background():
    first, second = np.array([[0.6, 0.3, 0.1]]), np.array([[0.2, 0.5, 0.3]])
    products = np.array([0.12, 0.15, 0.03])
    assert both_softmax(first, second)[0].tolist() == pytest.approx((products / products.sum()).tolist())
    prior = products / [0.25, 0.25, 0.5]  # half of it for either class, the rest for background
    assert both_softmax(first, second, 0.5)[0].tolist() == pytest.approx((prior / prior.sum()).tolist())


def test_a_fused_softmax_detection_has_the_class_that_both_together_find_likeliest():
    first, second = detections((BOX, 0, 0.5), (FAR, 1, 0.4)), detections((BOX, 0, 0.45))
    posteriors = np.array([[0.5, 0.4, 0.1], [0.3, 0.4, 0.3]]), np.array([[0.45, 0.55, 0.0]])
    found = fuse_softmax(first, second, posteriors, ALL)
    assert found.labels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.225 / (0.225 + 0.22), 0.4], abs=1e-6)
    posteriors[1][0] = [0.2, 0.7, 0.1]
    assert fuse_softmax(first, second, posteriors, ALL).labels.tolist() == [1, 1]


def test_one_class_of_softmax_is_what_sigmoid_computes():
    share = np.array([0.2, 0.9]), np.array([0.6, 0.7])
    both = both_softmax(*(np.stack([one, 1 - one], axis=1) for one in share), 0.3)
    assert both[:, 0].tolist() == pytest.approx(both_sigmoid(*share, 0.3).tolist())


def test_a_picture_that_one_member_has_not_seen_keeps_the_others_detections():
    found = fuse_all({1: detections((BOX, 0, 0.8))}, {2: detections((BOX, 0, 0.7))}, ALL)
    assert {key: each.scores.tolist() for key, each in found.items()} == {1: [0.8], 2: [0.7]}


def plain(first: DetectionArrays, second: DetectionArrays, iou: float) -> list[tuple[float, ...]]:
    """The same in loops: (score, label, box) of all."""
    rows = [
        (-score, *box, label, side, place)
        for side, each in enumerate((first, second))
        for place, (box, label, score) in enumerate(zip(*(part.tolist() for part in each), strict=True))
    ]
    used: set[tuple[int, int]] = set()
    found = []
    for row in sorted(rows):
        if row[-2:] in used:
            continue
        others = [each for each in rows if each[-2] != row[-2] and each[5] == row[5] and each[-2:] not in used]
        others = [each for each in others if overlap(row[1:5], each[1:5]) >= iou]
        used.add(row[-2:])
        if not others:
            found.append((-row[0], row[5], *row[1:5]))
            continue
        other = min(others, key=lambda each: (-overlap(row[1:5], each[1:5]), each))
        used.add(other[-2:])
        p, q = -row[0], -other[0]
        box = [(p * a + q * b) / (p + q) for a, b in zip(row[1:5], other[1:5], strict=True)]
        found.append((p * q / (p * q + (1 - p) * (1 - q)), row[5], *box))
    return sorted(found)


def overlap(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@st.composite
def lists(draw, most: int = 6) -> DetectionArrays:
    """Few places, so that boxes meet."""
    count = draw(st.integers(0, most))
    side, place = st.integers(1, 4), st.integers(0, 3)
    rows = []
    for _ in range(count):
        left, top = draw(place), draw(place)
        box = [float(left), float(top), float(left + draw(side)), float(top + draw(side))]
        rows.append((box, draw(st.integers(0, 1)), draw(st.integers(1, 99)) / 100))
    return detections(*rows)


def facts(found: DetectionArrays) -> list[tuple[float, ...]]:
    return sorted((score, label, *box) for box, label, score in zip(*(part.tolist() for part in found), strict=True))


@settings(max_examples=60)
@given(lists(), lists())
def test_a_plain_loop_finds_the_same(first, second):
    np.testing.assert_allclose(facts(fuse(first, second, ALL)), plain(first, second, 0.5), rtol=0, atol=1e-7)


@settings(max_examples=60)
@given(lists(), lists(), st.sampled_from([None, 0.01, 0.3, 0.9]))
def test_exchanging_the_members_changes_nothing(first, second, prior):
    one, other = fuse(first, second, Late(least=0, prior=prior)), fuse(second, first, Late(least=0, prior=prior))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@settings(max_examples=60)
@given(lists(), lists(), st.sampled_from([None, 0.01, 0.9]))
def test_no_detection_is_lost_and_scores_stay_probabilities(first, second, prior):
    how = Late(least=0, prior=prior)
    pairs, found = cluster(first, second, how), fuse(first, second, how)
    assert len(set(pairs.first.tolist())) == len(set(pairs.second.tolist())) == len(pairs.first)
    assert len(found.scores) == len(first.scores) + len(second.scores) - len(pairs.first)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert (np.diff(found.scores) <= 0).all()
    for label in (0, 1):
        counts = [(each.labels == label).sum() for each in (first, second)]
        assert max(counts) <= (found.labels == label).sum() <= sum(counts)


@settings(max_examples=60)
@given(lists(), lists())
def test_as_set_nobody_becomes_less_sure_by_agreeing(first, second):
    pairs, how = cluster(first, second, Late()), Late()
    better = np.maximum(first.scores[pairs.first], second.scores[pairs.second])
    assert (both_sigmoid(first.scores[pairs.first], second.scores[pairs.second], how.prior) >= better - 1e-12).all()
    best = max([*first.scores, *second.scores], default=0)
    assert max(fuse(first, second, how).scores, default=0) >= best - 1e-12


@settings(max_examples=60)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.999))
def test_a_surer_member_makes_both_surer(p, q, more, prior):
    low, high = sorted((p, more))
    scores = both_sigmoid(np.array([low, high]), np.array([q, q]), prior)
    assert scores[0] <= scores[1]


def test_three_hundred_beside_three_hundred_take_milliseconds():
    random = np.random.default_rng(0)
    members = []
    for _ in range(2):
        corners = random.uniform(0, 500, (300, 2))
        boxes = np.concatenate([corners, corners + random.uniform(20, 200, (300, 2))], axis=1)
        members.append(DetectionArrays(boxes, random.integers(0, 3, 300), random.uniform(0, 1, 300)))
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        fuse(*members, ALL)
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.1


def test_settings_are_words_of_the_command_line():
    assert late_settings(["iou=0.6", "least=0", "prior=0.05"]) == Late(iou=0.6, least=0, prior=0.05)
    assert late_settings(["prior = uniform"]) == Late(prior=None) != Late()
    assert late_settings([]) == Late()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("iou", "it is iou=X"),
        ("speed=1", "it is iou=X"),
        ("iou=0", "--late iou=0: it is a number above 0, at most 1"),
        ("least=-1", "--late least=-1: it is a number from 0 to 1"),
        ("prior=1", "above 0 and below 1, or uniform"),
        ("prior=nan", "above 0 and below 1"),
        ("prior=often", "above 0 and below 1"),
        ("iou=uniform", "above 0, at most 1"),
    ],
)
def test_a_wrong_setting_is_one_sentence(word, said):
    with pytest.raises(ConfigError, match=r"--late") as told:
        late_settings([word])
    assert said in str(told.value)
