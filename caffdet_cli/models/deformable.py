"""What the deformable detectors share: tokens of all levels, sampling attention, reference points, proposals.

Shapes: B pictures, L levels, S tokens of all levels, Q queries, C channels, M heads, P points.
"""

import math

import torch
from torch import Tensor, nn

from caffdet_cli.kernels.operators import kda, msda_fused
from caffdet_cli.values import Levels, Sizes, Tokens


class FlattenLevels(nn.Module):
    """Levels to tokens, finest first, row-major; adds a learned code of the level to the positions."""

    def __init__(self, levels: int, width: int):
        super().__init__()
        self.level_embedding = nn.Parameter(torch.randn(levels, width))

    def forward(self, levels: Levels) -> Tokens:
        positions = [
            code.flatten(2).transpose(1, 2) + embedding
            for code, embedding in zip(levels.positions, self.level_embedding, strict=True)
        ]
        return Tokens(
            features=torch.cat([level.flatten(2).transpose(1, 2) for level in levels.features], dim=1),
            positions=torch.cat(positions, dim=1),
            padding=torch.cat([mask.flatten(1) for mask in levels.padding], dim=1),
            sizes=[(level.shape[2], level.shape[3]) for level in levels.features],
            valid_ratios=valid_ratios(levels.padding),
        )


class SamplingAttention(nn.Module):
    """What deformable and key-aware attention share: projections, and where each query looks.

    Args:
        width: C, divisible by `heads`.
        shared_offsets: the same offsets on all levels, each in units of its own level.
    """

    def __init__(self, width: int, heads: int, levels: int, points: int, shared_offsets: bool):
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.offset_levels = 1 if shared_offsets else levels
        self.offsets = nn.Linear(width, heads * self.offset_levels * points * 2)

    def reset_parameters(self) -> None:
        """Points start on rays, one direction per head, at equal weights."""
        for name, projection in self.named_children():
            if name in ("offsets", "weights"):
                nn.init.zeros_(projection.weight)  # type: ignore[arg-type]
            else:
                nn.init.xavier_uniform_(projection.weight)  # type: ignore[arg-type]
            nn.init.zeros_(projection.bias)  # type: ignore[arg-type]
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        rays = torch.stack([angles.cos(), angles.sin()], dim=-1)
        rays = rays / rays.abs().amax(-1, keepdim=True)  # (M, 2)
        steps = torch.arange(1, self.points + 1)[:, None]  # (P, 1)
        start = (rays[:, None, None] * steps).expand(-1, self.offset_levels, -1, -1)  # (M, L, P, 2)
        with torch.no_grad():
            self.offsets.bias.copy_(start.flatten())

    def offsets_of(self, queries: Tensor) -> Tensor:
        """(B, Q, C) -> (B, Q, M, L, P, 2), in float32 at least: half types would move points by up to 0.3 pixels."""
        offsets: Tensor = self.offsets(queries)
        offsets = offsets.view(*queries.shape[:2], self.heads, self.offset_levels, self.points, 2)
        return at_least_float(offsets).expand(-1, -1, -1, self.levels, -1, -1)

    def by_head(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, M, C / M)."""
        return tokens.view(*tokens.shape[:2], self.heads, -1)


class DeformableAttention(SamplingAttention):
    """Multi-scale deformable attention with its projections.

    Args:
        unused_query: carry a frozen projection `query` that nothing uses. Kept for released weights: Lite-DETR's files
            have it without key-aware attention, DINO's have not.

    The other arguments as in `SamplingAttention`.

    Source: Zhu et al., Deformable DETR, ICLR 2021; models/dino/ops/modules/ms_deform_attn.py of Lite-DETR.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        levels: int,
        points: int,
        shared_offsets: bool = False,
        unused_query: bool = False,
    ):
        super().__init__(width, heads, levels, points, shared_offsets)
        self.weights = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, width)
        if unused_query:
            self.query = nn.Linear(width, width).requires_grad_(False)
        self.output = nn.Linear(width, width)
        self.reset_parameters()

    def forward(self, queries: Tensor, references: Tensor, tokens: Tensor, sizes: Sizes, padding: Tensor) -> Tensor:
        """Read from the tokens around the references.

        Args:
            queries: (B, Q, C), with their positions.
            references: (B, Q, L, 2) points or (B, Q, L, 4) cxcywh boxes, fractions of each padded level.
            tokens: (B, S, C).
            padding: (B, S) bool; padded tokens are read as 0.

        Returns:
            (B, Q, C).
        """
        value = self.by_head(self.value(tokens).masked_fill(padding[..., None], 0))
        logits = self.weights(queries).view(*queries.shape[:2], self.heads, self.levels, self.points)
        found = msda_fused(value, sizes, at_least_float(references), self.offsets_of(queries), logits)
        output: Tensor = self.output(found)
        return output


class KeyAwareAttention(SamplingAttention):
    """Key-aware deformable attention with its projections: the weights come from sampled keys.

    Args:
        project_keys: keys have a projection of their own; else the projected values are the keys.

    The other arguments as in `SamplingAttention`.

    Source: Li et al., Lite DETR, CVPR 2023, section 3.4; models/dino/ops/modules/ms_deform_attn.py of Lite-DETR.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        levels: int,
        points: int,
        shared_offsets: bool = False,
        project_keys: bool = False,
    ):
        super().__init__(width, heads, levels, points, shared_offsets)
        self.value = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width) if project_keys else None
        self.output = nn.Linear(width, width)
        self.reset_parameters()

    def forward(self, queries: Tensor, references: Tensor, tokens: Tensor, sizes: Sizes, padding: Tensor) -> Tensor:
        """As of `DeformableAttention`. Padding is set to 0 after the projection, and 0 keeps its share."""
        value = self.by_head(self.value(tokens).masked_fill(padding[..., None], 0))
        key = None if self.key is None else self.by_head(self.key(tokens).masked_fill(padding[..., None], 0))
        locations = sampling_locations(at_least_float(references), self.offsets_of(queries), sizes)
        output: Tensor = self.output(kda(self.by_head(self.query(queries)), value, sizes, locations, key=key))
        return output


def at_least_float(each: Tensor) -> Tensor:
    """float32, or float64 where it is that already."""
    return each.to(torch.promote_types(each.dtype, torch.float32))


def sampling_locations(references: Tensor, offsets: Tensor, sizes: Sizes) -> Tensor:
    """Where to sample: offsets are in pixels around a point, or in half box sides (all points together) in a box.

    Args:
        references: (B, Q, L, 2) or (B, Q, L, 4), fractions.
        offsets: (B, Q, M, L or 1, P, 2).

    Returns:
        (B, Q, M, L, P, 2) fractions, x then y.
    """
    centres = references[:, :, None, :, None, :2]
    if references.shape[-1] == 2:
        shapes = torch.tensor([(width, height) for height, width in sizes], device=offsets.device)
        return centres + offsets / shapes[:, None, :]
    return centres + offsets / offsets.shape[-2] * references[:, :, None, :, None, 2:] * 0.5


def valid_ratios(padding: list[Tensor]) -> Tensor:
    """Share of each level's width and height that is picture: L masks (B, H_l, W_l) -> (B, L, 2), width first."""
    ratios = [
        torch.stack([(~mask[:, 0, :]).float().mean(1), (~mask[:, :, 0]).float().mean(1)], dim=-1) for mask in padding
    ]
    return torch.stack(ratios, dim=1)


def token_references(ratios: Tensor, sizes: Sizes) -> Tensor:
    """The point of each token on every level: (B, L, 2) valid ratios -> (B, S, L, 2) fractions, x then y."""
    points = []
    for level, (height, width) in enumerate(sizes):
        y, x = torch.meshgrid(
            torch.arange(height, device=ratios.device) + 0.5,
            torch.arange(width, device=ratios.device) + 0.5,
            indexing="ij",
        )
        scale = ratios[:, level, None] * torch.tensor([width, height], device=ratios.device)  # (B, 1, 2)
        points.append(torch.stack([x.flatten(), y.flatten()], dim=-1)[None] / scale)
    return torch.cat(points, dim=1)[:, :, None] * ratios[:, None]


def token_anchors(padding: Tensor, sizes: Sizes, base: float = 0.05) -> tuple[Tensor, Tensor]:
    """A square box around every token, twice as large on each coarser level.

    Args:
        padding: (B, S) bool.
        base: side on the finest level, fraction of the picture.

    Returns:
        (B, S, 4) cxcywh before the sigmoid, infinite on tokens of no use: padding, and boxes with a number outside
        0.01..0.99; and (B, S) bool, which those are.
    """
    boxes = []
    masks = torch.split(padding, [height * width for height, width in sizes], dim=1)
    for level, ((height, width), mask) in enumerate(zip(sizes, masks, strict=True)):
        inside = ~mask.view(-1, height, width)
        valid = torch.stack([inside[:, 0, :].sum(1), inside[:, :, 0].sum(1)], dim=-1)  # (B, 2) width, height
        y, x = torch.meshgrid(
            torch.arange(height, device=padding.device) + 0.5,
            torch.arange(width, device=padding.device) + 0.5,
            indexing="ij",
        )
        centres = torch.stack([x.flatten(), y.flatten()], dim=-1)[None] / valid[:, None]
        boxes.append(torch.cat([centres, torch.full_like(centres, base * 2.0**level)], dim=-1))
    anchors = torch.cat(boxes, dim=1)
    useless = ~((anchors > 0.01) & (anchors < 0.99)).all(-1) | padding
    return torch.log(anchors / (1 - anchors)).masked_fill(useless[..., None], math.inf), useless
