"""The losses: focal, L1 and generalised IoU over all decoder layers, denoising and one-to-many queries, proposals.

Shapes: B pictures, Q queries, K class slots, D decoder layers, n objects.

Source: SetCriterion in models/dino/dino.py of IDEA-Research/DINO; Jia et al., H-DETR, CVPR 2023.
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from caffdet_cli.losses.matcher import Match, match
from caffdet_cli.models.boxes import centre_to_corners, overlaps
from caffdet_cli.settings.model import Costs, DeformableDecoder, LossWeights, Model
from caffdet_cli.values import DenoisingQueries, Layers, Losses, Predictions, Proposals, Targets

_ONE_TO_MANY = "_onetomany"


class Matches(NamedTuple):
    """Which prediction got which object: one list of pictures per decoder layer, and one for the proposals."""

    layers: list[list[Match]]
    proposals: list[Match] | None


def criterion_of(model: Model) -> "Criterion":
    """The criterion that a model is trained with."""
    if isinstance(model.decoder, DeformableDecoder):
        return Criterion(model.costs, model.loss, model.decoder.repeats, model.decoder.one_to_many_weight)
    return Criterion(model.costs, model.loss)


class Criterion(nn.Module):
    """Compares predictions with the objects.

    Terms are called `<loss>`, `<loss>_<layer>` for earlier decoder layers, `<loss>_denoising[_<layer>]`,
    `<loss>_onetomany[_<layer>]` and `<loss>_proposals`, with `classification`, `box` and `giou` for <loss>. `logged`
    holds the same unweighted, and `class_error` (percent of matched queries whose best class is wrong).

    Args:
        repeats: how many of the one-to-many queries each object is wanted by.
        one_to_many: weight of their terms.
    """

    def __init__(self, costs: Costs, weights: LossWeights, repeats: int = 1, one_to_many: float = 1.0):
        super().__init__()
        self.costs = costs
        self.weights = weights
        self.repeats = repeats
        self.one_to_many = one_to_many

    def forward(
        self, predictions: Predictions, targets: list[Targets], noised: DenoisingQueries | None = None
    ) -> tuple[Losses, Matches]:
        objects = max(sum(len(each.labels) for each in targets), 1)
        terms, matches, error = self._layers(predictions.matching, targets, objects)
        proposal_matches = None
        if predictions.proposals is not None:
            found, proposal_matches = self._proposals(predictions.proposals, targets, objects)
            terms |= {f"{name}_proposals": value for name, value in found.items()}
        if predictions.one_to_many is not None:
            terms |= self._one_to_many(predictions.one_to_many, targets)
        if predictions.denoising is not None and noised is not None:
            terms |= self._denoising(predictions.denoising, targets, noised, objects)
        weighted = {name: value * self._weight(name) for name, value in terms.items()}
        logged = {name: value.detach() for name, value in terms.items()} | {"class_error": error}
        return Losses(torch.stack(list(weighted.values())).sum(), weighted, logged), Matches(matches, proposal_matches)

    def _proposals(
        self, proposals: Proposals, targets: list[Targets], objects: int
    ) -> tuple[dict[str, Tensor], list[Match]]:
        if proposals.of_any_class:
            targets = [each._replace(labels=torch.zeros_like(each.labels)) for each in targets]
        matches = match(proposals.logits, proposals.boxes, targets, self.costs, self.weights.focal_alpha)
        return self._compare(proposals.logits, proposals.boxes, targets, matches, objects), matches

    def _one_to_many(self, layers: Layers, targets: list[Targets]) -> dict[str, Tensor]:
        """Every object is wanted `repeats` times."""
        times = self.repeats
        wanted = [Targets(each.boxes.repeat(times, 1), each.labels.repeat(times)) for each in targets]
        objects = max(sum(len(each.labels) for each in wanted), 1)
        terms = self._layers(layers, wanted, objects)[0]
        return {re.sub(r"^([a-z]+)", rf"\1{_ONE_TO_MANY}", name): value for name, value in terms.items()}

    def _layers(
        self, layers: Layers, targets: list[Targets], objects: int
    ) -> tuple[dict[str, Tensor], list[list[Match]], Tensor]:
        terms: dict[str, Tensor] = {}
        matches = []
        for index, (logits, boxes) in enumerate(zip(*layers, strict=True)):
            matches.append(match(logits, boxes, targets, self.costs, self.weights.focal_alpha))
            suffix = "" if index == len(layers.logits) - 1 else f"_{index}"
            found = self._compare(logits, boxes, targets, matches[-1], objects)
            terms |= {f"{name}{suffix}": value for name, value in found.items()}
        return terms, matches, class_error(layers.logits[-1], targets, matches[-1])

    def _denoising(
        self, layers: Layers, targets: list[Targets], noised: DenoisingQueries, objects: int
    ) -> dict[str, Tensor]:
        """Positive slots belong to the object they were made from; negative ones must become background."""
        fixed = [
            (slots.nonzero()[:, 0], source[slots])
            for slots, source in zip(noised.positive, noised.targets, strict=True)
        ]
        terms: dict[str, Tensor] = {}
        for index, (logits, boxes) in enumerate(zip(*layers, strict=True)):
            suffix = "_denoising" if index == len(layers.logits) - 1 else f"_denoising_{index}"
            found = self._compare(logits, boxes, targets, fixed, objects * noised.groups)
            terms |= {f"{name}{suffix}": value for name, value in found.items()}
        return terms

    def _compare(
        self, logits: Tensor, boxes: Tensor, targets: list[Targets], matches: list[Match], objects: int
    ) -> dict[str, Tensor]:
        """The three losses of one set of predictions, each divided by the number of objects."""
        picture = torch.cat([torch.full_like(rows, index) for index, (rows, _) in enumerate(matches)])
        rows = torch.cat([rows for rows, _ in matches])
        labels = torch.cat([each.labels[columns] for each, (_, columns) in zip(targets, matches, strict=True)])
        wanted = torch.cat([each.boxes[columns] for each, (_, columns) in zip(targets, matches, strict=True)])
        truth = torch.zeros_like(logits, dtype=torch.float32)
        truth[picture, rows, labels] = 1
        focal = sigmoid_focal_loss(logits.float(), truth, alpha=self.weights.focal_alpha, gamma=2, reduction="sum")
        found = boxes[picture, rows].float()
        giou = overlaps(centre_to_corners(found), centre_to_corners(wanted))[1]
        return {
            "classification": focal / objects,
            "box": (found - wanted).abs().sum() / objects,
            "giou": (1 - giou).sum() / objects,
        }

    def _weight(self, name: str) -> float:
        kind = name.split("_")[0]
        weight = {"classification": self.weights.classification, "box": self.weights.box, "giou": self.weights.giou}[
            kind
        ]
        if name.endswith("_proposals"):
            return weight * self.weights.proposals
        return weight * self.one_to_many if _ONE_TO_MANY in name else weight


@torch.no_grad()
def class_error(logits: Tensor, targets: list[Targets], matches: list[Match]) -> Tensor:
    """Percent of matched queries whose best class is not that of their object; 0 without objects."""
    wrong = [
        each.labels[columns] != logits[index, rows].argmax(-1)
        for index, (each, (rows, columns)) in enumerate(zip(targets, matches, strict=True))
    ]
    joined = torch.cat(wrong).float()
    return 100 * joined.mean() if len(joined) else joined.sum()
