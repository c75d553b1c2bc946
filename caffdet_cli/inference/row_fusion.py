"""CAFF in its lite form for inference: convolutions of single pixels as products of matrices.

The same numbers as `models.fusion.caff.Caff`, up to rounding. A product takes its maps pixel by pixel, as folded
backbones lay them, or channel by channel, and gives them channel by channel, as the attention among rows needs them:
nothing is copied or joined in between, and bias and position code are where the product starts from.
"""

import torch
from torch import Tensor, nn

from caffdet_cli.models.fusion.caff import Caff, RowAttention, keep_alone, row_column_code


class RowFusion(nn.Module):
    """A fusion of one level, whose weights it takes over; see `can_multiply`.

    It multiplies on the CPU in float32, where it is neither differentiated nor compiled; else it is the fusion itself.
    """

    def __init__(self, fusion: Caff):
        super().__init__()
        self.fusion = fusion

    def forward(self, first: Tensor, second: Tensor, present: Tensor) -> Tensor:
        """Two maps (B, C, H, W) and (B, 2) bool, which of the spectra are there -> (B, C, H, W)."""
        if not self._multiplies(first, second):
            fused: Tensor = self.fusion(first, second, present)
            return fused
        code = row_column_code(first)
        fused = first.new_empty(first.shape)
        for place, one, two in zip(fused, first, second, strict=True):
            self._join(one.flatten(1), two.flatten(1), self._attended(one, two, code), place.flatten(1))
        fused = self.fusion.join[1](fused)
        return keep_alone(fused, first, second, present) if self.fusion.bypass_absent else fused

    def _multiplies(self, first: Tensor, second: Tensor) -> bool:
        kinds = {(each.device.type, each.dtype) for each in (first, second, self.fusion.reduce.weight)}
        differentiated = torch.is_grad_enabled() and (first.requires_grad or second.requires_grad)
        plain = not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
        return kinds == {("cpu", torch.float32)} and plain and not differentiated

    def _attended(self, first: Tensor, second: Tensor, code: Tensor) -> Tensor:
        """Two maps (C, H, W) of one picture and their code -> (C, H * W)."""
        source, attended = second.flatten(1), first.flatten(1)
        for stage in self.fusion.stages:
            assert isinstance(stage, RowAttention)
            query = _convolved(stage.query, attended, code.flatten(1)).view_as(code)
            key = _convolved(stage.key, source, code.flatten(1)).view_as(code)
            value = _convolved(stage.value, source).view_as(code)
            shares = stage.softmax(query @ key.transpose(-1, -2))  # (C, H, H)
            source = attended = (shares @ value).flatten(1)
        return attended

    def _join(self, first: Tensor, second: Tensor, attended: Tensor, place: Tensor) -> None:
        """The convolution of three maps (C, H * W) that would lie behind each other, a part of its weights for each."""
        join, reduced = self.fusion.join[0], _convolved(self.fusion.reduce, attended)
        assert isinstance(join, nn.Conv2d)
        parts = (first, second, reduced)
        weights = torch.split(_matrix(join), [len(part) for part in parts], dim=1)
        start = _bias(join)
        for weight, part in zip(weights, parts, strict=True):
            start = torch.addmm(start, weight, part, out=place)


def can_multiply(fusion: nn.Module) -> bool:
    """Whether it is CAFF whose attention looks at single pixels."""
    return isinstance(fusion, Caff) and all(
        isinstance(stage, RowAttention) and stage.kernel == 1 for stage in fusion.stages
    )


def _convolved(convolution: nn.Conv2d, maps: Tensor, added: Tensor | None = None) -> Tensor:
    """A convolution of single pixels, (C, N) -> (C_out, N), and what is `added` to its result."""
    start = _bias(convolution) if added is None else _bias(convolution) + added
    return torch.addmm(start, _matrix(convolution), maps)


def _matrix(convolution: nn.Conv2d) -> Tensor:
    return convolution.weight[:, :, 0, 0]  # (C_out, C)


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias[:, None]
