"""The criterion: names, weights and denominators of its terms, and batches that have nothing or break."""

import math

import pytest
import torch
from tiny import OUTPUTS, tiny_batch, tiny_detector, tiny_settings, tiny_targets
from torchvision.ops import generalized_box_iou

from caffdet_cli.losses.detection import Criterion, class_error
from caffdet_cli.losses.objective import Objective
from caffdet_cli.models.boxes import centre_to_corners
from caffdet_cli.models.denoising import denoising_queries
from caffdet_cli.settings.model import Costs, LossWeights
from caffdet_cli.values import DenoisingQueries, Layers, Predictions, Proposals, Targets

LAYERS, QUERIES = 3, 6
WEIGHTS = LossWeights(classification=1.5, box=5.0, giou=2.0, proposals=0.5)


def layers_of(pictures: int, queries: int, seed: int = 0) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(LAYERS, pictures, queries, OUTPUTS, generator=generator)
    boxes = 0.3 + 0.3 * torch.rand(LAYERS, pictures, queries, 4, generator=generator)
    return Layers(logits.requires_grad_(), boxes.requires_grad_())


def predicted(pictures: int, noised: DenoisingQueries | None = None) -> Predictions:
    matching, proposals = layers_of(pictures, QUERIES), layers_of(pictures, QUERIES, seed=1)
    indices = torch.zeros(pictures, QUERIES, dtype=torch.long)
    return Predictions(
        matching=matching,
        denoising=None if noised is None else layers_of(pictures, noised.labels.shape[1], seed=2),
        proposals=Proposals(indices, proposals.boxes[0], proposals.logits[0], proposals.boxes[0]),
    )


def noised_of(targets: list[Targets]) -> DenoisingQueries:
    torch.manual_seed(0)
    made = denoising_queries(targets, torch.arange(OUTPUTS), 2, 0.0, 0.4)
    assert made is not None
    return made


CRITERION = Criterion(Costs(), WEIGHTS)


def test_weighted_terms_sum_to_the_total():
    targets = tiny_targets([2, 3])
    noised = noised_of(targets)
    losses, _ = CRITERION(predicted(2, noised), targets, noised)
    torch.testing.assert_close(torch.stack(list(losses.terms.values())).sum(), losses.total)
    assert losses.total.requires_grad


def test_every_layer_the_proposals_and_denoising_have_three_terms():
    targets = tiny_targets([2, 3])
    noised = noised_of(targets)
    losses, _ = CRITERION(predicted(2, noised), targets, noised)
    places = ["", "_0", "_1", "_proposals", "_denoising", "_denoising_0", "_denoising_1"]
    assert set(losses.terms) == {f"{kind}{place}" for kind in ("classification", "box", "giou") for place in places}
    assert set(losses.logged) == {*losses.terms, "class_error"}


def test_weights_belong_to_kinds_and_proposals_have_a_factor_more():
    targets = tiny_targets([2, 3])
    losses, _ = CRITERION(predicted(2), targets)
    weights = {name: (losses.terms[name] / losses.logged[name]).item() for name in losses.terms}
    assert weights["classification_0"] == pytest.approx(1.5)
    assert weights["box"] == pytest.approx(5.0)
    assert weights["giou_1"] == pytest.approx(2.0)
    assert weights["box_proposals"] == pytest.approx(2.5)
    assert not any(value.requires_grad for value in losses.logged.values())


def test_box_losses_are_means_over_the_objects_of_the_batch():
    targets = tiny_targets([2, 3])
    predictions = predicted(2)
    losses, matches = CRITERION(predictions, targets)
    distance, overlap = 0.0, 0.0
    for index, (rows, columns) in enumerate(matches.layers[-1]):
        found, wanted = predictions.matching.boxes[-1, index, rows], targets[index].boxes[columns]
        distance += (found - wanted).abs().sum().item()
        overlap += (1 - generalized_box_iou(centre_to_corners(found), centre_to_corners(wanted)).diag()).sum().item()
    assert losses.logged["box"].item() == pytest.approx(distance / 5, rel=1e-5)
    assert losses.logged["giou"].item() == pytest.approx(overlap / 5, rel=1e-3)


def test_classification_is_the_focal_loss_of_every_query_per_object():
    targets = tiny_targets([2])
    predictions = predicted(1)
    losses, matches = CRITERION(predictions, targets)
    ((rows, columns),) = matches.layers[-1]
    expected = 0.0
    for query in range(QUERIES):
        for label in range(OUTPUTS):
            chance = predictions.matching.logits[-1, 0, query, label].sigmoid().item()
            wanted = targets[0].labels[columns[rows == query]].tolist() == [label]
            found = 0.25 * (1 - chance) ** 2 * -math.log(chance) if wanted else 0.75 * chance**2 * -math.log(1 - chance)
            expected += found
    assert losses.logged["classification"].item() == pytest.approx(expected / 2, rel=1e-5)


def test_negative_denoising_queries_are_background_and_have_no_box_loss():
    target = Targets(torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([1]))
    noised = noised_of([target])
    right = torch.full((LAYERS, 1, noised.labels.shape[1], OUTPUTS), -20.0)
    right[:, 0, noised.positive[0], 1] = 20.0
    boxes = torch.zeros(LAYERS, 1, noised.labels.shape[1], 4)
    boxes[:, 0, noised.positive[0]] = target.boxes
    predictions = predicted(1)._replace(denoising=Layers(right, boxes))
    losses, _ = CRITERION(predictions, [target], noised)
    for kind in ("classification", "box"):
        assert losses.logged[f"{kind}_denoising"].item() == pytest.approx(0, abs=1e-6)
    assert losses.logged["giou_denoising"].item() == pytest.approx(0, abs=1e-4)  # the published eps is left
    wrong = Layers(right.clone(), boxes)
    wrong.logits[:, 0, ~noised.positive[0], 1] = 20.0
    losses, _ = CRITERION(predictions._replace(denoising=wrong), [target], noised)
    assert losses.logged["classification_denoising"].item() > 1


def test_denoising_is_divided_by_groups_too():
    """The same predictions for one group and for four give the same loss."""
    target = Targets(torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([1]))
    noised = noised_of([target])
    part = layers_of(1, 2, seed=3)
    four = Layers(part.logits.repeat(1, 1, 4, 1), part.boxes.repeat(1, 1, 4, 1))
    once = DenoisingQueries(*(each[:, :2] for each in noised[:4]), groups=1)
    losses = [
        CRITERION(predicted(1)._replace(denoising=layers), [target], queries)[0].logged["box_denoising"].item()
        for layers, queries in ((part, once), (four, noised))
    ]
    assert losses[0] == pytest.approx(losses[1])


def test_without_objects_only_background_is_learned():
    predictions = predicted(2)
    losses, matches = CRITERION(predictions, tiny_targets([0, 0]))
    assert losses.total.isfinite()
    assert losses.terms["classification"] > 0
    assert losses.terms["box"] == losses.terms["giou"] == losses.logged["class_error"] == 0
    assert all(len(rows) == 0 for layer in matches.layers for rows, _ in layer)
    losses.total.backward()
    assert predictions.matching.boxes.grad is not None
    assert predictions.matching.boxes.grad.count_nonzero() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_predictions_that_are_not_finite_give_a_loss_that_is_not(value):
    predictions = predicted(1)
    broken = predictions.matching._replace(boxes=predictions.matching.boxes * value)
    losses, _ = CRITERION(predictions._replace(matching=broken), tiny_targets([2]))
    assert not losses.total.isfinite()
    assert losses.terms["classification"].isfinite()


def test_right_answers_cost_nearly_nothing():
    (target,) = tiny_targets([3])
    logits = torch.full((1, 1, QUERIES, OUTPUTS), -20.0)
    logits[0, 0, torch.arange(3), target.labels] = 20.0
    boxes = torch.rand(1, 1, QUERIES, 4)
    boxes[0, 0, :3] = target.boxes
    losses, _ = CRITERION(Predictions(Layers(logits, boxes), None, None), [target])
    assert losses.total.item() == pytest.approx(0, abs=1e-3)
    assert losses.logged["class_error"] == 0


def test_class_error_is_the_percentage_of_wrong_labels():
    targets = [Targets(torch.zeros(2, 4), torch.tensor([0, 2])), Targets(torch.zeros(2, 4), torch.tensor([1, 1]))]
    logits = torch.eye(3).expand(2, 3, 3)  # query i of either picture says class i
    matches = [(torch.tensor([0, 2]), torch.tensor([0, 1])), (torch.tensor([0, 1]), torch.tensor([0, 1]))]
    assert class_error(logits, targets, matches).item() == 25.0


# detector and criterion together


def test_the_objective_adds_denoising_in_training_only():
    settings = tiny_settings()
    objective = Objective(tiny_detector(settings), Criterion(settings.costs, settings.loss), settings.denoising)
    batch, targets = tiny_batch([(64, 64), (64, 64)]), tiny_targets([1, 2])
    training = objective.train()(batch, targets)
    with torch.no_grad():
        judging = objective.eval()(batch, targets)
    assert "box_denoising" in training.terms
    assert not any("denoising" in name for name in judging.terms)


def test_a_training_step_on_pictures_without_objects_works():
    settings = tiny_settings()
    objective = Objective(tiny_detector(settings), Criterion(settings.costs, settings.loss), settings.denoising)
    losses = objective.train()(tiny_batch([(64, 64), (64, 64)]), tiny_targets([0, 0]))
    losses.total.backward()
    assert losses.total.isfinite()
