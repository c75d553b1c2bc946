"""The order of an epoch, and loading its batches in worker processes."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from caffdet_cli.data.batches import Loaded, packed, unpacked
from caffdet_cli.data.dataset import PairDataset, generator

_GRACE = 60  # seconds that a worker outlives a SIGTERM
_ORDERS = 2  # first word of a seed, so that examples and orders never share random numbers


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index). The order of an epoch is a function of (seed, epoch), so that a run can be resumed.

    Args:
        drop_last: leave out the last batch where it is not full; never the only one.
    """

    def __init__(self, length: int, batch: int, seed: int, shuffle: bool, drop_last: bool = False):
        self.length = length
        self.batch = batch
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last and length > batch
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iteration gives, from its batch number `start` on."""
        self.epoch = epoch
        self.start = start

    @property
    def batches(self) -> int:
        """Batches of a whole epoch."""
        return self.length // self.batch if self.drop_last else -(-self.length // self.batch)

    def __len__(self) -> int:
        return max(0, self.batches - self.start)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.arange(self.length)
        if self.shuffle:
            order = generator(_ORDERS, self.seed, self.epoch).permutation(self.length)
        for number in range(self.start, self.batches):
            yield [(self.epoch, int(index)) for index in order[number * self.batch : (number + 1) * self.batch]]


class Loader(DataLoader[Loaded]):
    """Loads the batches of `sampler`, in processes that live on between epochs.

    Args:
        workers: processes, but not more than there are processors: more are slower. 0: in this process.
        pin_memory: of the pixels; only of use before a copy to a CUDA device.
    """

    def __init__(self, dataset: PairDataset, sampler: EpochSampler, workers: int, pin_memory: bool = False):
        workers = min(workers, processors())
        super().__init__(
            dataset,  # type: ignore[arg-type]  # torch's type does not tell samples from batches
            batch_sampler=sampler,
            collate_fn=packed,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # torch draws a seed for its workers: not from the global generator
        )
        self.reference = dataset.conventions.reference

    def __iter__(self) -> Iterator[Loaded]:  # type: ignore[override]  # torch names the class of its own iterator
        return map(partial(unpacked, reference=self.reference), super().__iter__())


def processors() -> int:
    """Those that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def closing_workers(batches: DataLoader[Loaded]) -> Iterator[DataLoader[Loaded]]:
    """End the worker processes with the block.

    torch ends them when the iterator is collected. The traceback of an error keeps it alive, and the interpreter then
    waits for them when it exits.
    """
    try:
        yield batches
    finally:
        iterator, batches._iterator = batches._iterator, None
        if iterator is not None and batches.num_workers > 0:
            iterator._shutdown_workers()  # type: ignore[attr-defined]  # torch has no public name for it


def _start_worker(worker: int) -> None:
    """Workers are parallel already. Signals are for the main process: it still needs them for the step it finishes."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: FrameType | None) -> None:
    """The signal may be for the whole run, or for a worker that was forgotten: the interpreter waits for its end."""
    signal.signal(signal.SIGALRM, lambda number, frame: os._exit(0))
    signal.alarm(_GRACE)
