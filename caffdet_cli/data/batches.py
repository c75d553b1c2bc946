"""Samples to a batch: padding, the way from a worker to the main process, the device."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from caffdet_cli.data.dataset import Sample
from caffdet_cli.data.geometry import Size
from caffdet_cli.data.transforms import normalised
from caffdet_cli.settings.model import Input
from caffdet_cli.values import Batch, Pictures, Targets

Loaded = tuple[Batch, list[Targets]]


class Facts(NamedTuple):
    """A sample without its pictures."""

    present: tuple[bool, ...]
    size: Size
    original_size: Size
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    id: int | str
    name: str


class Parcel(NamedTuple):
    """A batch on its way out of a worker.

    A tensor crosses in shared memory of its own, which takes both sides a fraction of a millisecond however small it
    is: only pixels are tensors.
    """

    pixels: tuple[Tensor, ...]  # (B, 3, H, W) uint8, or float32 in 0..1, in stream order
    facts: list[Facts]


def collate(samples: list[Sample], reference: int) -> Loaded:
    """Samples of any sizes to one batch, padded with zeros at the bottom and right to the largest height and width.

    Pixels are not normalised yet: a quarter of the bytes goes to the device. `to_device` does it.

    Args:
        reference: the stream whose pixels boxes and detections refer to (`Conventions.reference`).
    """
    return unpacked(packed(samples), reference)


def packed(samples: list[Sample]) -> Parcel:
    """The half of `collate` that a worker does."""
    height, width = (max(sizes) for sizes in zip(*(sample.size for sample in samples), strict=True))
    streams = zip(*(sample.pictures for sample in samples), strict=True)
    return Parcel(
        tuple(_padded(pictures, height, width) for pictures in streams),
        [
            Facts(
                sample.present,
                sample.size,
                sample.original_size,
                sample.targets.boxes.numpy(),
                sample.targets.labels.numpy(),
                sample.id,
                sample.name,
            )
            for sample in samples
        ],
    )


def _padded(pictures: tuple[Tensor, ...], height: int, width: int) -> Tensor:
    """(B, 3, height, width) uint8; float32 in 0..1 where one of them has more than 8 bits."""
    shallow = all(picture.dtype == torch.uint8 for picture in pictures)
    pixels = torch.empty(len(pictures), 3, height, width, dtype=torch.uint8 if shallow else torch.float32)
    if get_worker_info() is not None:
        # Where they must be in the end: now there is nothing to copy yet.
        pixels.share_memory_()  # type: ignore[no-untyped-call]  # torch has no types for it
    for row, picture in zip(pixels, pictures, strict=True):
        _put(picture if shallow or picture.dtype != torch.uint8 else picture / 255, row)
    return pixels


def _put(picture: Tensor, row: Tensor) -> None:
    """A picture into the corner of (3, height, width), and zeros around it."""
    rows, columns = picture.shape[1:]
    row[:, rows:], row[:, :, columns:] = 0, 0
    place = row[:, :rows, :columns]
    if picture.stride(0) == 1:  # pixel by pixel, as it was decoded: torch would need seven times as long
        cv2.split(picture.permute(1, 2, 0).numpy(), list(place.numpy()))
    else:
        place.copy_(picture)


def unpacked(parcel: Parcel, reference: int) -> Loaded:
    """The half of `collate` that is left to the main process."""
    pixels, facts = parcel
    sizes = torch.tensor([each.size for each in facts])
    original_sizes = torch.tensor([each.original_size for each in facts])
    padding = _padding(facts, *pixels[0].shape[2:])
    present = torch.tensor([each.present for each in facts])  # (B, streams)
    streams = zip(pixels, present.unbind(dim=1), strict=True)
    spectra = tuple(Pictures(each, padding, there, sizes, original_sizes) for each, there in streams)
    batch = Batch(spectra, reference, [each.id for each in facts], [each.name for each in facts])
    return batch, [Targets(torch.from_numpy(each.boxes), torch.from_numpy(each.labels)) for each in facts]


def _padding(facts: list[Facts], height: int, width: int) -> Tensor:
    """(B, height, width) bool, True outside the pictures."""
    padding = np.ones((len(facts), height, width), np.bool_)
    for picture, each in zip(padding, facts, strict=True):
        picture[: each.size[0], : each.size[1]] = False
    return torch.from_numpy(padding)


def to_device(batch: Batch, device: torch.device | str, input: Input) -> Batch:
    """The batch with its tensors on `device`, and its pixels normalised as `input` says."""
    return batch._replace(spectra=tuple(_moved(pictures, device, input) for pictures in batch.spectra))


def _moved(pictures: Pictures, device: torch.device | str, input: Input) -> Pictures:
    """Pixels outside of a picture, and all of an absent one, are 0 after it."""
    moved = Pictures(*(tensor.to(device, non_blocking=True) for tensor in pictures))
    pixels = normalised(moved.pixels, input.mean, input.std)
    sizes = (pictures.sizes * pictures.present[:, None]).tolist()  # asked of the CPU: no device is waited for
    # For so little torch would wake threads, and those wait in a loop on a core that a worker needs.
    places = pixels.numpy() if pixels.device.type == "cpu" and not pixels.requires_grad else pixels
    for row, (height, width) in enumerate(sizes):
        places[row, :, height:] = 0
        places[row, :, :, width:] = 0
    return moved._replace(pixels=pixels)
