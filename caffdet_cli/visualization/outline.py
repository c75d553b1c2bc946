"""What a drawing of a detector shows: its parts in the order of `Detector.forward`, with the shapes between them.

Shapes are those of one picture or pair, without the batch: C channels, H x W a map, S tokens, Q queries, K class slots.
"""

from dataclasses import dataclass
from typing import NamedTuple

from caffdet_cli.settings.base import Spectrum


class Map(NamedTuple):
    """A map of features."""

    channels: int
    height: int
    width: int

    @property
    def shape(self) -> str:
        return f"{self.channels} x {self.height} x {self.width}"


class Part(NamedTuple):
    """A part in words: what it is, and what is particular about it."""

    name: str
    about: str = ""


class EncoderStep(NamedTuple):
    """What one encoder layer does; fine tokens come first."""

    updated: int  # tokens it updates: the last so many
    narrow: int = 0  # of all tokens, the first so many pass through the narrow feed-forward network


@dataclass(frozen=True)
class Outline:
    """One detector and the shapes of one forward pass."""

    title: str
    size: tuple[int, int]  # of the picture, height and width
    spectra: tuple[Spectrum, ...]
    backbone: str
    shared: bool  # both streams through one backbone
    maps: tuple[Map, ...]  # of the backbone
    levels: tuple[Map, ...]  # after the neck, of each stream
    strides: tuple[int, ...]  # pixels per step of each level
    fusions: tuple[Part, ...]  # one per level; none of a model of one spectrum
    tokens: tuple[int, ...]  # of each level; they add up to S
    width: int  # C
    encoder: Part
    steps: tuple[EncoderStep, ...]
    selection: Part
    learned: bool  # queries do not come from tokens
    queries: int  # Q
    extra: tuple[Part, ...]  # further queries of training; the name has their number
    decoder: Part
    states: tuple[int, ...]  # queries after each decoder layer
    logits: tuple[int, int]  # Q, K
    boxes: tuple[int, int]  # Q, 4
    any_classes: bool  # K is set by the data set
    detections: int

    @property
    def memory(self) -> str:
        return f"{sum(self.tokens)} x {self.width}"
