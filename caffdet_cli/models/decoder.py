"""DINO's decoder: queries with moving anchors, refined layer by layer.

Shapes: B pictures, N queries (denoising and matching), S tokens, C channels, L levels.

Source: Zhang et al., DINO, ICLR 2023; models/dino/deformable_transformer.py of IDEA-Research/DINO.
"""

import math

import torch
from torch import Tensor, nn

from caffdet_cli.models.boxes import inverse_sigmoid
from caffdet_cli.models.deformable import SamplingAttention
from caffdet_cli.models.denoising import attention_mask
from caffdet_cli.models.layers import FeedForward, Mlp, sine_code
from caffdet_cli.values import Queries, Tokens


class Decoder(nn.Module):
    """Layers that move the anchors.

    Kept for released weights: anchors are refined from states before the final norm, predictions made after it.
    """

    def __init__(self, layers: nn.ModuleList, width: int):
        super().__init__()
        self.layers = layers
        self.norm = nn.LayerNorm(width)
        self.position_head = Mlp(2 * width, width, width, layers=2)

    def forward(
        self, queries: Queries, memory: Tensor, tokens: Tokens, heads: "Heads"
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns per layer its states (B, N, C) and the anchors (B, N, 4) that its boxes refine, cxcywh 0..1.

        The anchors of the first layer are detached; those of later layers carry the gradient of the refinement
        before them ("look forward twice").
        """
        mask = attention_mask(queries.groups, memory.device)
        ratios = tokens.valid_ratios.repeat(1, 1, 2)[:, None]  # (B, 1, L, 4)
        content, anchors = queries.content, queries.anchors.sigmoid()
        states, references = [], [anchors]
        for layer in self.layers:
            scaled = anchors[:, :, None] * ratios  # (B, N, L, 4)
            positions = self.position_head(anchor_code(scaled[:, :, 0], memory.shape[-1] // 2))
            content = layer(content, positions, scaled, memory, tokens, mask)
            refined = (heads.box_head(content) + inverse_sigmoid(anchors)).sigmoid()
            states.append(self.norm(content))
            references.append(refined)
            anchors = refined.detach()
        return states, references[:-1]


def anchor_code(anchors: Tensor, channels: int) -> Tensor:
    """(..., 4) cxcywh fractions -> (..., 4 * channels), in the order y, x, width, height."""
    return sine_code(anchors[..., [1, 0, 2, 3]] * (2 * math.pi), channels, temperature=10000).flatten(-2)


class DecoderLayer(nn.Module):
    """Self-attention of the queries, deformable attention to the memory, feed-forward; norms behind."""

    def __init__(
        self,
        self_attention: nn.MultiheadAttention,
        cross_attention: SamplingAttention,
        feedforward: FeedForward,
        width: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.self_attention = self_attention
        self.self_norm = nn.LayerNorm(width)
        self.cross_attention = cross_attention
        self.cross_norm = nn.LayerNorm(width)
        self.feedforward = feedforward
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, content: Tensor, positions: Tensor, anchors: Tensor, memory: Tensor, tokens: Tokens, mask: Tensor | None
    ) -> Tensor:
        """Content and positions (B, N, C), anchors (B, N, L, 2 or 4) in fractions of padded levels -> (B, N, C)."""
        seeking = content + positions
        change, _ = self.self_attention(seeking, seeking, content, attn_mask=mask, need_weights=False)
        content = self.self_norm(content + self.dropout(change))
        change = self.cross_attention(content + positions, anchors, memory, tokens.sizes, tokens.padding)
        content = self.cross_norm(content + self.dropout(change))
        updated: Tensor = self.feedforward(content)
        return updated


class Heads(nn.Module):
    """One class head and one box head for all decoder layers.

    `last_only`: predict from the last layer alone (D = 1), which is all that inference looks at.
    """

    def __init__(self, class_head: nn.Module, box_head: nn.Module):
        super().__init__()
        self.last_only = False
        self.class_head = class_head
        self.box_head = box_head

    def forward(self, states: list[Tensor], anchors: list[Tensor]) -> tuple[Tensor, Tensor]:
        """D states (B, N, C) and anchors (B, N, 4) -> logits (D, B, N, K) and boxes (D, B, N, 4) cxcywh 0..1."""
        if self.last_only:
            states, anchors = states[-1:], anchors[-1:]
        together = torch.stack(states)
        boxes = (self.box_head(together) + inverse_sigmoid(torch.stack(anchors))).sigmoid()
        return self.class_head(together), boxes
