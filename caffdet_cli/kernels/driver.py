"""Launching compiled kernels through the CUDA driver, on the stream that torch uses."""

import ctypes
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from caffdet_cli.kernels import nvrtc
from caffdet_cli.kernels.compiler import NotAvailable
from caffdet_cli.kernels.cuda import THREADS, Argument, Kernel, Number


class Driver:
    """Compiles a kernel's source for the device when it is launched first, and keeps it loaded.

    Raises:
        NotAvailable: no driver library, or NVRTC does not know the device.
    """

    def __init__(self, device: torch.device):
        major, minor = torch.cuda.get_device_capability(device)
        self.arch = major * 10 + minor
        known = nvrtc.architectures()
        if self.arch not in known:
            raise NotAvailable(
                f"NVRTC {nvrtc.version()} knows no sm_{self.arch} (only {', '.join(map(str, known))}); "
                "install a newer torch"
            )
        try:
            self._cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        except OSError as error:
            raise NotAvailable("the CUDA driver library (libcuda.so.1) cannot be loaded") from error
        self.about = f"CUDA sm_{self.arch} (NVRTC {nvrtc.version()})"
        self._functions: dict[tuple[int, Kernel], ctypes.c_void_p] = {}
        self._modules: list[ctypes.c_void_p] = []
        self._lock = threading.Lock()

    def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument], device: torch.device) -> None:
        """Raises RuntimeError where the driver refuses."""
        index = torch.cuda.current_device() if device.index is None else device.index
        with nullcontext() if index == torch.cuda.current_device() else torch.cuda.device(index):
            function = self._functions.get((index, kernel)) or self._load(kernel, index)
            held = [_as_c(argument) for argument in arguments]
            addresses = (ctypes.c_void_p * len(held))(*(ctypes.addressof(each) for each in held))
            stream = ctypes.c_void_p(torch.cuda.current_stream(device).cuda_stream)
            grid, block = (ctypes.c_uint(blocks), *_ONE), (ctypes.c_uint(THREADS), *_ONE)
            self._check(
                self._cuda.cuLaunchKernel(function, *grid, *block, ctypes.c_uint(0), stream, addresses, None),
                kernel.name,
            )

    def _load(self, kernel: Kernel, index: int) -> ctypes.c_void_p:
        with self._lock:
            if (index, kernel) not in self._functions:
                code = nvrtc.compiled(kernel.source, kernel.variant.macros(kernel.backward), self.arch).code
                module, function = ctypes.c_void_p(), ctypes.c_void_p()
                self._check(self._cuda.cuModuleLoadData(ctypes.byref(module), code), kernel.source)
                self._modules.append(module)
                found = self._cuda.cuModuleGetFunction(ctypes.byref(function), module, kernel.name.encode())
                self._check(found, kernel.name)
                self._functions[index, kernel] = function
            return self._functions[index, kernel]

    def _check(self, result: int, what: str) -> None:
        if result:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorString(result, ctypes.byref(text))
            raise RuntimeError(f"CUDA: {what}: {(text.value or b'unknown error').decode()} ({result})")


_ONE = (ctypes.c_uint(1), ctypes.c_uint(1))


def _as_c(argument: Argument) -> "ctypes.c_uint64 | Number | ctypes.Array[ctypes.c_int]":
    if argument is None:
        return ctypes.c_uint64(0)
    return ctypes.c_uint64(argument.data_ptr()) if isinstance(argument, Tensor) else argument
