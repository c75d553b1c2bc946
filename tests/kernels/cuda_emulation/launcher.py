"""A `Launcher` of the product's CUDA operators that runs the kernels in the emulation, on tensors of the CPU.

Every buffer without gaps lies between two guards while a kernel runs: what is written past an end is caught, what is
read there shows in the result. Addresses are looked at as a GPU would, which refuses a vector that is not aligned.
"""

from collections.abc import Sequence

import torch
from cuda_emulation.emulator import Emulator
from torch import Tensor

from caffdet_cli.kernels.cuda import Argument, Kernel, Variant

GUARD = 64
# Signalling NaNs: a sum with one has other bits, also where it is NaN as well.
GUARDS = {
    torch.float16: (torch.int16, 0x7D5A),
    torch.bfloat16: (torch.int16, 0x7FA5),
    torch.float32: (torch.int32, 0x7FA5A5A5),
    torch.float64: (torch.int64, 0x7FF5A5A5A5A5A5A5),
    torch.int64: (torch.int64, 0x7FF5A5A5A5A5A5A5),
}


class EmulatedLauncher:
    """`seed` shuffles the order of the blocks; `launched` is what was run so far."""

    about = "emulation"

    def __init__(self, emulator: Emulator, seed: int = 0):
        self.emulator, self.seed = emulator, seed
        self.launched: list[Kernel] = []

    def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument], device: torch.device) -> None:
        assert blocks > 0, "a grid of no blocks is an error of CUDA"
        assert all(argument.device == device for argument in arguments if isinstance(argument, Tensor))
        assert all(aligned(argument, kernel.variant) for argument in arguments if isinstance(argument, Tensor))
        self.launched.append(kernel)
        library = self.emulator.library(kernel.source, kernel.backward, kernel.variant)
        guarded = {
            index: Guarded(argument)
            for index, argument in enumerate(arguments)
            if isinstance(argument, Tensor) and argument.is_contiguous()
        }
        inner = [guarded[index].inner if index in guarded else argument for index, argument in enumerate(arguments)]
        self.emulator.launch(library, kernel.name, blocks, inner, self.seed)
        for each in guarded.values():
            each.take_back()


class Guarded:
    """A copy of a tensor between known bits."""

    def __init__(self, tensor: Tensor):
        self.tensor, count = tensor, tensor.numel()
        self.bits, self.pattern = GUARDS[tensor.dtype]
        self.whole = torch.full((count + 2 * GUARD,), self.pattern, dtype=self.bits)
        self.inner = self.whole[GUARD : GUARD + count].view(tensor.dtype).view(tensor.shape)
        self.inner.copy_(tensor)

    def take_back(self) -> None:
        guards = torch.cat([self.whole[:GUARD], self.whole[len(self.whole) - GUARD :]])
        assert (guards == self.pattern).all(), "written outside the buffer"
        self.tensor.copy_(self.inner)


def aligned(tensor: Tensor, variant: Variant) -> bool:
    """Tensors of channels are read in vectors, from any place where a vector fits; all others begin like fresh ones."""
    if tensor.dim() == 4 and tensor.shape[3] == variant.channels and tensor.dtype == variant.value:
        strides = [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]
        vector = variant.vector
        return tensor.data_ptr() % (vector * tensor.itemsize) == 0 and all(
            stride % vector == 0 for stride in strides[:-1]
        )
    return tensor.data_ptr() % 16 == 0
