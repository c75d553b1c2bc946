"""ResNet on torchvision's module: chosen stages, frozen or trainable normalisation."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet
from torchvision.ops.misc import FrozenBatchNorm2d

Normalisation = Literal["frozen", "batch", "group"]

_SHAPES: dict[int, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    10: (BasicBlock, [1, 1, 1, 1]),
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}
_NORMALISATIONS: dict[str, Callable[..., nn.Module]] = {
    "frozen": FrozenBatchNorm2d,
    "batch": nn.BatchNorm2d,
    "group": partial(nn.GroupNorm, 32),
}


class ResNet(nn.Module):
    """Maps of the chosen stages, finest first.

    Args:
        depth: 10 (one block per stage), 18, 34, 50, 101 or 152.
        levels: stages to return, 0 (stride 4) to 3 (stride 32), ascending.
        normalisation: "frozen" keeps stored statistics and scales; "batch" and "group" are trained.
        frozen_stages: how many of stem, stage 0, ..., stage 3 are never trained.

    Source: He et al., CVPR 2016; the stride of a bottleneck is in its 3x3 convolution, as in torchvision.
    """

    def __init__(
        self, depth: int, levels: tuple[int, ...], normalisation: Normalisation = "frozen", frozen_stages: int = 2
    ):
        super().__init__()
        block, blocks = _SHAPES[depth]
        whole = TorchvisionResNet(block, blocks, norm_layer=_NORMALISATIONS[normalisation])
        stages = [whole.layer1, whole.layer2, whole.layer3, whole.layer4][: max(levels) + 1]
        self.body = nn.ModuleDict({"conv1": whole.conv1, "bn1": whole.bn1})
        self.body.update({f"layer{number}": stage for number, stage in enumerate(stages, start=1)})
        self.levels = levels
        self.channels = [64 * block.expansion * 2**level for level in levels]
        self.strides = [4 * 2**level for level in levels]
        for part in [[whole.conv1, whole.bn1], *[[stage] for stage in stages]][:frozen_stages]:
            for module in part:
                module.requires_grad_(False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one (B, channels, H / stride, W / stride) per level, sizes rounded up."""
        features = nn.functional.relu(self.body["bn1"](self.body["conv1"](pixels)))
        features = nn.functional.max_pool2d(features, kernel_size=3, stride=2, padding=1)
        maps = []
        for index in range(max(self.levels) + 1):
            features = self.body[f"layer{index + 1}"](features)
            maps.append(features)
        return [maps[level] for level in self.levels]
