"""A pyramid turns the pictures of one spectrum into feature levels of one width."""

import torch.nn.functional as F
from torch import Tensor, nn

from caffdet_cli.values import Levels, Pictures


class Pyramid(nn.Module):
    """Backbone and neck on one spectrum."""

    def __init__(self, backbone: nn.Module, neck: nn.Module, positions: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.positions = positions

    def forward(self, spectra: tuple[Pictures, ...]) -> Levels:
        (pictures,) = spectra
        features = self.neck(self.backbone(pictures.pixels))  # L x (B, C, H_l, W_l)
        padding = level_padding(pictures.padding, features)
        return Levels(features, padding, [self.positions(mask) for mask in padding])


def level_padding(padding: Tensor, features: list[Tensor]) -> list[Tensor]:
    """(B, H, W) padding of the pictures -> (B, H_l, W_l) of each level, by nearest interpolation."""
    return [F.interpolate(padding[None].float(), size=level.shape[-2:])[0].bool() for level in features]
