"""Samples to batches: padding, the order of an epoch, loading in worker processes; the fingerprint of a data set."""

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.dataset import PairDataset, Sample, generator
from caffdet_cli.data.transforms import normalised
from caffdet_cli.settings.model import Input
from caffdet_cli.values import Batch, Pictures, Targets

_GRACE = 60  # seconds that a worker outlives a SIGTERM
_ORDERS = 2  # first word of a seed, so that examples and orders never share random numbers

Loaded = tuple[Batch, list[Targets]]


def collate(samples: list[Sample], reference: int) -> Loaded:
    """Samples of any sizes to one batch, padded with zeros at the bottom and right to the largest height and width.

    Pixels are not normalised yet: a quarter of the bytes goes from the workers to the device. `to_device` does it.

    Args:
        reference: the stream whose pixels boxes and detections refer to (`Conventions.reference`).
    """
    height, width = (max(sizes) for sizes in zip(*(sample.size for sample in samples), strict=True))
    sizes = torch.tensor([sample.size for sample in samples])
    original_sizes = torch.tensor([sample.original_size for sample in samples])
    padding = torch.ones(len(samples), height, width, dtype=torch.bool)
    for row, sample in zip(padding, samples, strict=True):
        row[: sample.size[0], : sample.size[1]] = False
    spectra = tuple(
        Pictures(
            pixels=_padded([sample.pictures[stream] for sample in samples], height, width),
            padding=padding,
            present=torch.tensor([sample.present[stream] for sample in samples]),
            sizes=sizes,
            original_sizes=original_sizes,
        )
        for stream in range(len(samples[0].pictures))
    )
    batch = Batch(spectra, reference, [sample.id for sample in samples], [sample.name for sample in samples])
    return batch, [sample.targets for sample in samples]


def _padded(pictures: list[Tensor], height: int, width: int) -> Tensor:
    """(B, 3, height, width) uint8; float32 in 0..1 where one of them has more than 8 bits."""
    shallow = all(picture.dtype == torch.uint8 for picture in pictures)
    pixels = torch.zeros(len(pictures), 3, height, width, dtype=torch.uint8 if shallow else torch.float32)
    for row, picture in zip(pixels, pictures, strict=True):
        scaled = picture if shallow or picture.dtype != torch.uint8 else picture / 255
        row[:, : picture.shape[1], : picture.shape[2]] = scaled
    return pixels


def to_device(batch: Batch, device: torch.device | str, input: Input) -> Batch:
    """The batch with its tensors on `device`, and its pixels normalised as `input` says."""
    moved = (Pictures(*(tensor.to(device, non_blocking=True) for tensor in pictures)) for pictures in batch.spectra)
    return batch._replace(spectra=tuple(_normalised(pictures, input) for pictures in moved))


def _normalised(pictures: Pictures, input: Input) -> Pictures:
    """Pixels outside of a picture, and all of an absent one, are 0 after it."""
    nothing = pictures.padding | ~pictures.present[:, None, None]  # (B, H, W)
    pixels = normalised(pictures.pixels, input.mean, input.std)
    if nothing.device.type != "cpu" or nothing.any():  # to ask another device takes longer than to do it
        pixels.masked_fill_(nothing[:, None], 0)
    return pictures._replace(pixels=pixels)


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


def loader(dataset: PairDataset, sampler: EpochSampler, workers: int, pin_memory: bool = False) -> DataLoader[Loaded]:
    """Loads the batches of `sampler`, in `workers` processes that live on between epochs (0: in this process).

    Args:
        pin_memory: only of use before a copy to a CUDA device.
    """
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # torch's type does not tell samples from batches
        batch_sampler=sampler,
        collate_fn=partial(collate, reference=dataset.conventions.reference),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # torch draws a seed for its workers: not from the global generator
    )


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


def fingerprint(annotations: AnnotationSet) -> str:
    """sha256 over ids, file names, sizes, boxes, labels and the rig: the same data in another folder has the same."""
    digest = hashlib.sha256()
    if annotations.rig is not None:
        digest.update(annotations.rig.model_dump_json().encode())
    names = [category.name for category in annotations.categories]
    for example in annotations.examples:
        digest.update(json.dumps(_facts(example, names)).encode())
        digest.update(np.ascontiguousarray(example.objects.boxes, "<f8").tobytes())
    return digest.hexdigest()


def _facts(example: Example, names: list[str]) -> list[object]:
    files = [path and path.name for path in (example.rgb, example.ir)]
    objects = example.objects
    return [
        example.id,
        *files,
        example.width,
        example.height,
        [names[label] for label in objects.labels],
        objects.crowd.tolist(),
    ]
