"""Which implementation runs on a device: the native one where there is one, else plain PyTorch, said once.

`CAFFDET_OPS` or `set_implementation`: `auto` takes what works, `native` makes a fallback an error, `reference` takes
plain PyTorch. What was found for a device is kept until the process ends.
"""

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor

from caffdet_cli.errors import ConfigError, RunError
from caffdet_cli.kernels.compiler import NotAvailable

Mode = Literal["auto", "native", "reference"]
Sizes = Sequence[tuple[int, int]]
Points = Sequence[int]


class CaffdetPerformanceWarning(UserWarning):
    """Something runs much slower than it could."""


class Native(Protocol):
    """The operators of one device; arguments as in `reference`, already checked."""

    about: str  # for doctor: what was loaded, and from where

    def msda(self, value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor, points: Points) -> Tensor: ...

    def msda_backward(
        self, grad: Tensor, value: Tensor, sizes: Sizes, locations: Tensor, weights: Tensor, points: Points
    ) -> tuple[Tensor, Tensor, Tensor]: ...

    def msda_fused(
        self, value: Tensor, sizes: Sizes, references: Tensor, offsets: Tensor, logits: Tensor, points: Points
    ) -> Tensor: ...

    def msda_fused_backward(
        self,
        grad: Tensor,
        value: Tensor,
        sizes: Sizes,
        references: Tensor,
        offsets: Tensor,
        logits: Tensor,
        points: Points,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...

    def kda(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor,
        sizes: Sizes,
        locations: Tensor,
        scale: float,
        points: Points,
    ) -> Tensor: ...

    def kda_backward(
        self,
        grad: Tensor,
        query: Tensor,
        key: Tensor | None,
        value: Tensor,
        sizes: Sizes,
        locations: Tensor,
        scale: float,
        points: Points,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]: ...


class Found(NamedTuple):
    """What there is for a device."""

    native: Native | None
    reason: str  # why there is none


_MODES: dict[str, Mode] = {word: word for word in get_args(Mode)}
_lock = threading.RLock()
_found: dict[torch.device, Found] = {}
_warned: set[str] = set()
_chosen: Mode | None = None  # set_implementation's word, stronger than the environment's


def mode() -> Mode:
    """What was asked for.

    Raises:
        ConfigError: `CAFFDET_OPS` is none of the three words.
    """
    if _chosen is not None:
        return _chosen
    word = os.environ.get("CAFFDET_OPS", "auto")
    if (known := _MODES.get(word)) is not None:
        return known
    raise ConfigError(f"CAFFDET_OPS = {word!r}: must be one of {', '.join(get_args(Mode))}")


def set_implementation(word: Mode | None) -> None:
    """Choose for this process; None: what `CAFFDET_OPS` says."""
    global _chosen
    if word is not None and word not in get_args(Mode):
        raise ConfigError(f"implementation {word!r}: must be one of {', '.join(get_args(Mode))}")
    _chosen = word


@contextmanager
def implementation(word: Mode) -> Iterator[None]:
    """`set_implementation` for a block."""
    before = _chosen
    set_implementation(word)
    try:
        yield
    finally:
        set_implementation(before)


def native(device: torch.device) -> Native | None:
    """The native operators for a device; None: plain PyTorch runs, and the user knows.

    Raises:
        RunError: `native` was asked for, and there is none.
    """
    wanted = mode()
    if wanted == "reference":
        return None
    found = look(device)
    if found.native is None:
        if wanted == "native":
            raise RunError(
                f"no native deformable attention on {device} ({found.reason}), and CAFFDET_OPS=native asks for it; "
                "caffdet doctor tells more"
            )
        _warn(device, found.reason)
    return found.native


def look(device: torch.device) -> Found:
    """What there is for a device, built or loaded at the first call; never raises."""
    if (found := _found.get(device)) is not None:
        return found
    with _lock:
        if device not in _found:
            _found[device] = _look(device)
        return _found[device]


def forget() -> None:
    """Look again at the next call; for tests and after a build."""
    with _lock:
        _found.clear()
        _warned.clear()


def _look(device: torch.device) -> Found:
    try:
        match device.type:
            case "cpu":
                from caffdet_cli.kernels.cpu import load_cpu

                return Found(load_cpu(), "")
            case "cuda":
                from caffdet_cli.kernels.cuda import load_cuda

                return Found(load_cuda(device), "")
    except NotAvailable as reason:
        return Found(None, str(reason))
    except OSError as error:  # a package that lost its files, a disk that is full
        return Found(None, (str(error).splitlines() or [type(error).__name__])[0])
    return Found(None, f"device type {device.type} has no native kernel")


def _warn(device: torch.device, reason: str) -> None:
    """Once per process and type of device, by the first process of several."""
    if device.type in _warned:
        return
    _warned.add(device.type)
    if os.environ.get("RANK", "0") != "0":
        return
    warnings.warn(
        f"caffdet: deformable attention runs in slow pure-PyTorch mode on {device} (reason: {reason}). "
        'Expect it to be 3-50x slower. Run "caffdet doctor" for details; CAFFDET_OPS=native makes this an error.',
        CaffdetPerformanceWarning,
        stacklevel=2,
    )
