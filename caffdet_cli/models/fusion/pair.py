"""Two spectra joined level by level. To a detector this is one pyramid, so every detector takes pairs."""

import torch
from torch import Tensor, nn

from caffdet_cli.models.pyramid import level_padding
from caffdet_cli.values import Levels, Pictures


class PairPyramid(nn.Module):
    """One or two backbones, two necks, one fusion per level.

    Args:
        backbones: one for both streams, or one each.
        necks: one for each stream.
        fusions: one per level, `(first, second, present) -> fused`.
        positions: `padding -> code`.
    """

    def __init__(self, backbones: nn.ModuleList, necks: nn.ModuleList, fusions: nn.ModuleList, positions: nn.Module):
        super().__init__()
        self.backbones = backbones
        self.necks = necks
        self.fusions = fusions
        self.positions = positions

    def forward(self, spectra: tuple[Pictures, ...]) -> Levels:
        maps = self._maps([pictures.pixels for pictures in spectra])
        first, second = (neck(each) for neck, each in zip(self.necks, maps, strict=True))  # L x (B, C, H_l, W_l)
        present = torch.stack([pictures.present for pictures in spectra], dim=1)  # (B, 2)
        fused = [fuse(a, b, present) for fuse, a, b in zip(self.fusions, first, second, strict=True)]
        padding, other = (level_padding(pictures.padding, fused) for pictures in spectra)
        # Kept for released weights: positions are those of the first stream alone, before the paddings are joined.
        positions = [self.positions(mask) for mask in padding]
        return Levels(fused, [a | b for a, b in zip(padding, other, strict=True)], positions)

    def _maps(self, pixels: list[Tensor]) -> list[list[Tensor]]:
        """Backbone maps of each stream; a shared backbone takes both at once."""
        if len(self.backbones) > 1:
            return [backbone(each) for backbone, each in zip(self.backbones, pixels, strict=True)]
        together = self.backbones[0](torch.cat(pixels))
        first, second = zip(*(each.chunk(2) for each in together), strict=True)
        return [list(first), list(second)]
