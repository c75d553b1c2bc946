"""Two-stage query selection: the encoder proposes a box at every token, the best become the decoder's queries.

Shapes: B pictures, S tokens, Q queries, C channels, K class slots.

Source: Zhang et al., DINO, ICLR 2023, arXiv:2203.03605 ("mixed query selection"); two_stage_type "standard" upstream.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from caffdet_cli.models.deformable import token_anchors
from caffdet_cli.values import Group, Proposals, Queries, Tokens


class Candidates(NamedTuple):
    """Every token as a possible query."""

    states: Tensor  # (B, S, C)
    anchors: Tensor  # (B, S, 4) before the sigmoid, infinite on tokens of no use
    logits: Tensor  # (B, S, K)
    scores: Tensor  # (B, S) largest logit


class TwoStageSelection(nn.Module):
    """Scores tokens, chooses the best, and gives each a refined anchor and the learned content of its rank.

    Args:
        queries: Q, as many as `choose` returns; fewer where a picture has fewer tokens.
        class_head, box_head: the encoder's own heads, `(B, ., C) -> (B, ., K)` and `-> (B, ., 4)`.
    """

    def __init__(self, width: int, queries: int, class_head: nn.Module, box_head: nn.Module):
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.class_head = class_head
        self.box_head = box_head
        self.content = nn.Embedding(queries, width)

    def forward(self, memory: Tensor, tokens: Tokens) -> tuple[Queries, Proposals]:
        """Memory (B, S, C) -> the queries, and the encoder's predictions for them."""
        candidates = self.score(memory, tokens)
        return self.take(self.choose(candidates.scores), candidates)

    def score(self, memory: Tensor, tokens: Tokens) -> Candidates:
        """Memory (B, S, C) -> candidates; padding and border tokens all get one constant score."""
        anchors, useless = token_anchors(tokens.padding, tokens.sizes)
        states = self.norm(self.transform(memory.masked_fill(useless[..., None], 0)))
        logits = self.class_head(states)
        return Candidates(states, anchors, logits, logits.amax(-1))

    def choose(self, scores: Tensor) -> Tensor:
        """(B, S) -> indices (B, Q) of the best tokens, best first."""
        return scores.topk(min(self.content.num_embeddings, scores.shape[1]), dim=1).indices

    def take(self, indices: Tensor, candidates: Candidates) -> tuple[Queries, Proposals]:
        """The chosen tokens as queries, and the encoder's predictions for them."""
        states, anchors, logits = (
            torch.take_along_dim(each, indices[..., None], dim=1)
            for each in (candidates.states, candidates.anchors, candidates.logits)
        )
        refined = anchors + self.box_head(states)  # (B, Q, 4)
        count = indices.shape[1]
        content = self.content.weight[:count].expand(len(indices), -1, -1)
        queries = Queries(content, refined.detach(), (Group("matching", count, ("matching",)),))
        return queries, Proposals(indices, anchors, logits, refined.sigmoid())
