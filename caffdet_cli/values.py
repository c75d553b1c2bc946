"""The values that travel between the parts: one type each for a batch, predictions, losses and detections.

Shapes: B pictures, H x W pixels, L levels, S tokens of all levels, C channels, Q queries, P denoising slots,
K class slots, D decoder layers, n objects of one picture.
"""

from typing import NamedTuple

from torch import Tensor

Sizes = list[tuple[int, int]]  # (height, width) of each level, finest first


class Pictures(NamedTuple):
    """One spectrum of a batch."""

    pixels: Tensor  # (B, 3, H, W) normalised; 0 outside the picture, 0 everywhere where the spectrum is absent
    padding: Tensor  # (B, H, W) bool, True outside the picture; an absent picture has its partner's padding
    present: Tensor  # (B,) bool; False where the spectrum is missing, in training by modality dropout
    sizes: Tensor  # (B, 2) int, height and width before padding
    original_sizes: Tensor  # (B, 2) int, height and width of the label spectrum's picture on disk, for every stream


class Batch(NamedTuple):
    """What the data side hands to any detector."""

    spectra: tuple[Pictures, ...]  # one, or two in the model's stream order; padded to one common H, W
    reference: int  # the stream whose pixels boxes and detections refer to
    ids: list[int | str]
    names: list[str]  # for messages and writers


class Levels(NamedTuple):
    """What a pyramid returns."""

    features: list[Tensor]  # L x (B, C, H_l, W_l)
    padding: list[Tensor]  # L x (B, H_l, W_l) bool
    positions: list[Tensor]  # L x (B, C, H_l, W_l), without the level embedding


class Tokens(NamedTuple):
    """Levels flattened once: finest first, row-major."""

    features: Tensor  # (B, S, C)
    positions: Tensor  # (B, S, C), with the level embedding
    padding: Tensor  # (B, S) bool
    sizes: Sizes
    valid_ratios: Tensor  # (B, L, 2) share of the width and height that is picture


class Group(NamedTuple):
    """A run of queries, and the groups they may look at."""

    name: str  # "matching", "denoising.3"
    size: int
    sees: tuple[str, ...]


class Queries(NamedTuple):
    """What query selection hands to the decoder."""

    content: Tensor  # (B, P + Q, C)
    anchors: Tensor  # (B, P + Q, 4) cxcywh, or (B, Q, 2) points, before the sigmoid
    groups: tuple[Group, ...]  # in the order of the queries
    positions: Tensor | None = None  # (B, Q, C), where they do not follow from the anchors layer by layer


class DenoisingQueries(NamedTuple):
    """Noised ground truth: made outside the model, embedded inside it (the label table is a parameter)."""

    labels: Tensor  # (B, P) int, -1 = empty slot
    boxes: Tensor  # (B, P, 4) cxcywh, before the sigmoid; 0 in empty slots
    targets: Tensor  # (B, P) int, which object of the picture the slot was made from, -1 = empty slot
    positive: Tensor  # (B, P) bool, slots that must find their object again
    groups: int


class Layers(NamedTuple):
    """Predictions of every decoder layer; the last is the answer."""

    logits: Tensor  # (D, B, Q, K)
    boxes: Tensor  # (D, B, Q, 4) cxcywh, fractions of the picture without its padding


class Proposals(NamedTuple):
    """The encoder's own predictions: for the chosen tokens, or, where `of_any_class`, for all S in place of Q."""

    indices: Tensor  # (B, Q)
    anchors: Tensor  # (B, Q, 4) before refinement and sigmoid; infinite on invalid tokens
    logits: Tensor  # (B, Q, K)
    boxes: Tensor  # (B, Q, 4) cxcywh, with their gradient
    of_any_class: bool = False  # the first class slot means an object of whatever class


class Predictions(NamedTuple):
    """What a detector of the DETR family returns, split by group so that nobody else indexes denoising queries."""

    matching: Layers
    denoising: Layers | None
    proposals: Proposals | None
    one_to_many: Layers | None = None


class Targets(NamedTuple):
    """The objects of one picture."""

    boxes: Tensor  # (n, 4) cxcywh, fractions of the picture
    labels: Tensor  # (n,) int, position in the class list


class Losses(NamedTuple):
    """What a criterion returns."""

    total: Tensor
    terms: dict[str, Tensor]  # weighted; they sum to the total
    logged: dict[str, Tensor]  # unweighted forms and figures that carry no gradient


class Detections(NamedTuple):
    """Objects found in one picture: what evaluation, writers and drawing take."""

    boxes: Tensor  # (n, 4) xyxy, pixels of the reference picture on disk
    scores: Tensor  # (n,) 0..1, descending
    labels: Tensor  # (n,) int, position in the class list that travels with the weights
