"""Hungarian matching: the cheapest assignment, whatever the pictures hold."""

from itertools import permutations

import pytest
import torch
from tiny import OUTPUTS, tiny_targets
from torch import Tensor

from caffdet_cli.losses.matcher import class_cost, match
from caffdet_cli.models.boxes import centre_to_corners, overlaps
from caffdet_cli.settings.model import Costs
from caffdet_cli.values import Targets

COSTS = Costs()


def predictions(pictures: int, queries: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(pictures, queries, OUTPUTS, generator=generator)
    return logits, torch.rand(pictures, queries, 4, generator=generator) * 0.4 + 0.3


def cost_of(logits: Tensor, box: Tensor, label: int, wanted: Tensor) -> float:
    """Cost of one prediction (K,) and (4,) for one object, written out."""
    chance = logits[label].sigmoid()
    found = 0.25 * (1 - chance) ** 2 * -(chance + 1e-8).log()
    missed = 0.75 * chance**2 * -(1 - chance + 1e-8).log()
    giou = overlaps(centre_to_corners(box), centre_to_corners(wanted))[1]
    return float(2 * (found - missed) + 5 * (box - wanted).abs().sum() - 2 * giou)


@pytest.mark.parametrize("seed", range(5))
def test_finds_the_assignment_that_trying_all_of_them_finds(seed):
    logits, boxes = predictions(1, 5, seed)
    (target,) = tiny_targets([3], seed)
    objects = list(zip(target.boxes, target.labels.tolist(), strict=True))

    def total(chosen: tuple[int, ...]) -> float:
        pairs = zip(chosen, objects, strict=True)
        return sum(cost_of(logits[0, query], boxes[0, query], label, box) for query, (box, label) in pairs)

    best = min(permutations(range(5), 3), key=total)
    ((rows, columns),) = match(logits, boxes, [target], COSTS)
    assert dict(zip(columns.tolist(), rows.tolist(), strict=True)) == dict(enumerate(best))
    assert rows.tolist() == sorted(rows.tolist())


def test_pictures_do_not_see_each_others_objects():
    logits, boxes = predictions(3, 6)
    targets = tiny_targets([2, 0, 3])
    together = match(logits, boxes, targets, COSTS)
    for index, target in enumerate(targets):
        ((rows, columns),) = match(logits[index : index + 1], boxes[index : index + 1], [target], COSTS)
        assert torch.equal(together[index][0], rows)
        assert torch.equal(together[index][1], columns)


def test_pictures_without_objects_have_empty_matches():
    for rows, columns in match(*predictions(2, 4), tiny_targets([0, 0]), COSTS):
        assert rows.shape == columns.shape == (0,)
        assert rows.dtype == torch.int64


def test_more_objects_than_queries_leave_objects_over():
    ((rows, columns),) = match(*predictions(1, 2), tiny_targets([5]), COSTS)
    assert rows.tolist() == [0, 1]
    assert len(set(columns.tolist())) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_predictions_that_are_not_finite_are_matched_last(value):
    logits, boxes = predictions(1, 4)
    boxes[0, :2] = value
    ((rows, _),) = match(logits, boxes, tiny_targets([2]), COSTS)
    assert rows.tolist() == [2, 3]


def test_nothing_finite_at_all_does_not_crash():
    logits, boxes = predictions(1, 4)
    ((rows, _),) = match(logits * float("nan"), boxes * float("nan"), tiny_targets([2]), COSTS)
    assert len(rows) == 2


def test_weights_decide_what_counts():
    target = Targets(torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([1]))
    logits = torch.tensor([[[-5.0, 5.0, -5.0], [-5.0, -5.0, -5.0]]])  # the first has the right class
    boxes = torch.tensor([[[0.1, 0.1, 0.1, 0.1], [0.5, 0.5, 0.2, 0.2]]])  # the second has the right box
    by_class = match(logits, boxes, [target], Costs(classification=1, box=0, giou=0))
    by_box = match(logits, boxes, [target], Costs(classification=0, box=1, giou=0))
    assert [by_class[0][0].item(), by_box[0][0].item()] == [0, 1]


def test_class_cost_falls_with_the_chance_of_the_label():
    chances = torch.tensor([0.1, 0.5, 0.9])
    costs = class_cost(torch.logit(chances)[:, None], torch.tensor([0]), alpha=0.25)
    assert (costs[:, 0].diff() < 0).all()
    torch.testing.assert_close(costs[1, 0], torch.tensor(0.25 * 0.25 * 0.693147 - 0.75 * 0.25 * 0.693147))
