"""Lite-DETR's interleaved encoder: most layers update the coarse levels only, a few update every token.

Shapes: B pictures, S tokens of all levels, C channels.

Source: Li et al., Lite DETR, CVPR 2023, arXiv:2303.07335; models/dino/deformable_transformer.py of
IDEA-Research/Lite-DETR.
"""

import torch
from torch import Tensor, nn

from caffdet_cli.models.deformable import SamplingAttention, token_references
from caffdet_cli.models.layers import FeedForward
from caffdet_cli.values import Tokens


class InterleavedEncoder(nn.Module):
    """Blocks of layers; the last layer of a block is full, the others update the coarse levels.

    Args:
        layers: `EncoderLayer`s of all blocks.
        blocks: number of blocks, divides the number of layers. As many as layers: every layer is full.
        high_levels: how many of the coarsest levels count as coarse.
    """

    def __init__(self, layers: nn.ModuleList, blocks: int, high_levels: int):
        super().__init__()
        self.layers = layers
        self.block_length = len(layers) // blocks
        self.high_levels = high_levels

    def forward(self, tokens: Tokens) -> Tensor:
        """Tokens -> memory (B, S, C)."""
        references = token_references(tokens.valid_ratios, tokens.sizes)  # (B, S, L, 2)
        fine = sum(height * width for height, width in tokens.sizes[: -self.high_levels])
        memory = tokens.features
        for number, layer in enumerate(self.layers, start=1):
            if number % self.block_length == 0:
                memory = layer(memory, tokens.positions, references, memory, tokens, fine)
            else:
                coarse = layer(memory[:, fine:], tokens.positions[:, fine:], references[:, fine:], memory, tokens, 0)
                memory = torch.cat([memory[:, :fine], coarse], dim=1)
        return memory


class EncoderLayer(nn.Module):
    """Deformable attention to all tokens, then a feed-forward network; norms behind.

    Args:
        small_feedforward: a narrow network for the fine tokens of a full layer, or None: one network for all.
    """

    def __init__(
        self,
        attention: SamplingAttention,
        feedforward: FeedForward,
        small_feedforward: FeedForward | None,
        width: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.attention = attention
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.feedforward = feedforward
        self.small_feedforward = small_feedforward

    def forward(
        self, queries: Tensor, positions: Tensor, references: Tensor, memory: Tensor, tokens: Tokens, fine: int
    ) -> Tensor:
        """Update `queries` (B, Q, C), of which the first `fine` belong to fine levels."""
        change = self.attention(queries + positions, references, memory, tokens.sizes, tokens.padding)
        queries = self.norm(queries + self.dropout(change))
        if self.small_feedforward is None:
            updated: Tensor = self.feedforward(queries)
            return updated
        return torch.cat([self.small_feedforward(queries[:, :fine]), self.feedforward(queries[:, fine:])], dim=1)
