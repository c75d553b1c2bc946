"""Denoising queries: groups, noise and its bounds, empty slots, and who may see whom."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import OUTPUTS, tiny_targets

from caffdet_cli.models.boxes import centre_to_corners, inverse_sigmoid
from caffdet_cli.models.denoising import DenoisingEmbedding, attention_mask, denoising_queries, group_count
from caffdet_cli.values import DenoisingQueries, Group, Queries, Targets

CPU = torch.device("cpu")


def noised(counts: list[int], number: int = 50, label_noise: float = 0.0, box_noise: float = 0.0) -> DenoisingQueries:
    torch.manual_seed(0)
    made = denoising_queries(tiny_targets(counts), torch.arange(OUTPUTS), number, label_noise, box_noise)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("number", "most", "groups"),
    [(100, 1, 100), (100, 3, 33), (100, 7, 14), (100, 200, 1), (50, 1, 50), (49, 1, 98), (10, 7, 20), (1, 5, 2)],
)
def test_groups_follow_the_published_rule(number, most, groups):
    assert group_count(number, most) == groups


def test_a_batch_without_objects_has_no_denoising_queries():
    assert denoising_queries(tiny_targets([0, 0]), torch.arange(OUTPUTS), 100, 0.5, 1.0) is None


def test_number_zero_switches_denoising_off():
    assert denoising_queries(tiny_targets([2]), torch.arange(OUTPUTS), 0, 0.5, 1.0) is None


def test_every_group_has_a_positive_and_a_negative_copy_of_every_object():
    made = noised([2, 1])
    assert made.groups == 25
    assert made.labels.shape == (2, 2 * 2 * 25)
    assert made.targets[0].view(25, 4).tolist() == [[0, 1, 0, 1]] * 25
    assert made.positive[0].view(25, 4).tolist() == [[True, True, False, False]] * 25
    assert made.targets[1].view(25, 4).tolist() == [[0, -1, 0, -1]] * 25
    assert made.positive[1].view(25, 4).tolist() == [[True, False, False, False]] * 25


def test_empty_slots_have_no_label_and_a_box_of_zeros():
    made = noised([2, 0], label_noise=1.0, box_noise=1.0)
    assert (made.labels[1] == -1).all()
    assert (made.boxes[1] == 0).all()
    assert (made.targets[1] == -1).all()
    assert not made.positive[1].any()


def test_without_noise_slots_are_the_objects_themselves():
    targets = tiny_targets([3, 2])
    made = noised([3, 2])
    for index, each in enumerate(targets):
        filled = made.targets[index] >= 0
        source = made.targets[index, filled]
        assert torch.equal(made.labels[index, filled], each.labels[source])
        torch.testing.assert_close(made.boxes[index, filled], inverse_sigmoid(each.boxes[source]))


@settings(deadline=None, max_examples=30)
@given(noise=st.floats(0.05, 0.4), seed=st.integers(0, 1000))
def test_corners_move_by_up_to_the_noise_and_those_of_negatives_further(noise, seed):
    """The boxes lie so well inside the picture that nothing is cut off."""
    torch.manual_seed(seed)
    target = Targets(torch.tensor([[0.5, 0.4, 0.2, 0.3]]), torch.tensor([1]))
    made = denoising_queries([target], torch.arange(OUTPUTS), 50, 0.0, noise)
    assert made is not None
    moved = centre_to_corners(made.boxes[0].sigmoid()) - centre_to_corners(target.boxes)
    shares = (moved / (torch.tensor([0.2, 0.3, 0.2, 0.3]) / 2)).abs() / noise  # in units of the noise
    positive = made.positive[0]
    assert (shares[positive] <= 1 + 1e-3).all()
    assert ((shares[~positive] >= 1 - 1e-3) & (shares[~positive] <= 2 + 1e-3)).all()


def test_boxes_stay_in_the_picture():
    target = Targets(torch.tensor([[0.05, 0.95, 0.1, 0.1]]), torch.tensor([0]))
    torch.manual_seed(0)
    made = denoising_queries([target], torch.arange(OUTPUTS), 100, 0.0, 1.0)
    assert made is not None
    corners = centre_to_corners(made.boxes[0].sigmoid())
    assert ((corners > -2e-3) & (corners < 1 + 2e-3)).all()  # up to the cut-off of the logit


def test_half_of_the_noise_share_of_labels_is_drawn_again():
    torch.manual_seed(0)
    target = Targets(torch.tensor([[0.5, 0.5, 0.2, 0.2]]).repeat(20, 1), torch.zeros(20, dtype=torch.long))
    made = denoising_queries([target] * 50, torch.arange(100), 100, 0.5, 0.0)
    assert made is not None
    changed = (made.labels != 0).float().mean().item()
    assert changed == pytest.approx(0.25 * 0.99, abs=0.01)
    assert made.labels.min() >= 0
    assert made.labels.max() == 99


def test_noise_comes_from_torchs_global_generator():
    assert torch.equal(noised([2], box_noise=1.0).boxes, noised([2], box_noise=1.0).boxes)


# in the decoder


def matching(count: int = 3, width: int = 8) -> Queries:
    return Queries(torch.ones(2, count, width), torch.zeros(2, count, 4), (Group("matching", count, ("matching",)),))


def test_embedded_queries_come_first_and_empty_slots_are_zero():
    torch.manual_seed(0)
    part, made = DenoisingEmbedding(OUTPUTS, 8), noised([2, 1])
    queries = part(matching(), made)
    slots = made.labels.shape[1]
    assert queries.content.shape == (2, slots + 3, 8)
    assert torch.equal(queries.content[:, slots:], matching().content)
    assert torch.equal(queries.content[0, 0], part.table.weight[made.labels[0, 0]])
    assert (queries.content[1, :slots][made.labels[1] < 0] == 0).all()
    assert torch.equal(queries.anchors[:, :slots], made.boxes)


def test_without_denoising_queries_nothing_changes():
    queries = matching()
    assert DenoisingEmbedding(OUTPUTS, 8)(queries, None) is queries


def test_groups_see_themselves_and_matching_queries_which_do_not_see_them():
    made = noised([1, 1], number=2)  # four groups of two slots
    queries = DenoisingEmbedding(OUTPUTS, 8)(matching(3), made)
    mask = attention_mask(queries.groups, CPU)
    assert mask is not None
    group = [0, 0, 1, 1, 2, 2, 3, 3, *["matching"] * 3]
    for one, row in zip(group, mask.tolist(), strict=True):
        for other, blocked in zip(group, row, strict=True):
            assert blocked == (other not in (one, "matching"))


def test_a_single_group_needs_no_mask():
    assert attention_mask(matching().groups, CPU) is None
