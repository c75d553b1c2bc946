"""How many parameters of a detector are trained: as it is built, and as a recipe trains it."""

import torch

from caffdet_cli.benchmark.counting import Way
from caffdet_cli.engine.optimizer import make_optimizer
from caffdet_cli.models.build import detector
from caffdet_cli.models.deformable import DeformableAttention
from caffdet_cli.settings.model import Model
from caffdet_cli.settings.train import Train


def count_trained(model: Model, recipe: Train | None = None, way: Way = "ours") -> int:
    """Numbers of the parameters that require gradients.

    Args:
        recipe: count after it has frozen what it freezes, as the optimiser gets them; None: as built.
        way: `published`: the query projections that Lite-DETR's plain attention has and never uses count too. They are
            left to the optimiser there, which finds no gradient of them; here they are frozen.
    """
    with torch.device("meta"):
        network = detector(model, model.outputs or 1)
    if way == "published":
        for module in network.modules():
            if isinstance(module, DeformableAttention) and (unused := getattr(module, "query", None)) is not None:
                unused.requires_grad_(True)
    if recipe is None:
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    else:
        trained = [each for group in make_optimizer(network, recipe).param_groups for each in group["params"]]
    return sum(parameter.numel() for parameter in trained)
