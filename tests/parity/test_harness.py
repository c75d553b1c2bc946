"""The harness itself: it must fail where a comparison is out of tolerance or was forgotten."""

import json

import numpy as np
import protocol
import pytest
from harness import Case

FACTS = {
    "family": "invented",
    "kind": "invented",
    "salt": "s",
    "tolerance": {
        "forward": {"atol": 0.01, "rtol_absmax": 0.0},
        "boxes_px": {"atol": 0.0, "rtol_absmax": 0.1},
        "loss": {"atol": 0.0, "rtol_absmax": 0.001},
        "grad_norm": {"atol": 0.001, "rtol_absmax": 0.0},
        "exact": ["post_labels", "mask"],
    },
    "tolerance_arrays": {"boxes_px": ["post_"], "set": ["topk", "found."]},
    "inputs": [
        {"name": "image0", "shape": [3, 4]},
        {"name": "weights", "shape": [2, 6], "transform": {"then": "softmax", "axis": -1, "reshape": [2, 3, 2]}},
        {"name": "points", "shape": [5], "transform": {"scale": 2.0, "offset": 0.5}},
        {"name": "sizes", "value": [1, 2]},
        {"name": "post_boxes", "shape": [1, 4]},
    ],
    "outputs": {"long": {"shape": [4, 6], "stored": "flattened (C order) [::5], plus 'long.stats'"}},
}


@pytest.fixture
def make(tmp_path):
    """Writes a case with these arrays and facts."""

    def write(arrays, **facts):
        folder = tmp_path / "invented" / "case"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "case.json").write_text(json.dumps({**FACTS, **facts}))
        np.savez(folder / "golden.npz", **arrays)
        return Case(folder)

    return write


def fails(case, match=None, **finish):
    with pytest.raises(pytest.fail.Exception, match=match):
        case.finish(**finish)


def test_passes_within_and_fails_beyond_the_tolerance(make):
    case = make({"memory": np.zeros(3)})
    case.check("memory", np.full(3, 0.009))
    case.finish()
    assert case.largest().share == pytest.approx(0.9)
    case.check("memory", np.full(3, 0.011))
    fails(case, "memory: differs by 0.011")


def test_a_recorded_array_that_was_not_compared_fails_unless_there_is_a_reason(make):
    fails(make({"memory": np.zeros(3)}), "neither compared nor exempt: memory")
    make({"memory": np.zeros(3)}).finish(exempt={"mem*": "internal"})


def test_an_array_taken_as_input_counts_as_used(make):
    case = make({"post_boxes": np.ones((1, 4))})
    np.testing.assert_array_equal(case.input("post_boxes"), np.ones((1, 4)))
    case.finish()


def test_reading_a_recorded_array_does_not_count_as_comparing_it(make):
    case = make({"memory": np.zeros(3)})
    assert case.golden["memory"].shape == (3,)
    fails(case)


def test_inputs_are_noise_with_their_transform(make):
    case = make({})
    np.testing.assert_array_equal(case.input("image0"), protocol.noise("image0", (3, 4), "s"))
    np.testing.assert_allclose(case.input("points"), protocol.noise("points", (5,), "s") * 2 + 0.5)
    assert case.input("weights").shape == (2, 3, 2)
    np.testing.assert_allclose(case.input("weights").sum(axis=(1, 2)), 1, rtol=1e-6)
    np.testing.assert_array_equal(case.input("sizes"), [1, 2])


def test_the_longest_prefix_wins(make):
    case = make({})
    assert case.class_of("post_boxes") == "boxes_px"
    assert case.class_of("post_labels") == "exact"
    assert case.class_of("memory") == "forward"
    assert case.class_of("topk_indices") == "set"
    assert case.class_of("topk_indices", ordered=True) == "forward"


def test_exact_arrays_must_be_equal_and_masks_may_be_bool(make):
    case = make({"mask": np.array([0, 1, 1], np.uint8)})
    case.check("mask", np.array([False, True, True]))
    assert case.largest().share == 0
    case.check("mask", np.array([True, True, True]))
    fails(case)


def test_of_a_long_array_every_nth_value_its_shape_and_its_statistics_are_compared(make):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {"long": whole.reshape(-1)[::5], "long.stats": np.array([whole.mean(), whole.std(), 23.0])}
    case = make(arrays)
    case.check("long", whole)
    case.finish()
    case = make(arrays)
    case.check("long", whole.reshape(6, 4))
    fails(case, "shape")
    changed = whole.copy()
    changed[0, 1] = 99  # none of the recorded values
    case = make(arrays)
    case.check("long", changed)
    fails(case, "mean, std, abs-max")


def test_indices_without_a_safe_order_are_compared_as_sets_per_row(make):
    case = make({"topk": np.array([[1, 2], [3, 4]])})
    case.check("topk", np.array([[2, 1], [4, 3]]))
    case.finish()
    case.check("topk", np.array([[3, 1], [4, 2]]))
    fails(case)


def test_detections_may_swap_but_not_change(make):
    names = ("found.scores", "found.labels", "found.boxes")
    scores, labels = np.array([0.9, 0.895, 0.5]), np.array([1, 2, 3])
    boxes = np.arange(12, dtype=np.float64).reshape(3, 4)
    order = [1, 0, 2]
    case = make(dict(zip(names, (scores, labels, boxes), strict=True)))
    case.check_detections(names, scores[order], labels[order], boxes[order])
    case.finish()
    case.check_detections(names, scores, labels[order], boxes)
    fails(case)


def test_losses_need_every_weighted_term_and_the_total(make):
    facts = {"losses": {"loss_ce": 2.0, "cardinality_error": 3.0}, "total": 4.0}
    case = make({}, **facts)
    fails(case, "losses")
    case.check_losses({"loss_ce": 2.001}, total=4.0)
    case.finish()
    case.check_losses({}, total=4.0)
    fails(case, "not computed")


def test_gradients_need_the_same_parameters_without_one(make):
    case = make({})
    (case.folder / "gradients.json").write_text(json.dumps({"a": 1.0, "b": None}))
    fails(case, "gradients.json")
    case.check_gradients({"a": 1.0, "b": None})
    case.finish()
    case.check_gradients({"a": 1.0, "b": 0.5})
    fails(case, "b: recorded None")


def test_what_is_not_built_is_an_expected_failure_or_in_strict_mode_a_failure(make):
    case = make({})
    with pytest.raises(pytest.xfail.Exception, match="not yet built: this"):
        case.not_built("this")
    with pytest.raises(pytest.fail.Exception, match="not yet built: this"):
        Case(case.folder, strict=True).not_built("this")
