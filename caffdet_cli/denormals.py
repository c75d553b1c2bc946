"""Numbers below 1.2e-38, which processors compute with ten to a hundred times as slowly."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Let the CPU take them as 0 while the block runs.

    Attention without a scale, as CAFF's, saturates: a sixth of the fusion's time is theirs, and a fifth of a training
    step. Threads of a pool take the rule from the thread that starts them and keep it: enter the block before the first
    large computation, in a process that does nothing else afterwards. That is what the commands do; the functions that
    train and detect leave the rule to their caller.
    """
    before = _are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _are_zero() -> bool:
    return float(torch.tensor(1e-39) * 1.0) == 0.0
