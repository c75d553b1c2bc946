"""Swin transformer as a backbone: attention in windows that are shifted in every other block.

Shapes: B pictures, H x W one map (channels last within this file), C channels, T tokens of a window.

Not torchvision's: released detectors shift by half a window on maps smaller than one, and let the zeros around a map
take part in the attention. Both are kept here.

Source: Liu et al., Swin Transformer, ICCV 2021, arXiv:2103.14030; models/dino/swin_transformer.py of
IDEA-Research/DINO.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

_SHAPES = {  # channels of the first stage, blocks of the stages, heads of the first stage
    "tiny": (96, (2, 2, 6, 2), 3),
    "base": (128, (2, 2, 18, 2), 4),
    "large": (192, (2, 2, 18, 2), 6),
}
_PATCH = 4
_EXPANSION = 4
_BLOCKED = -100.0  # added to the logits of tokens that a shift has brought together


class Swin(nn.Module):
    """Maps of the chosen stages, finest first, each normalised.

    Args:
        size: tiny, base or large.
        window: side of the attention windows, 7 or 12 as published.
        levels: stages to return, 0 (stride 4) to 3 (stride 32), ascending.
        drop_path: probability of skipping the last block in training; rises from 0 over the blocks.
        checkpointing: compute blocks again in the backward pass, in place of keeping what they need.
    """

    def __init__(
        self,
        size: str,
        window: int,
        levels: tuple[int, ...],
        drop_path: float = 0.2,
        checkpointing: bool = False,
    ):
        super().__init__()
        width, blocks, heads = _SHAPES[size]
        count = max(levels) + 1
        self.levels = levels
        self.channels = [width * 2**level for level in levels]
        self.strides = [_PATCH * 2**level for level in levels]
        self.patches = nn.Conv2d(3, width, _PATCH, stride=_PATCH)
        self.patch_norm = nn.LayerNorm(width)
        rates = torch.linspace(0, drop_path, sum(blocks), device="cpu").tolist()
        ends = [0, *torch.tensor(blocks, device="cpu").cumsum(0).tolist()]
        self.stages = nn.ModuleList(
            Stage(width * 2**number, heads * 2**number, window, rates[first:last], checkpointing, number > 0)
            for number, (first, last) in enumerate(pairwise(ends[: count + 1]))
        )
        self.norms = nn.ModuleDict({str(level): nn.LayerNorm(width * 2**level) for level in levels})
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The published initial values."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, WindowAttention):
                nn.init.trunc_normal_(module.position_bias, std=0.02)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one (B, channels, H / stride, W / stride) per level, sizes rounded up."""
        patches = self.patches(_padded(pixels, _PATCH, dims=(2, 3)))
        features = self.patch_norm(patches.permute(0, 2, 3, 1))  # (B, H, W, C)
        maps = []
        for number, stage in enumerate(self.stages):
            features = stage(features)
            if number in self.levels:
                maps.append(self.norms[str(number)](features).permute(0, 3, 1, 2))
        return maps


class Stage(nn.Module):
    """Blocks on maps of one size; all stages but the first halve the map before."""

    def __init__(self, width: int, heads: int, window: int, rates: list[float], checkpointing: bool, merges: bool):
        super().__init__()
        self.merge = PatchMerging(width // 2) if merges else None
        self.blocks = nn.ModuleList(
            Block(width, heads, window, shift=window // 2 if number % 2 else 0, drop_path=rate)
            for number, rate in enumerate(rates)
        )
        self.window = window
        self.checkpointing = checkpointing

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C), or twice as large a map of half the channels -> (B, H, W, C)."""
        if self.merge is not None:
            features = self.merge(features)
        blocked = shift_mask(features, self.window)
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled() and features.requires_grad:
                features = checkpoint(block, features, blocked, use_reentrant=False)
            else:
                features = block(features, blocked)
        return features


class Block(nn.Module):
    """Window attention and a feed-forward network, each on normalised tokens and added to them."""

    def __init__(self, width: int, heads: int, window: int, shift: int, drop_path: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window)
        self.feedforward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, _EXPANSION * width)
        self.contract = nn.Linear(_EXPANSION * width, width)
        self.drop_path = StochasticDepth(drop_path, "row")
        self.window, self.shift = window, shift

    def forward(self, features: Tensor, blocked: Tensor) -> Tensor:
        """(B, H, W, C) and the mask of shifted windows -> (B, H, W, C)."""
        features = features + self.drop_path(self._attended(self.attention_norm(features), blocked))
        change = self.contract(F.gelu(self.expand(self.feedforward_norm(features))))
        result: Tensor = features + self.drop_path(change)
        return result

    def _attended(self, features: Tensor, blocked: Tensor) -> Tensor:
        height, width = features.shape[1:3]
        padded = _padded(features, self.window, dims=(1, 2))
        if self.shift:
            padded = padded.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = to_windows(padded, self.window)  # (B * windows, T, C)
        attended = self.attention(windows, blocked if self.shift else None)
        padded = from_windows(attended, self.window, padded.shape)
        if self.shift:
            padded = padded.roll((self.shift, self.shift), dims=(1, 2))
        return padded[:, :height, :width]


class WindowAttention(nn.Module):
    """Attention among the tokens of a window, with a learned bias for each offset between two of them."""

    position_index: Tensor

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.position_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        # It follows from the window: no file needs to carry it.
        self.register_buffer("position_index", offset_index(window), persistent=False)

    def forward(self, windows: Tensor, blocked: Tensor | None) -> Tensor:
        """(B * windows, T, C) and (windows, T, T), added to the logits -> (B * windows, T, C)."""
        count, tokens, width = windows.shape
        query, key, value = self.qkv(windows).view(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.position_bias[self.position_index].permute(2, 0, 1)[None]  # (1, heads, T, T)
        if blocked is not None:
            bias = (bias + blocked[:, None].to(bias.dtype)).repeat(count // len(blocked), 1, 1, 1)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        output: Tensor = self.output(attended.transpose(1, 2).reshape(count, tokens, width))
        return output


class PatchMerging(nn.Module):
    """Four neighbouring tokens to one of twice the channels."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H / 2, W / 2, 2 C), sizes rounded up."""
        even = _padded(features, 2, dims=(1, 2))
        corners = [even[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        merged: Tensor = self.reduction(self.norm(torch.cat(corners, dim=-1)))
        return merged


def offset_index(window: int) -> Tensor:
    """(T, T): which row of the table of biases belongs to a pair of tokens; (2 * window - 1)^2 offsets."""
    # On the CPU even where a model is built on the meta device: these are numbers, not weights.
    axis = torch.arange(window, device="cpu")
    rows, columns = (each.flatten() for each in torch.meshgrid(axis, axis, indexing="ij"))
    down, right = (each[:, None] - each[None] + window - 1 for each in (rows, columns))
    return down * (2 * window - 1) + right


def shift_mask(features: Tensor, window: int) -> Tensor:
    """(windows, T, T): what is added to the logits after a map (B, H, W, C) was padded and rolled by half a window."""
    height, width = (-(-side // window) * window for side in features.shape[1:3])
    regions = [_regions(side, window, features.device) for side in (height, width)]
    places = to_windows((3 * regions[0][:, None] + regions[1])[None, ..., None], window)[..., 0]  # (windows, T)
    return (places[:, None] != places[:, :, None]).float() * _BLOCKED


def _regions(side: int, window: int, device: torch.device) -> Tensor:
    """Along one axis: 0 before the last window, then 1, and 2 what came over the edge."""
    place = torch.arange(side, device=device)
    return (place >= side - window).long() + (place >= side - window // 2).long()


def to_windows(features: Tensor, window: int) -> Tensor:
    """(B, H, W, C), multiples of the window -> (B * windows, T, C)."""
    batch, height, width, channels = features.shape
    split = features.view(batch, height // window, window, width // window, window, channels)
    return split.transpose(2, 3).reshape(-1, window * window, channels)


def from_windows(windows: Tensor, window: int, shape: torch.Size) -> Tensor:
    """The way back to a map of this shape."""
    batch, height, width, channels = shape
    split = windows.view(batch, height // window, width // window, window, window, channels)
    return split.transpose(2, 3).reshape(batch, height, width, channels)


def _padded(features: Tensor, multiple: int, dims: tuple[int, int]) -> Tensor:
    """With zeros at the end of both axes, up to the next multiple."""
    missing = [-features.shape[dim] % multiple for dim in dims]
    if not any(missing):
        return features
    behind = (0, 0) if dims[1] < features.dim() - 1 else ()
    return F.pad(features, (*behind, 0, missing[1], 0, missing[0]))
