"""One optimisation step, and what happens when its loss is not finite."""

import json
import math
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from caffdet_cli.errors import Diverged
from caffdet_cli.losses.objective import Objective
from caffdet_cli.paths import whole_file, write_text
from caffdet_cli.values import Batch, Losses, Targets


def optimise(
    accelerator: Accelerator,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    targets: list[Targets],
    clip: float,
    replay: Path,
) -> Losses:
    """Loss, gradients, clipping, update.

    Args:
        clip: largest norm of the whole gradient; 0: no clipping.
        replay: folder for the batch in case the loss is not finite.

    Raises:
        Diverged: the loss or its gradient is not finite; names the pictures and the loss terms. Weights are as before
            the step.
    """
    with accelerator.autocast():
        losses: Losses = objective(batch, targets)
    if not torch.isfinite(losses.total):
        raise Diverged(_keep(batch, targets, losses, replay, "loss"))
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(losses.total)
    trained = [each for group in optimizer.param_groups for each in group["params"]]
    norm = accelerator.clip_grad_norm_(trained, clip or math.inf)  # without a limit it only measures
    if not torch.isfinite(norm):
        raise Diverged(_keep(batch, targets, losses, replay, "gradient"))
    optimizer.step()
    return losses


def _keep(batch: Batch, targets: list[Targets], losses: Losses, replay: Path, what: str) -> str:
    """Write the batch for replay, and say what is wrong with it.

    `batch.safetensors` has every field of `Pictures` as `pixels.0`, `padding.0`, ... by stream, and the objects as
    `targets.0.boxes`, `targets.0.labels`, ... by picture; `batch.json` has the rest.
    """
    bad = [name for name, term in losses.terms.items() if not torch.isfinite(term)]
    tensors = {
        f"{field}.{stream}": tensor
        for stream, pictures in enumerate(batch.spectra)
        for field, tensor in pictures._asdict().items()
    }
    for index, each in enumerate(targets):
        tensors |= {f"targets.{index}.boxes": each.boxes, f"targets.{index}.labels": each.labels}
    with whole_file(replay / "batch.safetensors") as part:  # copies: both streams may share their padding
        copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        save_file(copies, part)
    facts = {
        "pictures": batch.names,
        "ids": batch.ids,
        "reference": batch.reference,
        "terms": {name: str(float(term.detach())) for name, term in losses.terms.items()},  # JSON has no NaN
    }
    write_text(replay / "batch.json", json.dumps(facts, indent=2) + "\n")
    where = f" (terms {', '.join(bad[:4]) or 'total'})" if what == "loss" else ""
    return (
        f"the {what} is not finite at pictures {', '.join(batch.names)}{where}; "
        f"the batch is kept in {replay}; try a smaller train.lr or look at these pictures"
    )
