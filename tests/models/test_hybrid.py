"""H-DETR: a second group of queries that helps in training, and only there."""

import pytest
import torch
from tiny import tiny_batch, tiny_settings, tiny_targets

from caffdet_cli.losses.detection import Criterion, criterion_of
from caffdet_cli.losses.matcher import match
from caffdet_cli.models.build import detector
from caffdet_cli.models.deformable_selection import QueryGroups
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Layers, Predictions, Targets

QUERIES, EXTRA, CLASSES = 6, 10, 3


def settings(**more: object) -> schema.Model:
    facts = {"refine": True, "two_stage": True, "mixed_selection": True, "look_forward_twice": True, **more}
    return tiny_settings(
        queries=QUERIES,
        decoder=schema.DeformableDecoder(layers=2, heads=4, points=2, feedforward=64, dropout=0.0, **facts),
        denoising=schema.Denoising(number=0),
        loss=schema.LossWeights(classification=2.0),
    )


def network_of(chosen: schema.Model):
    torch.manual_seed(0)
    network = detector(chosen, CLASSES)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("mixed", [True, False])
def test_the_answer_is_that_of_the_same_detector_without_the_second_group(mixed):
    """In evaluation and in training: neither chooses, sees nor hears the other group."""
    hybrid = network_of(settings(one_to_many=EXTRA, mixed_selection=mixed))
    plain = network_of(settings(mixed_selection=mixed))
    state = dict(hybrid.state_dict())
    if mixed:
        state["selection.content.weight"] = state["selection.content.weight"][:QUERIES]
    plain.load_state_dict(state)
    batch = tiny_batch([(64, 96), (48, 64)])
    for mode in (False, True):
        one, two = hybrid.train(mode)(batch), plain.train(mode)(batch)
        torch.testing.assert_close(one.matching.logits, two.matching.logits)
        torch.testing.assert_close(one.matching.boxes, two.matching.boxes)
        assert two.one_to_many is None
        assert (one.one_to_many is None) == (not mode)
    assert one.one_to_many.logits.shape == (2, 2, EXTRA, CLASSES)


def test_one_stage_queries_have_a_second_group_too():
    chosen = settings(two_stage=False, mixed_selection=False, one_to_many=EXTRA)
    network = network_of(chosen)
    assert network.train()(tiny_batch([(48, 64)])).one_to_many.boxes.shape == (2, 1, EXTRA, 4)
    assert network.eval()(tiny_batch([(48, 64)])).one_to_many is None


def test_every_object_is_wanted_as_often_as_said():
    """Beside a plain loop: objects repeated, matched once each, the same three losses."""
    random = torch.Generator().manual_seed(0)
    logits, boxes = torch.randn(2, 2, EXTRA, CLASSES, generator=random), torch.rand(2, 2, EXTRA, 4, generator=random)
    matching = Layers(logits[:, :, :QUERIES], boxes[:, :, :QUERIES])
    found = Predictions(matching, None, None, Layers(logits, boxes))
    targets, repeats, weight = tiny_targets([2, 1]), 3, 0.5
    weights = schema.LossWeights(classification=2.0)
    terms = Criterion(schema.Costs(), weights, repeats, weight)(found, targets)[0].terms
    wanted = [Targets(torch.cat([each.boxes] * repeats), torch.cat([each.labels] * repeats)) for each in targets]
    alone = Criterion(schema.Costs(), weights)
    for layer, name in enumerate(("_onetomany_0", "_onetomany")):
        matches = match(logits[layer], boxes[layer], wanted, schema.Costs())
        assert [len(rows) for rows, _ in matches] == [6, 3]
        expected = alone._compare(logits[layer], boxes[layer], wanted, matches, 9)
        for kind, factor in (("classification", 2.0), ("box", 5.0), ("giou", 2.0)):
            torch.testing.assert_close(terms[f"{kind}{name}"], weight * factor * expected[kind])


def test_the_total_is_the_sum_of_both_groups_and_the_proposals():
    chosen = settings(one_to_many=EXTRA, repeats=2)
    network, batch, targets = network_of(chosen).train(), tiny_batch([(64, 96)]), tiny_targets([2])
    losses = criterion_of(chosen)(network(batch), targets)[0]
    names = set(losses.terms)
    assert {"box", "box_0", "box_onetomany", "box_onetomany_0", "box_proposals"} <= names
    torch.testing.assert_close(losses.total, torch.stack(list(losses.terms.values())).sum())
    losses.total.backward()
    assert network.selection.content.weight.grad[QUERIES:].abs().sum() > 0


def test_proposals_at_all_tokens_are_judged_as_objects_of_any_class():
    """Beside a plain loop: every token is matched against objects whose label is 0."""
    chosen = settings()
    network, batch, targets = network_of(chosen).train(), tiny_batch([(64, 96)]), tiny_targets([3])
    found = network(batch)
    tokens = found.proposals.logits.shape[1]
    assert tokens == found.proposals.boxes.shape[1] > QUERIES
    terms = criterion_of(chosen)(found, targets)[0].terms
    zeros = [each._replace(labels=torch.zeros_like(each.labels)) for each in targets]
    ((rows, columns),) = match(found.proposals.logits, found.proposals.boxes, zeros, chosen.costs)
    boxes, wanted = found.proposals.boxes[0, rows], zeros[0].boxes[columns]
    torch.testing.assert_close(terms["box_proposals"], 5.0 * (boxes - wanted).abs().sum() / 3)
    truth = torch.zeros(tokens, CLASSES)
    truth[rows, 0] = 1
    chance = found.proposals.logits[0].sigmoid()
    sure = torch.where(truth == 1, 0.25 * (1 - chance) ** 2 * -chance.log(), 0.75 * chance**2 * -(1 - chance).log())
    torch.testing.assert_close(terms["classification_proposals"], 2.0 * sure.sum() / 3)


@pytest.mark.parametrize("form", [{}, {"refine": True}, {"refine": True, "two_stage": True}])
def test_boxes_are_not_computed_in_half_types(form):
    """A step of bfloat16 near the right edge is five pixels."""
    facts = {"mixed_selection": False, "look_forward_twice": False, "refine": False, "two_stage": False, **form}
    network = network_of(settings(**facts)).eval()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        found = network(tiny_batch([(64, 96)]))
    assert found.matching.boxes.dtype == torch.float32
    assert found.matching.boxes.flatten().unique().numel() > 10


def test_all_heads_start_alike_as_published():
    heads = detector(settings(), CLASSES)
    first = heads.heads.class_heads[0].weight
    assert all(torch.equal(each.weight, first) for each in (*heads.heads.class_heads, heads.selection.class_head))


def test_a_picture_with_few_tokens_has_fewer_queries():
    groups = QueryGroups(QUERIES, EXTRA)
    assert [(group.name, group.size) for group in groups.groups(8)] == [("matching", 6), ("one-to-many", 2)]
    assert [(group.name, group.size) for group in groups.groups(4)] == [("matching", 4)]
