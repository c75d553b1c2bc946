"""Multi-scale deformable attention: each query reads P points on each of L levels.

Shapes: B pictures, S tokens of all levels, Q queries, M heads, D channels per head, L levels, P points.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def msda(
    value: Tensor, spatial_shapes: Sequence[tuple[int, int]], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Weighted sum of bilinearly sampled values, in plain PyTorch.

    Args:
        value: (B, S, M, D), the levels one after another, each row-major.
        spatial_shapes: height and width of the L levels; they add up to S.
        sampling_locations: (B, Q, M, L, P, 2), x then y, 0..1 across the level including its padding.
        attention_weights: (B, Q, M, L, P), normalised by the caller.

    Returns:
        (B, Q, M * D) in the type of `value`, accumulated in float32 or better. Points outside a level read 0; pixel
        centres lie at half-integers.

    Source: Zhu et al., Deformable DETR, ICLR 2021, eq. 3; arXiv:2010.04159.
    """
    batch, tokens, heads, channels = value.shape
    if (expected := sum(height * width for height, width in spatial_shapes)) != tokens:
        raise ValueError(f"spatial_shapes {list(spatial_shapes)} have {expected} tokens, value has {tokens}")
    exact = torch.promote_types(value.dtype, torch.float32)
    maps = value.to(exact).permute(0, 2, 3, 1).reshape(batch * heads, channels, tokens)
    grids = (2 * sampling_locations.to(exact) - 1).transpose(1, 2).flatten(0, 1)  # (B * M, Q, L, P, 2) in -1..1
    shares = attention_weights.to(exact).transpose(1, 2).flatten(0, 1).unsqueeze(1)  # (B * M, 1, Q, L, P)
    output = maps.new_zeros(batch * heads, channels, sampling_locations.shape[1])
    for level, ((height, width), flat) in enumerate(
        zip(spatial_shapes, torch.split(maps, [height * width for height, width in spatial_shapes], dim=2), strict=True)
    ):
        picture = flat.reshape(batch * heads, channels, height, width)
        sampled = F.grid_sample(picture, grids[:, :, level], mode="bilinear", padding_mode="zeros", align_corners=False)
        output = output + (sampled * shares[:, :, :, level]).sum(-1)  # (B * M, D, Q)
    return output.view(batch, heads * channels, -1).transpose(1, 2).to(value.dtype)
