"""Contrastive denoising: noised copies of the objects join the queries in training and must be recognised.

Shapes: B pictures, n objects of the fullest picture, G groups, P = 2 n G slots, C channels.

Source: Zhang et al., DINO, ICLR 2023, section 3.3; models/dino/dn_components.py of IDEA-Research/DINO.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from caffdet_cli.models.boxes import centre_to_corners, corners_to_centre, inverse_sigmoid
from caffdet_cli.values import DenoisingQueries, Group, Queries, Targets


def denoising_queries(
    targets: list[Targets], slots: Tensor, number: int, label_noise: float, box_noise: float
) -> DenoisingQueries | None:
    """Groups of one positive and one negative copy of every object; None where the batch has no object.

    Group g has the slots [2 n g, 2 n (g + 1)): first n positive ones, then n negative ones; object k of a picture is
    at offset k of either half. Draws from torch's global generator.

    Args:
        slots: (n,) class slots from which wrong labels are drawn.
        number: wanted pairs per picture; the fuller the pictures, the fewer groups.
        label_noise: half of this share of the labels is replaced.
        box_noise: largest shift of a corner, in half box sides; negatives are shifted by one to two of it.
    """
    most = max((len(each.labels) for each in targets), default=0)
    if most == 0 or number == 0:
        return None
    groups = group_count(number, most)
    labels = pad_sequence([each.labels for each in targets], batch_first=True, padding_value=-1)  # (B, n)
    boxes = pad_sequence([each.boxes for each in targets], batch_first=True)  # (B, n, 4)
    objects = torch.arange(most, device=labels.device).expand_as(labels).masked_fill(labels < 0, -1)
    labels, objects = (each.repeat(1, 2 * groups) for each in (labels, objects))  # (B, P)
    boxes = boxes.repeat(1, 2 * groups, 1)
    empty = labels < 0
    negative = (torch.arange(labels.shape[1], device=labels.device) % (2 * most)) >= most
    boxes = noised_boxes(boxes, negative, box_noise)
    return DenoisingQueries(
        labels=noised_labels(labels, slots, label_noise).masked_fill(empty, -1),
        boxes=inverse_sigmoid(boxes).masked_fill(empty[..., None], 0),
        targets=objects,
        positive=~negative & ~empty,
        groups=groups,
    )


def group_count(number: int, most: int) -> int:
    """Groups for `most` objects in the fullest picture. Kept as upstream: below 50 pairs, 2 * number groups."""
    return max(number // most, 1) if 2 * number >= 100 else 2 * number


def noised_labels(labels: Tensor, slots: Tensor, noise: float) -> Tensor:
    """Replace half of the share `noise` of the labels by any of the class slots."""
    replaced = torch.rand(labels.shape, device=labels.device) < noise / 2
    return torch.where(replaced, slots[torch.randint_like(labels, len(slots))], labels)


def noised_boxes(boxes: Tensor, negative: Tensor, noise: float) -> Tensor:
    """Shift corners of cxcywh boxes (B, P, 4) by up to `noise` half sides, of negatives (P,) by one to two times it."""
    signs = torch.randint_like(boxes, 2) * 2 - 1
    amount = torch.rand_like(boxes) + negative[:, None]
    half_sides = boxes[..., 2:].repeat(1, 1, 2) / 2
    corners = (centre_to_corners(boxes) + signs * amount * half_sides * noise).clamp(0, 1)
    return corners_to_centre(corners)


class DenoisingEmbedding(nn.Module):
    """Puts denoising queries before the matching ones. The table has one row per class slot and an unused one.

    Kept for released weights: the spare row is part of `label_enc` in published files.
    """

    def __init__(self, outputs: int, width: int):
        super().__init__()
        self.outputs = outputs
        self.table = nn.Embedding(outputs + 1, width)

    def forward(self, queries: Queries, noised: DenoisingQueries | None) -> Queries:
        if noised is None:
            return queries
        content = self.table(noised.labels.clamp(min=0)).masked_fill((noised.labels < 0)[..., None], 0)
        size = noised.labels.shape[1] // noised.groups
        names = [f"denoising.{number}" for number in range(noised.groups)]
        return Queries(
            content=torch.cat([content, queries.content], dim=1),
            anchors=torch.cat([noised.boxes, queries.anchors], dim=1),
            groups=(*(Group(name, size, (name, "matching")) for name in names), *queries.groups),
        )


def attention_mask(groups: tuple[Group, ...], device: torch.device) -> Tensor | None:
    """(N, N) bool over all queries in order, True where one may not see the other; None where all see all."""
    if all(other.name in group.sees for group in groups for other in groups):
        return None
    member = [number for number, group in enumerate(groups) for _ in range(group.size)]
    blocked = torch.tensor([[other.name not in group.sees for other in groups] for group in groups])
    return blocked[member][:, member].to(device, non_blocking=True)  # made here: a device would be waited for
