"""The operators in plain PyTorch: the definition, the yardstick of the native ones, and the last resort.

Shapes: N pictures, S tokens of all levels, Q queries, M heads, D channels per head, K points of all levels together.
`sizes` are (height, width) of each level, `points` how many of the K belong to each level, level by level.

A point (u, v) of a level of height H and width W lies at x = u W - 1/2, y = v H - 1/2 in pixels whose centres are whole
numbers; corners outside the level read 0. Numbers that are not finite make the output of their query and head NaN.

Source: Zhu et al., Deformable DETR, ICLR 2021, eq. 3; Li et al., Lite DETR, CVPR 2023, eq. 2 (key-aware).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Sizes = Sequence[tuple[int, int]]
Sample = Callable[[Tensor, Tensor], Tensor]


def sample(level: Tensor, grid: Tensor) -> Tensor:
    """level (N * M, D, H, W), grid (N * M, Q, P, 2) in -1..1 -> (N * M, D, Q, P)."""
    return F.grid_sample(level, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def sample_by_index(level: Tensor, grid: Tensor) -> Tensor:
    """`sample` without grid_sample, for exported programs."""
    maps, channels, height, width = level.shape
    # One pixel of zeros around each map, so that every corner of a point that is used lies on it.
    rows = F.pad(level, (1, 1, 1, 1)).flatten(2).transpose(1, 2).flatten(0, 1)  # (N * M * (H + 2) * (W + 2), D)
    first = (height + 2) * (width + 2) * torch.arange(maps, device=level.device)[:, None, None]
    x, y = (grid[..., 0] + 1) * (width / 2) - 0.5, (grid[..., 1] + 1) * (height / 2) - 0.5
    used = (x > -1) & (x < width) & (y > -1) & (y < height)  # not if it is no number; `_poison` tells that
    x, y = torch.where(used, x + 1, 0.0), torch.where(used, y + 1, 0.0)  # in the padded map
    x0, y0 = x.floor(), y.floor()
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    corner = (first + y0.long() * (width + 2) + x0.long()).flatten()  # the upper left one

    def pixels(step: int) -> Tensor:
        return rows.index_select(0, corner + step).view(*grid.shape[:3], channels)  # (N * M, Q, P, D)

    upper = (1 - fx) * pixels(0) + fx * pixels(1)
    lower = (1 - fx) * pixels(width + 2) + fx * pixels(width + 3)
    sampled = (1 - fy) * upper + fy * lower
    return torch.where(used[..., None], sampled, 0.0).permute(0, 3, 1, 2)


def msda(
    value: Tensor,
    sizes: Sizes,
    locations: Tensor,
    weights: Tensor,
    points: Sequence[int],
    sample: Sample = sample,
) -> Tensor:
    """value (N, S, M, D), locations (N, Q, M, K, 2), weights (N, Q, M, K) -> (N, Q, M * D); differentiable."""
    exact = accumulator(value)
    shares = _by_head(weights.to(exact)).unsqueeze(1)  # (N * M, 1, Q, K)
    poison = _poison(locations.to(exact)) + _poison(weights.to(exact).unsqueeze(-1))  # (N, Q, M)
    output: Tensor | None = None
    for level, grid, part in _levels(value.to(exact), sizes, locations.to(exact), points):
        summand = (sample(level, grid) * shares[..., part]).sum(-1)  # (N * M, D, Q)
        output = summand if output is None else output + summand
    assert output is not None  # there is a level
    return (_joined(output, value) + _spread(poison, value)).to(value.dtype)


def kda(
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    sizes: Sizes,
    locations: Tensor,
    scale: float,
    points: Sequence[int],
    sample: Sample = sample,
) -> Tensor:
    """Attention of each query (N, Q, M, D) over its K sampled keys and values -> (N, Q, M * D); differentiable.

    A point outside its level has a key of 0, not of minus infinity: it keeps its share. Kept for released weights.
    """
    exact = accumulator(value)
    values = _sampled(value.to(exact), sizes, locations.to(exact), points, sample)  # (N * M, D, Q, K)
    keys = values if key is None else _sampled(key.to(exact), sizes, locations.to(exact), points, sample)
    scores = (_by_head(query.to(exact)).permute(0, 2, 1).unsqueeze(-1) * keys).sum(1) * scale  # (N * M, Q, K)
    output = (values * scores.softmax(-1).unsqueeze(1)).sum(-1)
    return (_joined(output, value) + _spread(_poison(locations.to(exact)), value)).to(value.dtype)


def msda_fused(
    value: Tensor,
    sizes: Sizes,
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
    points: Sequence[int],
    sample: Sample = sample,
) -> Tensor:
    """`msda` on `fused_inputs`; differentiable."""
    locations, weights = fused_inputs(sizes, references, offsets, logits, points)
    return msda(value, sizes, locations, weights, points, sample)


def fused_inputs(
    sizes: Sizes, references: Tensor, offsets: Tensor, logits: Tensor, points: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """What `msda` takes, from a detector's raw predictions; differentiable.

    Args:
        references: (N, Q, L, 2) points, or (N, Q, L, 4) cxcywh boxes, fractions of each level.
        offsets: (N, Q, M, K, 2) in pixels around a point, in half sides over the level's points in a box.
        logits: (N, Q, M, K), before the softmax over all points.

    Returns:
        locations (N, Q, M, K, 2) and weights (N, Q, M, K).
    """
    exact = torch.promote_types(offsets.dtype, torch.float32)
    level = _level_of(points, offsets)
    places = references.to(exact)[:, :, level].unsqueeze(2)  # (N, Q, 1, K, 2 or 4)
    if references.shape[-1] == 2:
        unit = _sides(sizes, offsets).to(exact)[level]
        locations = places + offsets.to(exact) / unit
    else:
        count = constants(points, exact, offsets.device)[level, None]
        locations = places[..., :2] + offsets.to(exact) / count * places[..., 2:] * 0.5
    return locations, logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)


# Gradients without autograd, for the registered operators


def msda_backward(
    grad: Tensor, value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor, points: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights, each in the type and shape of its tensor."""
    exact = accumulator(value)
    outer = _by_head(_heads_of(grad.to(exact), value)).permute(0, 2, 1).unsqueeze(-1)  # (N * M, D, Q, 1)
    shares = _by_head(weights.to(exact)).unsqueeze(1)
    of_values, of_grids, of_weights = [], [], []
    for level, grid, part in _levels(value.to(exact), sizes, locations.to(exact), points):
        of_weights.append((sample(level, grid) * outer).sum(1))
        of_level, of_grid = _sample_backward(outer * shares[..., part], level, grid)
        of_values.append(of_level.flatten(2))
        of_grids.append(of_grid)
    return (
        _tokens(of_values, value),
        (2 * _by_query(torch.cat(of_grids, 2), value)).to(locations.dtype),
        _by_query(torch.cat(of_weights, 2), value).to(weights.dtype),
    )


def msda_fused_backward(
    grad: Tensor,
    value: Tensor,
    sizes: Sizes,
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
    points: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of value, references, offsets and logits of `msda` on `fused_inputs`."""
    locations, weights = fused_inputs(sizes, references, offsets, logits, points)
    of_value, of_locations, of_weights = msda_backward(grad, value, sizes, locations, weights, points)
    of_logits = weights * (of_weights - (weights * of_weights).sum(-1, keepdim=True))
    of_centres = _level_sums(of_locations, points)  # (N, Q, L, 2)
    if references.shape[-1] == 2:
        unit = _sides(sizes, offsets)[_level_of(points, offsets)]
        return of_value, of_centres, of_locations / unit, of_logits.to(logits.dtype)
    level = _level_of(points, offsets)
    halves = 0.5 / constants(points, offsets.dtype, offsets.device)[level, None]
    of_sides = _level_sums(of_locations * offsets * halves, points)
    of_offsets = of_locations * references[:, :, level, 2:].unsqueeze(2) * halves
    return of_value, torch.cat([of_centres, of_sides], -1), of_offsets, of_logits.to(logits.dtype)


def kda_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    sizes: Sizes,
    locations: Tensor,
    scale: float,
    points: Sequence[int],
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Gradients of query, key (None where it is the value), value and locations."""
    exact = accumulator(value)
    outer = _by_head(_heads_of(grad.to(exact), value)).permute(0, 2, 1).unsqueeze(-1)  # (N * M, D, Q, 1)
    queries = _by_head(query.to(exact)).permute(0, 2, 1).unsqueeze(-1)  # (N * M, D, Q, 1)
    values = _sampled(value.to(exact), sizes, locations.to(exact), points)
    keys = values if key is None else _sampled(key.to(exact), sizes, locations.to(exact), points)
    shares = ((queries * keys).sum(1) * scale).softmax(-1)  # (N * M, Q, K)
    of_shares = (values * outer).sum(1)
    of_scores = scale * shares * (of_shares - (shares * of_shares).sum(-1, keepdim=True))
    of_query = (keys * of_scores.unsqueeze(1)).sum(-1)  # (N * M, D, Q)
    of_keys, of_values = queries * of_scores.unsqueeze(1), outer * shares.unsqueeze(1)
    if key is None:
        of_value, of_grid = _scattered(of_keys + of_values, value, sizes, locations, points)
        of_key = None
    else:
        of_value, of_grid = _scattered(of_values, value, sizes, locations, points)
        of_key, of_key_grid = _scattered(of_keys, key, sizes, locations, points)
        of_grid = of_grid + of_key_grid
    of_locations = (2 * _by_query(of_grid, value)).to(locations.dtype)
    return _by_query(of_query.permute(0, 2, 1), value).to(query.dtype), of_key, of_value, of_locations


# One level after the other


def accumulator(value: Tensor) -> torch.dtype:
    """float32, or float64 for float64."""
    return torch.promote_types(value.dtype, torch.float32)


def _levels(
    value: Tensor, sizes: Sizes, locations: Tensor, points: Sequence[int]
) -> list[tuple[Tensor, Tensor, slice]]:
    """Of each level: map (N * M, D, H, W), grid (N * M, Q, P, 2) in -1..1, and which of the K points it has."""
    batch, _, heads, channels = value.shape
    maps = value.permute(0, 2, 3, 1).reshape(batch * heads, channels, value.shape[1])
    grids = 2 * _by_head(locations) - 1  # (N * M, Q, K, 2)
    levels, token, point = [], 0, 0
    for (height, width), count in zip(sizes, points, strict=True):
        level = maps[:, :, token : token + height * width].reshape(batch * heads, channels, height, width)
        levels.append((level, grids[:, :, point : point + count], slice(point, point + count)))
        token, point = token + height * width, point + count
    return levels


def _sampled(value: Tensor, sizes: Sizes, locations: Tensor, points: Sequence[int], sample: Sample = sample) -> Tensor:
    return torch.cat([sample(level, grid) for level, grid, _ in _levels(value, sizes, locations, points)], dim=-1)


def _sample_backward(grad: Tensor, level: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    of_level, of_grid = torch.ops.aten.grid_sampler_2d_backward(grad, level, grid, 0, 0, False, [True, True])
    return of_level, of_grid


def _scattered(
    grad: Tensor, value: Tensor, sizes: Sizes, locations: Tensor, points: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Gradients of the tokens and of the grid (N * M, Q, K, 2), from those of the samples (N * M, D, Q, K)."""
    exact = accumulator(value)
    of_levels, of_grids = [], []
    for level, grid, part in _levels(value.to(exact), sizes, locations.to(exact), points):
        of_level, of_grid = _sample_backward(grad[..., part], level, grid)
        of_levels.append(of_level.flatten(2))
        of_grids.append(of_grid)
    return _tokens(of_levels, value), torch.cat(of_grids, 2)


def _level_of(points: Sequence[int], like: Tensor) -> Tensor:
    """(K,) the level of each point."""
    return constants([index for index, count in enumerate(points) for _ in range(count)], torch.long, like.device)


def _sides(sizes: Sizes, like: Tensor) -> Tensor:
    """(L, 2) width and height."""
    return constants([side for height, width in sizes for side in (width, height)], like.dtype, like.device).view(-1, 2)


def constants(numbers: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """As torch.tensor, in steps that may stand in an exported program."""
    return torch.cat([torch.full((1,), number, dtype=dtype, device=device) for number in numbers])


def _level_sums(each: Tensor, points: Sequence[int]) -> Tensor:
    """Sums over heads and the points of a level: (N, Q, M, K, 2) -> (N, Q, L, 2)."""
    return torch.stack([part.sum((2, 3)) for part in torch.split(each, list(points), dim=3)], dim=2)


def _by_head(each: Tensor) -> Tensor:
    """(N, Q, M, ...) -> (N * M, Q, ...)."""
    return each.transpose(1, 2).flatten(0, 1)


def _by_query(each: Tensor, value: Tensor) -> Tensor:
    """(N * M, Q, ...) -> (N, Q, M, ...)."""
    return each.view(value.shape[0], value.shape[2], *each.shape[1:]).transpose(1, 2)


def _heads_of(each: Tensor, value: Tensor) -> Tensor:
    """(N, Q, M * D) -> (N, Q, M, D)."""
    return each.reshape(*each.shape[:2], *value.shape[2:])


def _joined(output: Tensor, value: Tensor) -> Tensor:
    """(N * M, D, Q) -> (N, Q, M * D)."""
    batch, _, heads, channels = value.shape
    return output.view(batch, heads * channels, output.shape[-1]).transpose(1, 2)


def _tokens(of_levels: list[Tensor], value: Tensor) -> Tensor:
    """Gradients (N * M, D, tokens of a level) -> (N, S, M, D)."""
    batch, _, heads, channels = value.shape
    return torch.cat(of_levels, 2).view(batch, heads, channels, value.shape[1]).permute(0, 3, 1, 2).to(value.dtype)


def _poison(numbers: Tensor) -> Tensor:
    """0 where all of (N, Q, M, K, ...) of a query and head are finite, else NaN: (N, Q, M)."""
    return (numbers - numbers).detach().flatten(3).sum(-1)


def _spread(poison: Tensor, value: Tensor) -> Tensor:
    """(N, Q, M) -> (N, Q, M * D)."""
    return poison.repeat_interleave(value.shape[-1], dim=-1)
