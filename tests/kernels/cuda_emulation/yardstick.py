"""The operators as formulas on whole tensors, in float64, differentiable; the same for every device.

Shapes: N pictures, S tokens, Q queries, M heads, D channels, L levels, K points of all levels together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """The levels that are sampled, and how many points each gets."""

    sizes: tuple[tuple[int, int], ...]  # height and width
    counts: tuple[int, ...]  # points

    @property
    def tokens(self) -> int:
        return sum(height * width for height, width in self.sizes)

    @property
    def points(self) -> int:
        return sum(self.counts)


def samples(maps: Tensor, grid: Grid, locations: Tensor) -> Tensor:
    """(N, Q, M, K, D): bilinear samples of (N, S, M, D) at (N, Q, M, K, 2), corner by corner; 0 outside."""
    pictures = torch.arange(maps.shape[0])[:, None, None, None]
    heads = torch.arange(maps.shape[2])[None, None, :, None]
    found = []
    start = 0
    for (height, width), points in zip(grid.sizes, torch.split(locations, list(grid.counts), dim=3), strict=True):
        size = points.new_tensor([width, height])
        place = points * size - 0.5  # (N, Q, M, P, 2), x then y
        used = ((place > -1) & (place < size)).all(-1, keepdim=True)
        place = torch.where(used, place, 0)
        corner = place.detach().floor()
        part = place - corner
        level = torch.zeros(*points.shape[:-1], maps.shape[-1], dtype=maps.dtype)
        for i in (0, 1):
            for j in (0, 1):
                x, y = (corner + corner.new_tensor([i, j])).long().unbind(-1)
                inside = used[..., 0] & (x >= 0) & (x < width) & (y >= 0) & (y < height)
                pixels = maps[pictures, torch.where(inside, start + y * width + x, 0), heads]
                share = (part[..., 0] if i else 1 - part[..., 0]) * (part[..., 1] if j else 1 - part[..., 1])
                level = level + torch.where(inside[..., None], pixels, 0) * share[..., None]
        found.append(level)
        start += height * width
    return torch.cat(found, dim=3)


def msda(value: Tensor, grid: Grid, locations: Tensor, weights: Tensor) -> Tensor:
    """(N, Q, M, D)"""
    return (samples(value, grid, locations) * weights[..., None]).sum(3)


def kda(query: Tensor, key: Tensor, value: Tensor, grid: Grid, locations: Tensor, scale: float) -> Tensor:
    """(N, Q, M, D)"""
    scores = (samples(key, grid, locations) * query[..., None, :]).sum(-1) * scale
    return (samples(value, grid, locations) * scores.softmax(-1)[..., None]).sum(3)


def fused_locations(grid: Grid, references: Tensor, offsets: Tensor) -> Tensor:
    """(N, Q, M, K, 2) of references (N, Q, L, 2 or 4) and offsets (N, Q, M, K, 2)."""
    found = []
    for level, (part, count) in enumerate(
        zip(torch.split(offsets, list(grid.counts), dim=3), grid.counts, strict=True)
    ):
        height, width = grid.sizes[level]
        reference = references[:, :, level, None, None]  # (N, Q, 1, 1, 2 or 4)
        unit = 1 / part.new_tensor([width, height]) if references.shape[-1] == 2 else reference[..., 2:] / (2 * count)
        found.append(reference[..., :2] + part * unit)
    return torch.cat(found, dim=3)
