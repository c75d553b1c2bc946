"""Annotations to samples: the pictures of one moment as tensors of their size in the batch, and their objects.

Every random number of a sample comes from (seed, epoch, index) alone: neither the number of workers nor the order of
calls nor a restart changes it, and the global generators of torch and numpy are not touched.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.geometry import Geometry, Size, evaluation_geometry, training_geometry
from caffdet_cli.data.images import Decoded, decode, picture_bytes, read_picture
from caffdet_cli.data.picture_cache import PictureCache
from caffdet_cli.data.thermal import to_range
from caffdet_cli.data.transforms import (
    Pair,
    clip,
    followed,
    fractions,
    lost_spectrum,
    merged,
    pair_of,
    recoloured,
)
from caffdet_cli.data.warp import warp_file
from caffdet_cli.errors import CaffdetError, DatasetError
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.train import Augment
from caffdet_cli.values import Targets

_ALMOST_GREY = 2  # levels between channels
_LOOKED_AT = 8  # pictures
_EXAMPLES = 1  # first word of a seed, so that examples and orders never share random numbers


class Sample(NamedTuple):
    """One example as the model sees it."""

    pictures: tuple[Tensor, ...]  # (3, h, w) uint8, or float32 in 0..1, in stream order; 0 where the spectrum is absent
    present: tuple[bool, ...]
    size: Size  # height and width of the tensors
    original_size: Size  # height and width of the label spectrum's picture: the pixels in which detections are given
    targets: Targets
    id: int | str
    name: str


class PictureError(DatasetError):
    """A picture of a data set cannot be used.

    A worker process hands an error over as the text of its traceback; only its last sentence is kept.
    """

    def __init__(self, text: str):
        super().__init__(text.rpartition(f"{type(self).__name__}: ")[2].strip())


class PairDataset(Dataset[Sample]):
    """The examples of a split, prepared as `conventions` say.

    Args:
        augment: random changes of training pictures; None prepares for evaluation.
        seed: of the training run.
        tolerant: an example that cannot be read is one without pictures, `problem` says why; else an error.

    Raises:
        DatasetError: there are no pictures of the model's spectra; for training, of one of them, or objects of classes
            that `conventions.classes` does not have. (For evaluation such objects are left out.)
    """

    def __init__(
        self,
        annotations: AnnotationSet,
        conventions: Conventions,
        augment: Augment | None,
        seed: int,
        *,
        tolerant: bool = False,
    ):
        self.annotations = annotations
        self.tolerant = tolerant
        self.conventions = conventions
        self.augment = augment
        self.seed = seed
        self.cache = (
            PictureCache(Path(augment.cache).expanduser(), augment.finest) if augment and augment.cache else None
        )
        self.slots = slots_of_categories(annotations, conventions, needed=augment is not None)
        check_spectra(annotations, conventions, needed=augment is not None)

    def __len__(self) -> int:
        return len(self.annotations.examples)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """Example `(epoch, index)`; an index alone is that of epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        example = self.annotations.examples[index]
        try:
            return self._sample(example, generator(_EXAMPLES, self.seed, epoch, index))
        except CaffdetError as error:
            if not self.tolerant:
                raise PictureError(f"example {example.id}: {error}") from error
            bare = replace(example, rgb=None, ir=None)
            return self._sample(bare, generator(_EXAMPLES, self.seed, epoch, index))

    def problem(self, index: int) -> str:
        """Why an example cannot be read."""
        try:
            self._read(self.annotations.examples[index])
        except CaffdetError as error:
            return str(error)
        return ""

    def _sample(self, example: Example, random: np.random.Generator) -> Sample:
        size, seen = (example.height, example.width), self.conventions.input
        if self.augment is None:
            pair = followed(self._read(example), evaluation_geometry(size, seen.short_side, seen.max_side))
        else:
            geometry = training_geometry(size, self.augment, random)
            if self.augment.pixels == "fast":
                pair = merged(self._read(example, geometry), geometry)
            else:
                pair = followed(self._read(example), geometry)
            pair = self._without_lost_spectrum(recoloured(pair, self.augment, random), self.augment, random)
        return Sample(
            pictures=tuple(_tensor(picture, pair.size) for picture in pair.pictures),
            present=tuple(picture is not None for picture in pair.pictures),
            size=pair.size,
            original_size=size,
            targets=Targets(fractions(pair.boxes, pair.size), pair.labels),
            id=example.id,
            name=example.name,
        )

    def _read(self, example: Example, geometry: Geometry | None = None) -> Pair:
        """Pictures in the model's stream order, and the objects that are no crowd regions, inside the picture.

        Args:
            geometry: what will be seen of it; pictures may then be coarser than in their files.
        """
        pictures = tuple(self._picture(example, spectrum, geometry) for spectrum in self.conventions.spectra)
        slots = self.slots[example.objects.labels]
        wanted = ~example.objects.crowd & (slots >= 0)
        labels = slots[wanted]
        return clip(pair_of(pictures, example.objects.boxes[wanted], labels, (example.height, example.width)))

    def _picture(self, example: Example, spectrum: Spectrum, geometry: Geometry | None) -> NDArray[Any] | None:
        path = example.rgb if spectrum == "rgb" else example.ir
        if path is None:
            return None
        rig = self.annotations.rig
        is_moved = rig is not None and rig.moved == spectrum  # its scale is another one: it is read as it is
        if geometry is None or is_moved:
            picture = decode(picture_bytes(path), path)
        else:
            picture = self._coarse(path, spectrum, geometry)
        if spectrum == self.annotations.label_spectrum:
            check_size(path, (picture.height, picture.width), example, self.annotations.source)
        pixels = to_range(picture.pixels, spectrum, self.conventions.thermal)
        return warp_file(pixels, path, rig, spectrum, (example.height, example.width))

    def _coarse(self, path: Path, spectrum: Spectrum, geometry: Geometry) -> Decoded:
        """A picture no finer than what will be seen of it."""
        grey = spectrum == "ir" and self.grey_infrared
        if self.cache is not None:
            return self.cache.read(path, geometry.enough, grey=grey)
        return decode(picture_bytes(path), path, geometry.enough, grey=grey)

    @cached_property
    def grey_infrared(self) -> bool:
        """Whether the infrared pictures are grey whatever their channels, judged by a few of them."""
        paths = [example.ir for example in self.annotations.examples if example.ir is not None]
        return all(_is_grey(read_picture(path)) for path in paths[:: max(1, len(paths) // _LOOKED_AT)][:_LOOKED_AT])

    def _without_lost_spectrum(self, pair: Pair, augment: Augment, random: np.random.Generator) -> Pair:
        """Modality dropout: a pair may lose one spectrum, never its last."""
        lost = lost_spectrum(augment.modality_dropout, random)
        if len(pair.pictures) < 2 or any(picture is None for picture in pair.pictures):
            return pair
        kept = zip(self.conventions.spectra, pair.pictures, strict=True)
        return pair._replace(pictures=tuple(None if spectrum == lost else picture for spectrum, picture in kept))


def _tensor(picture: Tensor | None, size: Size) -> Tensor:
    """A picture without its torchvision type; zeros where it is absent."""
    return torch.zeros(3, *size, dtype=torch.uint8) if picture is None else picture.as_subclass(Tensor)


def _is_grey(picture: NDArray[Any]) -> bool:
    """Whether all channels are equal, up to what the compression of colours leaves."""
    if picture.ndim == 2:
        return True
    return int(np.ptp(picture[::4, ::4].astype(np.int32), axis=2).max()) <= _ALMOST_GREY


def generator(*words: int) -> np.random.Generator:
    """Random numbers that belong to these numbers alone."""
    return np.random.default_rng([word % 2**64 for word in words])


def slots_of_categories(
    annotations: AnnotationSet, conventions: Conventions, *, needed: bool = True
) -> NDArray[np.int64]:
    """Slot in `conventions.classes` of each category, found by its name; -1 where there is none.

    Raises:
        DatasetError: objects have no slot, and it is `needed`; names their classes.
    """
    places = {name: slot for slot, name in enumerate(conventions.classes) if name is not None}
    slots = np.array([places.get(category.name, -1) for category in annotations.categories], np.int64)
    used = {int(label) for example in annotations.examples for label in example.objects.labels}
    unknown = [annotations.categories[label].name for label in sorted(used) if slots[label] < 0]
    if unknown and needed:
        raise DatasetError(
            f"{annotations.source} has objects of {', '.join(map(repr, unknown))}, which the model does not know; "
            f"it knows {', '.join(map(repr, places)) or 'no class'}. Name all of them in data.classes, or convert "
            "again with --classes"
        )
    return slots


def check_spectra(annotations: AnnotationSet, conventions: Conventions, *, needed: bool) -> None:
    """There is something to look at: some picture of the model's spectra, or of each one where all are `needed`."""
    has = {"rgb": any(one.rgb for one in annotations.examples), "ir": any(one.ir for one in annotations.examples)}
    missing = [spectrum for spectrum in conventions.spectra if not has[spectrum]]
    if annotations.examples and missing and (needed or len(missing) == len(conventions.spectra)):
        raise DatasetError(
            f"{annotations.source} has no {' and no '.join(missing)} pictures, and the model looks at "
            f"{' and '.join(conventions.spectra)}; take another model (model.spectra), or convert the data set again"
        )


def check_size(path: Path, size: tuple[int, ...], example: Example, source: Path) -> None:
    """Boxes are in the pixels of the label spectrum's picture, so that its height and width must be the annotated."""
    height, width = size
    if (height, width) != (example.height, example.width):
        raise DatasetError(
            f"picture {path} is {width}x{height}, but {source} says {example.width}x{example.height}; "
            "its boxes would be in the wrong place. Convert the data set again or correct width and height"
        )
