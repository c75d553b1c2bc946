"""Hungarian matching: every object gets the one prediction that costs least in total.

Shapes: B pictures, Q predictions, K class slots, n objects of one picture.

Source: Carion et al., DETR, ECCV 2020; models/dino/matcher.py of IDEA-Research/DINO (focal class cost).
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from caffdet_cli.models.boxes import centre_to_corners, overlaps
from caffdet_cli.settings.model import Costs
from caffdet_cli.values import Targets

Match = tuple[Tensor, Tensor]  # indices of predictions and of their objects, both (n,)


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, targets: list[Targets], costs: Costs, alpha: float = 0.25) -> list[Match]:
    """One match per picture, predictions ascending.

    Args:
        logits: (B, Q, K).
        boxes: (B, Q, 4) cxcywh fractions.

    Costs that are not finite count as very large, so that a diverged model is reported by its loss.
    """
    counts = [len(each.labels) for each in targets]
    labels, wanted = torch.cat([each.labels for each in targets]), torch.cat([each.boxes for each in targets])
    cost = costs.classification * class_cost(logits.flatten(0, 1).float(), labels, alpha)
    cost = cost + costs.box * torch.cdist(boxes.flatten(0, 1).float(), wanted.float(), p=1)
    corners, other = centre_to_corners(boxes.flatten(0, 1).float()), centre_to_corners(wanted.float())
    cost = cost - costs.giou * overlaps(corners[:, None], other[None])[1]
    cost = torch.nan_to_num(cost, nan=1e9, posinf=1e9, neginf=-1e9).view(*logits.shape[:2], -1).cpu()
    pairs = (linear_sum_assignment(part[index]) for index, part in enumerate(torch.split(cost, counts, dim=-1)))
    return [
        (torch.as_tensor(rows, device=logits.device), torch.as_tensor(columns, device=logits.device))
        for rows, columns in pairs
    ]


def class_cost(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Focal cost (N, n) of giving each of n labels to each of N predictions (N, K)."""
    chance = logits.sigmoid()[:, labels]
    found = alpha * (1 - chance) ** 2 * -(chance + 1e-8).log()
    missed = (1 - alpha) * chance**2 * -(1 - chance + 1e-8).log()
    return found - missed
