"""Queries of Deformable-DETR: learned ones, or the best of the encoder's proposals; and those of H-DETR.

Shapes: B pictures, S tokens, Q queries, C channels, K class slots.

Source: Zhu et al., Deformable DETR, ICLR 2021, arXiv:2010.04159, section 4 and appendix A.4; Jia et al., DETRs with
Hybrid Matching, CVPR 2023, arXiv:2207.13080.
"""

import math

import torch
from torch import Tensor, nn

from caffdet_cli.models.deformable import token_anchors
from caffdet_cli.models.layers import sine_code
from caffdet_cli.values import Group, Proposals, Queries, Tokens


class QueryGroups(nn.Module):
    """How many queries there are, and who sees whom: in training a second group for one-to-many matching.

    Args:
        queries: those whose boxes are the answer.
        one_to_many: those that help in training only; 0: none.
    """

    def __init__(self, queries: int, one_to_many: int = 0):
        super().__init__()
        self.queries = queries
        self.one_to_many = one_to_many

    @property
    def count(self) -> int:
        """How many are used now."""
        return self.queries + self.one_to_many if self.training else self.queries

    def groups(self, count: int) -> tuple[Group, ...]:
        """Of so many queries; a picture with few tokens has fewer of the second group, or of both."""
        first = min(self.queries, count)
        matching = Group("matching", first, ("matching",))
        rest = Group("one-to-many", count - first, ("one-to-many",))
        return (matching, rest) if rest.size else (matching,)


class LearnedSelection(nn.Module):
    """One stage: content, position and reference point of every query are learned, whatever the picture."""

    def __init__(self, width: int, groups: QueryGroups):
        super().__init__()
        self.groups = groups
        self.embedding = nn.Embedding(groups.queries + groups.one_to_many, 2 * width)
        self.reference = nn.Linear(width, 2)

    def forward(self, memory: Tensor, tokens: Tokens) -> tuple[Queries, None]:
        """Memory (B, S, C) says only how many pictures there are; anchors are points (B, Q, 2)."""
        count = self.groups.count
        positions, content = self.embedding.weight[:count].chunk(2, dim=-1)
        with torch.autocast(memory.device.type, enabled=False):  # half types would move boxes by pixels
            anchors = self.reference(positions)
        whole = [each.expand(len(memory), -1, -1) for each in (content, anchors, positions)]
        return Queries(whole[0], whole[1], self.groups.groups(count), whole[2]), None


class ProposalSelection(nn.Module):
    """Two stages: the encoder proposes a box at every token, the best become queries at their places.

    Args:
        class_head, box_head: the encoder's own heads, `(B, ., C) -> (B, ., K)` and `-> (B, ., 4)`. Only the first class
            slot is used, for "an object of whatever class".
        mixed: the content is learned, by rank; else it comes from the box, as the position does.
    """

    def __init__(self, width: int, groups: QueryGroups, class_head: nn.Module, box_head: nn.Module, mixed: bool):
        super().__init__()
        self.groups = groups
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.class_head = class_head
        self.box_head = box_head
        self.position = nn.Linear(2 * width, 2 * width)
        self.position_norm = nn.LayerNorm(2 * width)
        self.content = nn.Embedding(groups.queries + groups.one_to_many, width) if mixed else None

    def forward(self, memory: Tensor, tokens: Tokens) -> tuple[Queries, Proposals]:
        """Memory (B, S, C) -> queries, and the proposals at all tokens, which are what the encoder's loss compares."""
        anchors, useless = token_anchors(tokens.padding, tokens.sizes)
        states = self.norm(self.transform(memory.masked_fill(useless[..., None], 0)))
        logits, refined = self.class_head(states), self.box_head(states) + anchors
        count = min(self.groups.count, logits.shape[1])
        indices = logits[..., 0].topk(count, dim=1).indices
        chosen = torch.take_along_dim(refined, indices[..., None], dim=1).detach()  # (B, Q, 4)
        code = self.position_norm(self.position(box_code(chosen.sigmoid(), memory.shape[-1] // 2)))
        positions, content = code.chunk(2, dim=-1)
        if self.content is not None:
            content = self.content.weight[:count].expand(len(memory), -1, -1)
        proposals = Proposals(indices, anchors, logits, refined.sigmoid(), of_any_class=True)
        return Queries(content, chosen, self.groups.groups(count), positions), proposals


def box_code(boxes: Tensor, channels: int) -> Tensor:
    """(..., 4) cxcywh fractions -> (..., 4 * channels), in the order x, y, width, height."""
    return sine_code(boxes * (2 * math.pi), channels, temperature=10000).flatten(-2)
