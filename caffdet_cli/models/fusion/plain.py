"""The plainest ways to join two spectra, which others are compared with.

Shapes: B pictures, C channels, H x W one level.
"""

import torch
from torch import Tensor, nn

from caffdet_cli.models.fusion.caff import keep_alone


class Add(nn.Module):
    """The sum of both maps.

    Args:
        bypass_absent: pass the other stream on untouched where a spectrum is absent.
    """

    def __init__(self, bypass_absent: bool = True):
        super().__init__()
        self.bypass_absent = bypass_absent

    def forward(self, first: Tensor, second: Tensor, present: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and (B, 2) bool, which of the spectra are there -> (B, C, H, W)."""
        fused = first + second
        return keep_alone(fused, first, second, present) if self.bypass_absent else fused


class Concat(nn.Module):
    """Both maps side by side, projected to the width of one, and normalised.

    Args:
        width: channels of both streams and of the result, a multiple of 32.
        bypass_absent: pass the other stream on untouched where a spectrum is absent.
    """

    def __init__(self, width: int, bypass_absent: bool = True):
        super().__init__()
        self.join = nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.GroupNorm(32, width))
        self.bypass_absent = bypass_absent

    def forward(self, first: Tensor, second: Tensor, present: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and (B, 2) bool, which of the spectra are there -> (B, C, H, W)."""
        fused: Tensor = self.join(torch.cat([first, second], dim=1))
        return keep_alone(fused, first, second, present) if self.bypass_absent else fused
