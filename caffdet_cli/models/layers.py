"""Small layers that several parts share."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int):
        super().__init__()
        widths = [inputs, *[hidden] * (layers - 1), outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            inputs = F.relu(layer(inputs))
        outputs: Tensor = self.layers[-1](inputs)
        return outputs


class FeedForward(nn.Module):
    """Expand, ReLU, contract, with residual connection and layer norm behind it."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        change = self.contract(self.dropout(F.relu(self.expand(tokens))))
        result: Tensor = self.norm(tokens + self.dropout(change))
        return result


class SinePositions(nn.Module):
    """Sine and cosine code of a pixel's place within the picture without its padding.

    Args:
        shift: added to the place, which counts from 1. Kept for released weights: DINO's code has none, that of
            Deformable-DETR -0.5.

    Source: models/dino/position_encoding.py (PositionEmbeddingSineHW) of IDEA-Research/DINO.
    """

    def __init__(self, width: int, temperature: float, shift: float = 0.0):
        super().__init__()
        self.per_axis = width // 2
        self.temperature = temperature
        self.shift = shift

    def forward(self, padding: Tensor) -> Tensor:
        """(B, H, W) bool, True outside the picture -> (B, width, H, W): half the channels of y, then half of x."""
        inside = (~padding).float()
        y, x = inside.cumsum(1), inside.cumsum(2)
        y = (y + self.shift) / (y[:, -1:, :] + 1e-6) * (2 * math.pi)
        x = (x + self.shift) / (x[:, :, -1:] + 1e-6) * (2 * math.pi)
        codes = [sine_code(axis, self.per_axis, self.temperature) for axis in (y, x)]
        return torch.cat(codes, dim=-1).permute(0, 3, 1, 2)


def sine_code(values: Tensor, channels: int, temperature: float) -> Tensor:
    """(...) numbers -> (..., channels): sine and cosine in turn, wavelengths rising to `temperature`."""
    index = torch.arange(channels, dtype=torch.float32, device=values.device)
    wavelengths = temperature ** (2 * (index // 2) / channels)
    angles = values[..., None].float() / wavelengths
    return torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=-1).flatten(-2)
