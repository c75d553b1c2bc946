"""ResNet for inference: normalisation folded into the convolutions, sums and ReLU fused with them, channels last.

The same numbers as `models.backbones.resnet.ResNet` in evaluation mode, up to rounding, in less than half the time.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops.misc import FrozenBatchNorm2d

from caffdet_cli.models.backbones.resnet import ResNet


class FoldedConvolution(nn.Module):
    """A convolution and the normalisation with stored statistics behind it, as one convolution.

    Where oneDNN is at hand (CPU builds of torch have it), ReLU and a residual sum are done while the result is still
    in registers; elsewhere they are separate steps.
    """

    def __init__(self, convolution: nn.Conv2d, normalisation: nn.BatchNorm2d | FrozenBatchNorm2d, relu: bool):
        super().__init__()
        mean, variance = normalisation.running_mean, normalisation.running_var
        assert isinstance(mean, Tensor)
        assert isinstance(variance, Tensor)  # a BatchNorm2d may have none; can_fold has looked
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            mean,
            variance,
            normalisation.eps,
            normalisation.weight,
            normalisation.bias,
        )
        channels_last = weight.detach().contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(channels_last, requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.stride, self.padding, self.dilation = convolution.stride, convolution.padding, convolution.dilation
        self.groups = convolution.groups
        self.relu = relu

    def forward(self, features: Tensor, added: Tensor | None = None) -> Tensor:
        """(B, C, H, W), and a map to add before the ReLU."""
        differentiated = torch.is_grad_enabled() and features.requires_grad
        if not differentiated and _has_fused_form(features):
            return self._fused(features, added)
        result = nn.functional.conv2d(
            features, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        if added is not None:
            result = result + added
        return nn.functional.relu(result) if self.relu else result

    def _fused(self, features: Tensor, added: Tensor | None) -> Tensor:
        geometry = (list(self.padding), list(self.stride), list(self.dilation), self.groups)
        call = torch.ops.mkldnn._convolution_pointwise
        relu = "relu" if self.relu else None
        if added is None:
            found: Tensor = call(features, self.weight, self.bias, *geometry, relu or "none", [], "")
        else:
            found = call.binary(features, added, self.weight, self.bias, *geometry, "add", 1.0, relu, [], None)
        return found


class FoldedBlock(nn.Module):
    """A residual block."""

    def __init__(self, block: BasicBlock | Bottleneck):
        super().__init__()
        count = 3 if isinstance(block, Bottleneck) else 2
        self.convolutions = nn.ModuleList(
            FoldedConvolution(getattr(block, f"conv{number}"), getattr(block, f"bn{number}"), relu=True)
            for number in range(1, count + 1)
        )
        shortcut: Any = block.downsample
        self.shortcut = None if shortcut is None else FoldedConvolution(shortcut[0], shortcut[1], relu=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        added = features if self.shortcut is None else self.shortcut(features)
        for convolution in self.convolutions[:-1]:
            features = convolution(features)
        result: Tensor = self.convolutions[-1](features, added)
        return result


class FoldedResNet(nn.Module):
    """Takes the place of a `ResNet`; computes in the type of its weights, which are copies and are not trained."""

    def __init__(self, backbone: ResNet):
        super().__init__()
        body: Any = backbone.body
        self.stem = FoldedConvolution(body["conv1"], body["bn1"], relu=True)
        stages = [stage for name, stage in body.items() if name.startswith("layer")]
        self.stages = nn.ModuleList(nn.Sequential(*map(FoldedBlock, stage)) for stage in stages)
        self.levels = backbone.levels
        self.channels = backbone.channels

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> one (B, channels, H / stride, W / stride) per level, in the type of `pixels`."""
        features = pixels.to(self.stem.weight.dtype).contiguous(memory_format=torch.channels_last)
        features = nn.functional.max_pool2d(self.stem(features), kernel_size=3, stride=2, padding=1)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return [maps[level] for level in self.levels]


def _has_fused_form(features: Tensor) -> bool:
    """Whether oneDNN's convolution with following steps works on these numbers."""
    if features.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if features.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return features.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def can_fold(backbone: nn.Module) -> bool:
    """Whether all normalisation of a backbone has stored statistics."""
    if not isinstance(backbone, ResNet):
        return False
    kinds = (nn.BatchNorm2d, FrozenBatchNorm2d)
    norms = [module for name, module in backbone.named_modules() if name.split(".")[-1].startswith("bn")]
    return all(isinstance(each, kinds) and each.running_var is not None for each in norms)
