"""Log-average miss rate: rules on frames made by hand, and against a loop that a reader can follow."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffdet_cli.data.annotations import AnnotationSet, Category
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.errors import DatasetError, RunError
from caffdet_cli.evaluation.miss_rate import POINTS, MissRateReport, counting, evaluate_miss_rate, miss_at_points
from caffdet_cli.evaluation.miss_rate_settings import SETTINGS, USUAL, Setting
from caffdet_cli.evaluation.miss_rate_truth import Frame, MissRateTruth

ANY = Setting("any", margin=0)
PERSON = (100, 100, 140, 200)  # xyxy, 100 high
OTHER = (300, 100, 340, 200)
NOWHERE = (500, 300, 540, 400)
NEARLY_NOTHING = pytest.approx(1e-10)


def frame(key: int | str, *boxes: Sequence[float], **more: Any) -> Frame:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    count = len(corners)
    return Frame(
        id=key,
        part=more.get("part"),
        width=640,
        height=512,
        boxes=corners,
        heights=np.array(more.get("heights", corners[:, 3] - corners[:, 1]), np.float64),
        occlusions=np.array(more.get("occlusions", [0] * count), np.int64),
        ignored=np.array(more.get("ignored", [False] * count), np.bool_),
        first=more.get("first", -1),
    )


def truth(*frames: Frame) -> MissRateTruth:
    annotations = AnnotationSet((), (Category(1, "person"), Category(2, "car")), "ir", Path("truth.json"))
    return MissRateTruth(frames, annotations, 0, {})


def found(*rows: tuple[Sequence[float], float], label: int = 0) -> DetectionArrays:
    boxes = np.array([row[0] for row in rows], np.float64).reshape(-1, 4)
    return DetectionArrays(boxes, np.full(len(rows), label), np.array([row[1] for row in rows], np.float64))


def mean(report: MissRateReport, part: str = "all") -> float | None:
    return report.scores[0].curves[part].mean  # type: ignore[index]


def score(frames: Sequence[Frame], detections: dict[int | str, DetectionArrays], setting: Setting = ANY, **more: Any):
    return evaluate_miss_rate(truth(*frames), detections, [setting], **more)


def test_everybody_found_without_a_false_alarm_is_nearly_nothing_and_not_an_error():
    assert mean(score([frame(1, PERSON)], {1: found((PERSON, 0.5))})) == NEARLY_NOTHING


def test_nothing_found_is_all_missed():
    assert mean(score([frame(1, PERSON)], {})) == 1
    assert mean(score([frame(1, PERSON)], {1: found((NOWHERE, 0.5))})) == 1


def test_nobody_to_find_is_undefined():
    report = score([frame(1)], {1: found((NOWHERE, 0.5))})
    assert mean(report) is None
    assert report.scores[0].curves["all"].counted == 0


def test_the_mean_is_taken_in_the_logarithm_at_nine_points():
    """Ten frames, a person in each of the first two: one found before any false alarm, one after the second."""
    frames = [frame(key, *([PERSON] if key < 2 else [])) for key in range(10)]
    detections: dict[int | str, DetectionArrays] = {
        0: found((PERSON, 0.9)),
        1: found((PERSON, 0.6)),
        2: found((NOWHERE, 0.8), (NOWHERE, 0.7)),
    }
    report = score(frames, detections)
    curve = report.scores[0].curves["all"]
    assert miss_at_points(curve.fppi, curve.miss).tolist() == [0.5] * 6 + [0, 0, 0]
    assert mean(report) == pytest.approx(math.exp((6 * math.log(0.5) + 3 * math.log(1e-10)) / 9))


def test_false_alarms_are_shared_by_empty_frames_too():
    frames = [frame(0, PERSON), *(frame(key) for key in range(1, 100))]
    detections: dict[int | str, DetectionArrays] = {0: found((NOWHERE, 0.9), (PERSON, 0.5))}
    assert score(frames, detections).scores[0].curves["all"].fppi.tolist() == [0.01, 0.01]


def test_before_the_first_point_nothing_is_found():
    """The very first detection is a false alarm in one frame: FPPI is 1 from the start."""
    detections: dict[int | str, DetectionArrays] = {1: found((NOWHERE, 0.9), (PERSON, 0.5))}
    report = score([frame(1, PERSON, OTHER)], detections)
    assert mean(report) == pytest.approx(0.5 ** (1 / 9))  # all points but the last see a miss rate of 1
    assert mean(score([frame(1, PERSON, OTHER)], detections, compatible=True)) == pytest.approx(0.5)  # wraps


def test_overlap_of_a_half_is_enough():
    half, less = (100, 100, 140, 150), (100, 100, 140, 149)
    assert mean(score([frame(1, PERSON)], {1: found((half, 0.5))})) == NEARLY_NOTHING
    assert mean(score([frame(1, PERSON)], {1: found((less, 0.5))})) == 1


def test_a_second_detection_of_a_person_is_a_false_alarm():
    report = score([frame(1, PERSON)], {1: found((PERSON, 0.9), (PERSON, 0.8))})
    assert report.scores[0].curves["all"].fppi.tolist() == [0, 1]


def test_a_detection_takes_the_person_it_overlaps_most_and_of_equal_ones_the_last():
    left, right = (100, 100, 140, 200), (110, 100, 150, 200)
    middle = (105, 100, 145, 200)
    # The last one is taken by the first detection, which leaves only the left one for the second.
    report = score([frame(1, left, right)], {1: found((middle, 0.9), (left, 0.8))})
    assert report.scores[0].curves["all"].fppi.tolist() == [0, 0]
    report = score([frame(1, right, left)], {1: found((middle, 0.9), (left, 0.8))})
    assert report.scores[0].curves["all"].miss.tolist() == [0.5, 0]  # 0.6 of `right` is left for it


def test_an_ignored_object_takes_any_number_of_detections_that_lie_in_it():
    group = (100, 100, 300, 200)
    inside = [((110 + 40 * step, 110, 140 + 40 * step, 190), 0.9) for step in range(4)]
    report = score([frame(1, group, OTHER, ignored=[True, False])], {1: found(*inside, (OTHER, 0.1))})
    assert mean(report) == NEARLY_NOTHING
    assert report.scores[0].curves["all"].fppi.tolist() == [0]  # those inside are no detections at all


def test_a_person_comes_before_an_ignored_object_of_higher_overlap():
    near = (100, 100, 140, 190)
    report = score([frame(1, near, PERSON, ignored=[True, False])], {1: found((near, 0.9))})
    assert mean(report) == NEARLY_NOTHING


def test_detections_of_other_classes_do_not_count():
    assert mean(score([frame(1, PERSON)], {1: found((PERSON, 0.5), label=1)})) == 1


def test_the_best_thousand_detections_of_a_frame_count():
    wrong = [(NOWHERE, 0.9)] * 999
    frames = [frame(0, PERSON), *(frame(key) for key in range(1, 1000))]
    assert score(frames, {0: found(*wrong, (PERSON, 0.1))}).scores[0].curves["all"].miss[-1] == 0
    assert score(frames, {0: found(*wrong, (NOWHERE, 0.9), (PERSON, 0.1))}).scores[0].curves["all"].miss[-1] == 1


def test_day_and_night_are_splits_of_their_own():
    frames = [frame(1, PERSON, part="day"), frame(2, PERSON, part="night"), frame(3, part="night")]
    report = score(frames, {1: found((PERSON, 0.5))})
    assert mean(report, "day") == NEARLY_NOTHING
    assert mean(report, "night") == 1
    assert mean(report) == pytest.approx(0.5)
    assert [curve.pictures for curve in report.scores[0].curves.values()] == [3, 1, 2]


def test_without_known_parts_there_is_only_all():
    assert set(score([frame(1, PERSON)], {}).scores[0].curves) == {"all"}


# Which objects count


def heights_that_count(name: str, occlusion: int) -> list[float]:
    tall = [0.5, 1, 19, 20, 44, 45, 46, 49, 50, 54, 55, 75, 76, 114, 115, 116, 400]
    own = frame(1, *[(100, 50, 140, 50 + height) for height in tall], occlusions=[occlusion] * len(tall))
    setting = next(setting for setting in SETTINGS if setting.name == name)
    return [height for height, counts in zip(tall, counting(own, setting), strict=True) if counts]


@pytest.mark.parametrize(
    ("name", "levels", "lowest", "highest"),
    [
        ("Reasonable", {0, 1}, 55, 400),
        ("Reasonable_small", {0, 1}, 50, 75),
        ("Reasonable_occ=heavy", {2}, 50, 400),
        ("All", {0, 1, 2}, 20, 400),
        ("near", {0}, 115, 400),
        ("medium", {0}, 45, 115),
        ("far", {0}, 1, 45),
        ("occ=none", {0}, 1, 400),
        ("occ=partial", {1}, 1, 400),
        ("occ=heavy", {2}, 1, 400),
        ("LLVIP", {0, 1, 2}, 0.5, 400),
    ],
)
def test_a_setting_counts_heights_with_both_ends_and_its_occlusion_levels(name, levels, lowest, highest):
    for level in range(3):
        counted = heights_that_count(name, level)
        assert (bool(counted)) == (level in levels)
        if counted:
            assert (counted[0], counted[-1]) == (lowest, highest)


def test_near_medium_far_and_occlusion_levels_of_one_frame():
    near, medium, far = (100, 100, 160, 220), (200, 100, 240, 180), (300, 100, 315, 130)
    own = frame(1, near, medium, far, near, near, occlusions=[0, 0, 0, 1, 2])
    report = evaluate_miss_rate(truth(own), {1: found((near, 0.9), (far, 0.8))}, SETTINGS)
    counted = {score.setting.name: score.curves["all"].counted for score in report.scores}
    assert (counted["near"], counted["medium"], counted["far"]) == (1, 1, 1)
    assert (counted["occ=none"], counted["occ=partial"], counted["occ=heavy"]) == (3, 1, 1)
    missed = {score.setting.name: score.curves["all"].mean for score in report.scores}
    assert (missed["near"], missed["medium"], missed["far"]) == (NEARLY_NOTHING, 1, NEARLY_NOTHING)


def test_a_height_key_wins_over_the_box():
    own = frame(1, PERSON, heights=[30])
    assert not counting(own, USUAL[0]).any()


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((5, 5, 60, 100), True),
        ((4.9, 5, 60, 100), False),
        ((5, 4.9, 60, 100), False),
        ((500, 400, 635, 507), True),
        ((500, 400, 635.1, 507), False),
        ((500, 400, 635, 507.1), False),
    ],
)
def test_who_leaves_the_margin_is_ignored(box, inside):
    assert counting(frame(1, box), Setting("margin of 5")).tolist() == [inside]
    assert counting(frame(1, box), ANY).tolist() == [True]


def test_two_settings_do_not_disturb_each_other():
    own = truth(frame(1, PERSON, (200, 100, 215, 130)))
    detections: dict[int | str, DetectionArrays] = {1: found((PERSON, 0.9))}
    both = evaluate_miss_rate(own, detections, [USUAL[0], USUAL[3]])
    alone = evaluate_miss_rate(own, detections, [USUAL[3]])
    assert both.scores[1].curves["all"].mean == alone.scores[0].curves["all"].mean
    assert both.scores[1].curves["all"].counted == 2


# Faults of the public script


def test_persons_of_frames_without_detections_stay_in_the_count():
    frames = [frame(1, PERSON), frame(2, PERSON)]
    detections: dict[int | str, DetectionArrays] = {1: found((PERSON, 0.5))}
    assert mean(score(frames, detections)) == pytest.approx(0.5)
    public = score(frames, detections, compatible=True)
    assert (public.scores[0].curves["all"].counted, mean(public)) == (1, 0)


def test_a_match_to_annotation_0_is_a_match():
    frames = [frame(key, PERSON if key else OTHER, first=-1 if key else 0) for key in range(3)]
    detections: dict[int | str, DetectionArrays] = {
        key: found((PERSON if key else OTHER, 0.9 - key / 10)) for key in range(3)
    }
    assert mean(score(frames, detections)) == NEARLY_NOTHING
    public = score(frames, detections, compatible=True).scores[0].curves["all"]
    assert public.fppi[0] == pytest.approx(1 / 3)


# Against a loop, step by step as the rules are written


def by_the_rules(frames: Sequence[Frame], detections: dict[int | str, DetectionArrays], setting: Setting) -> float:
    rows: list[tuple[float, bool]] = []  # score, whether it is a match; in the order of frames
    counted = 0
    for own in frames:
        counts = counting(own, setting)
        counted += int(counts.sum())
        order = [at for at in range(len(counts)) if counts[at]] + [at for at in range(len(counts)) if not counts[at]]
        taken: set[int] = set()
        boxes, _, scores = detections.get(own.id, found())
        for at in sorted(range(len(scores)), key=lambda at: -scores[at])[:1000]:
            best, threshold = None, 0.5
            for other in order:
                if other in taken:
                    continue
                if best is not None and counts[best] and not counts[other]:
                    break
                overlap = share(boxes[at], own.boxes[other], bool(counts[other]))
                if overlap >= threshold:
                    best, threshold = other, overlap
            if best is not None and not counts[best]:
                continue
            if best is not None:
                taken.add(best)
            rows.append((scores[at], best is not None))
    rows.sort(key=lambda row: -row[0])
    misses = []
    for point in POINTS:
        recall, hits, alarms = 0.0, 0, 0
        for _, hit in rows:
            hits, alarms = hits + hit, alarms + (not hit)
            if alarms / len(frames) <= point:
                recall = hits / counted
        misses.append(max(1 - recall, 1e-10))
    return math.exp(sum(map(math.log, misses)) / len(misses))


def share(box: Any, other: Any, counts: bool) -> float:
    width, height = (max(0.0, min(box[at + 2], other[at + 2]) - max(box[at], other[at])) for at in (0, 1))
    area, second = ((one[2] - one[0]) * (one[3] - one[1]) for one in (box, other))
    whole = area + second - width * height if counts else area
    return width * height / whole if whole > 0 else 0.0


boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), *[st.integers(0, 60)] * 2, *[st.integers(1, 90)] * 2)
persons = st.lists(st.tuples(boxes, st.integers(0, 2), st.booleans()), max_size=5)
guesses = st.lists(st.tuples(boxes, st.sampled_from([0.1, 0.5, 0.5, 0.9])), max_size=8)
chosen = st.builds(
    lambda low, more, levels, margin: Setting("drawn", low, low + more, frozenset(levels), margin),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sets(st.integers(0, 2), min_size=1),
    st.sampled_from([0, 5]),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(persons, guesses), min_size=1, max_size=5), chosen)
def test_agrees_with_the_loop(case, setting):
    frames, detections = [], {}
    for key, (objects, rows) in enumerate(case):
        levels, flags = [level for _, level, _ in objects], [flag for *_, flag in objects]
        frames.append(frame(key, *[box for box, *_ in objects], occlusions=levels, ignored=flags))
        detections[key] = found(*rows)
    result = mean(score(frames, detections, setting))
    if result is None:
        assert not any(counting(own, setting).any() for own in frames)
    else:
        assert result == pytest.approx(by_the_rules(frames, detections, setting), rel=1e-12)


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_numbers_that_are_not_finite_name_the_picture(damage):
    detections = found((PERSON, 0.5))
    detections.scores[0] = damage
    with pytest.raises(RunError, match=r"picture 31: .*not finite"):
        score([frame(31, PERSON)], {31: detections})


def test_detections_of_an_unknown_picture_are_refused():
    with pytest.raises(DatasetError, match=r"picture '7', which truth\.json does not have"):
        score([frame(1, PERSON)], {7: found((PERSON, 0.5))})
