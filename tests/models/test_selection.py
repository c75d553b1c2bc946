"""Two-stage selection: anchors of tokens, scores, the choice, and what the decoder is handed."""

import math

import pytest
import torch
from torch import nn

from caffdet_cli.models.deformable import FlattenLevels, token_anchors
from caffdet_cli.models.layers import Mlp
from caffdet_cli.models.selection import TwoStageSelection
from caffdet_cli.values import Levels, Tokens

SIZES = [(8, 8), (4, 4)]


def selection(queries: int = 6, width: int = 32) -> TwoStageSelection:
    torch.manual_seed(0)
    return TwoStageSelection(width, queries, nn.Linear(width, 3), Mlp(width, width, 4, layers=2))


def tokens_of(sizes: list[tuple[int, int]], width: int = 32) -> Tokens:
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(2, width, *size, generator=generator) for size in sizes]
    padding = [torch.zeros(2, *size, dtype=torch.bool) for size in sizes]
    return FlattenLevels(len(sizes), width)(Levels(features, padding, features))


def test_anchors_are_squares_around_tokens_and_double_on_the_coarser_level():
    anchors, useless = token_anchors(torch.zeros(1, 80, dtype=torch.bool), SIZES)
    assert not useless.any()
    torch.testing.assert_close(anchors[0, 9].sigmoid(), torch.tensor([1.5 / 8, 1.5 / 8, 0.05, 0.05]))
    torch.testing.assert_close(anchors[0, 64 + 7].sigmoid(), torch.tensor([3.5 / 4, 1.5 / 4, 0.1, 0.1]))


def test_padding_and_anchors_at_the_border_are_of_no_use():
    padding = torch.zeros(1, 200, dtype=torch.bool)
    padding[0, 140:] = True
    anchors, useless = token_anchors(padding, [(1, 200)])
    assert useless[0].tolist() == [not 1 <= index < 139 for index in range(200)]  # 0.5 / 140 is less than 0.01
    assert anchors[useless].isposinf().all()
    assert anchors[~useless].isfinite().all()


def test_a_large_anchor_is_of_no_use():
    _, useless = token_anchors(torch.zeros(1, 6, dtype=torch.bool), [(1, 1)] * 6)
    assert useless[0].tolist() == [False] * 5 + [True]  # 0.05 * 2 ** 5 is more than 0.99


def test_tokens_of_no_use_all_get_the_score_of_an_empty_memory():
    tokens, part = tokens_of(SIZES), selection()
    tokens.padding[:, 10:20] = True
    candidates = part.score(torch.randn(2, 80, 32), tokens)
    nothing = part.class_head(part.norm(part.transform(torch.zeros(32)))).max()
    torch.testing.assert_close(candidates.scores[:, 10:20], nothing.expand(2, 10))
    assert candidates.anchors[:, 10:20].isposinf().all()


def test_the_best_tokens_are_chosen_best_first():
    scores = torch.tensor([[0.1, 0.9, -0.5, 0.4], [2.0, -1.0, 3.0, 0.0]])
    assert selection(queries=2).choose(scores).tolist() == [[1, 3], [2, 0]]


def test_a_picture_with_fewer_tokens_than_queries_has_fewer_queries():
    tokens, part = tokens_of([(2, 2)]), selection(queries=6)
    candidates = part.score(tokens.features, tokens)
    queries, proposals = part.take(part.choose(candidates.scores), candidates)
    assert queries.content.shape == (2, 4, 32)
    assert queries.groups[0].size == 4
    assert proposals.boxes.shape == (2, 4, 4)


def test_queries_have_the_content_of_their_rank_and_the_refined_anchor_of_their_token():
    tokens, part = tokens_of(SIZES), selection()
    candidates = part.score(tokens.features, tokens)
    indices = torch.tensor([[70, 3, 12, 13, 14, 15], [0, 1, 2, 3, 4, 5]])
    queries, proposals = part.take(indices, candidates)
    assert torch.equal(queries.content[1], part.content.weight)
    expected = candidates.anchors[0, 70] + part.box_head(candidates.states[0, 70])
    torch.testing.assert_close(queries.anchors[0, 0], expected)
    torch.testing.assert_close(proposals.boxes[0, 0], expected.sigmoid())
    torch.testing.assert_close(proposals.logits[0, 1], candidates.logits[0, 3])


def test_the_decoder_gets_no_gradient_of_the_proposals():
    tokens, part = tokens_of(SIZES), selection()
    candidates = part.score(tokens.features, tokens)
    queries, proposals = part.take(part.choose(candidates.scores), candidates)
    assert not queries.anchors.requires_grad
    assert proposals.boxes.requires_grad
    assert queries.content.requires_grad


@pytest.mark.parametrize("base", [0.05, 0.1])
def test_the_side_of_the_finest_anchor_is_a_setting(base):
    anchors, _ = token_anchors(torch.zeros(1, 4, dtype=torch.bool), [(2, 2)], base)
    assert anchors[0, 0, 2].item() == pytest.approx(math.log(base / (1 - base)))
