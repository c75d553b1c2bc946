"""CAFF, cross-attention feature fusion of two spectra, lite and hierarchical form.

Shapes: B pictures, C channels, H x W one level.

Source: Helvig et al., CAFF-DINO, CVPR Workshops 2024; models/dino/dino.py of kevinhelvig/CAFF-DETR (CAFF-lite-DINO and
CAFF-DINO).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffdet_cli.errors import DatasetError


class Caff(nn.Module):
    """Fusion of one level: cross-attention of the first stream to the second, then self-attention of the result.

    The result is reduced, joined with both streams, projected to their width and normalised. Padding takes part in
    the attention and in the group norm: kept for released weights, hence results depend on the padding of a batch.

    Args:
        width: channels of both streams and of the result, a multiple of 32.
        stages: attention stages, `(attending, source, code) -> map`: `RowAttention` in the lite form,
            `HierarchicalAttention` in the other. All but the first are self-attention.
        reduced: channels of the attended map before it is joined.
        bypass_absent: pass the other stream on untouched where a spectrum is absent. Off for released weights, which
            were trained on zeros.
    """

    def __init__(self, width: int, stages: Sequence[nn.Module], reduced: int = 64, bypass_absent: bool = False):
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.reduce = nn.Conv2d(width, reduced, 1)
        self.join = nn.Sequential(nn.Conv2d(2 * width + reduced, width, 1), nn.GroupNorm(32, width))
        self.bypass_absent = bypass_absent

    def forward(self, first: Tensor, second: Tensor, present: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and (B, 2) bool, which of the spectra are there -> (B, C, H, W)."""
        first, second = first.contiguous(), second.contiguous()  # the attention multiplies whole maps of a channel
        code = row_column_code(first)
        source, attended = second, first
        for stage in self.stages:
            source = attended = stage(attended, source, code)
        fused: Tensor = self.join(torch.cat([first, second, self.reduce(attended)], dim=1))
        return keep_alone(fused, first, second, present) if self.bypass_absent else fused


class RowAttention(nn.Module):
    """Attention among the rows of a map, in each channel by itself: a token is a row, its features are its pixels.

    Kept for released weights: no scale, no heads, no residual, and the position code on queries and keys only, where
    the convolutions look at single pixels.

    Args:
        kernel: side of the convolutions, which have no padding.
    """

    def __init__(self, width: int, kernel: int = 1):
        super().__init__()
        self.query = nn.Conv2d(width, width, kernel)
        self.key = nn.Conv2d(width, width, kernel)
        self.value = nn.Conv2d(width, width, kernel)
        self.softmax = nn.Softmax(dim=-1)
        self.kernel = kernel

    def forward(self, attending: Tensor, source: Tensor, code: Tensor) -> Tensor:
        """Maps (B, C, H, W), code (C, H, W) -> (B, C, H - kernel + 1, W - kernel + 1)."""
        query, key, value = self.query(attending), self.key(source), self.value(source)
        with torch.autocast(query.device.type, enabled=False):  # logits grow with the width of the map
            query, key = query.float(), key.float()
            if self.kernel == 1:
                query, key = query + code, key + code
            logits = query @ key.transpose(-1, -2)  # (B, C, H, H)
            shares: Tensor = self.softmax(logits)
            attended: Tensor = shares @ value.float()
        return attended.to(value.dtype)


class HierarchicalAttention(nn.Module):
    """Row attention at several scales: one branch per kernel, resized to the map and merged.

    Args:
        kernels: sides of the branches' convolutions, 1, 5 and 7 as published.
    """

    def __init__(self, width: int, kernels: Sequence[int] = (1, 5, 7)):
        super().__init__()
        self.branches = nn.ModuleList(RowAttention(width, kernel) for kernel in kernels)
        self.compress = nn.Conv2d(len(kernels) * width, width, 1)
        self.smallest = max(kernels)

    def forward(self, attending: Tensor, source: Tensor, code: Tensor) -> Tensor:
        """Maps (B, C, H, W), code (C, H, W) -> (B, C, H, W).

        Raises:
            DatasetError: the map is smaller than a kernel.
        """
        size = attending.shape[-2:]
        if min(size) < self.smallest:
            raise DatasetError(
                f"a picture is too small: one of its levels has {size[0]}x{size[1]} pixels (height x width), and the "
                f"hierarchical fusion needs {self.smallest}x{self.smallest}; with levels up to stride 64 that is a "
                f"picture of {64 * (self.smallest - 1) + 1} pixels on its short side (model.input.short_side, in "
                "training also train.augment.scales)"
            )
        branches = [branch(attending, source, code) for branch in self.branches]
        resized = [each if each.shape[-2:] == size else _resized(each, size) for each in branches]
        merged: Tensor = self.compress(torch.cat(resized, dim=1))
        return merged


def _resized(level: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(level, size=list(size), mode="bilinear", align_corners=False)


def row_column_code(level: Tensor) -> Tensor:
    """Position code (C, H, W) of a map (B, C, H, W): even channels sine of the row, odd ones cosine of the column.

    Kept for released weights: twice the usual code, since the codes of both spectra are added up.
    """
    channels, height, width = level.shape[-3:]
    pairs = torch.arange(channels // 2, dtype=torch.float32, device=level.device)
    rates = torch.exp(pairs * (-2 * math.log(10000.0) / channels))[:, None]
    rows = torch.sin(torch.arange(height, device=level.device) * rates)  # (C / 2, H)
    columns = torch.cos(torch.arange(width, device=level.device) * rates)  # (C / 2, W)
    code = torch.stack([rows[:, :, None].expand(-1, -1, width), columns[:, None, :].expand(-1, height, -1)], dim=1)
    return 2 * code.flatten(0, 1)


def keep_alone(fused: Tensor, first: Tensor, second: Tensor, present: Tensor) -> Tensor:
    """The map of the spectrum that is left where the other is absent, else the fused one."""
    has_first, has_second = (present[:, stream, None, None, None] for stream in (0, 1))
    return torch.where(has_first & has_second, fused, torch.where(has_first, first, second))
