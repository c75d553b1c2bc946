"""Projections of backbone maps to one width, and the extra levels below them."""

from torch import Tensor, nn


class Neck(nn.Module):
    """One 1x1 convolution per backbone map, then 3x3 convolutions with stride 2 for extra levels; group norm each.

    The first extra level is made from the last backbone map, further ones from the level before.

    Args:
        channels: of the backbone maps.
        width: of the levels, a multiple of 32.
        levels: how many to make, at least as many as there are maps.

    Source: input_proj in models/dino/dino.py of IDEA-Research/DINO.
    """

    def __init__(self, channels: list[int], width: int, levels: int):
        super().__init__()
        self.maps = len(channels)
        extra = [channels[-1], *[width] * (levels - self.maps)][: levels - self.maps]
        self.projections = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(c, width, 1), nn.GroupNorm(32, width)) for c in channels]
            + [nn.Sequential(nn.Conv2d(c, width, 3, stride=2, padding=1), nn.GroupNorm(32, width)) for c in extra]
        )

    def reset_parameters(self) -> None:
        """The published initial values: Xavier for the convolutions, no bias."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Backbone maps (B, channels, H_l, W_l) -> L levels (B, width, H_l, W_l)."""
        levels = [project(each) for project, each in zip(self.projections, maps, strict=False)]
        source = maps[-1]
        for project in self.projections[self.maps :]:
            source = project(source)
            levels.append(source)
        return levels
