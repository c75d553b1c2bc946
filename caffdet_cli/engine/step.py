"""One optimisation step, and what happens when its loss is not finite."""

import json
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from caffdet_cli.errors import Diverged
from caffdet_cli.losses.objective import DinoObjective
from caffdet_cli.paths import whole_file, write_text
from caffdet_cli.values import Batch, Losses, Targets


def optimise(
    accelerator: Accelerator,
    objective: DinoObjective,
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
        Diverged: naming the pictures and the loss terms; weights are as before the step.
    """
    with accelerator.autocast():
        losses: Losses = objective(batch, targets)
    if not torch.isfinite(losses.total):
        raise Diverged(_keep(batch, targets, losses, replay))
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(losses.total)
    if clip:
        accelerator.clip_grad_norm_([each for group in optimizer.param_groups for each in group["params"]], clip)
    optimizer.step()
    return losses


def _keep(batch: Batch, targets: list[Targets], losses: Losses, replay: Path) -> str:
    """Write the batch and say what is wrong with it."""
    bad = [name for name, term in losses.terms.items() if not torch.isfinite(term)]
    tensors = {f"pixels.{stream}": pictures.pixels for stream, pictures in enumerate(batch.spectra)}
    tensors |= {f"padding.{stream}": pictures.padding for stream, pictures in enumerate(batch.spectra)}
    for index, each in enumerate(targets):
        tensors |= {f"targets.{index}.boxes": each.boxes, f"targets.{index}.labels": each.labels}
    with whole_file(replay / "batch.safetensors") as part:
        save_file({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, part)
    facts = {
        "pictures": batch.names,
        "ids": batch.ids,
        "terms": {name: float(term.detach()) for name, term in losses.terms.items()},
    }
    write_text(replay / "batch.json", json.dumps(facts, indent=2) + "\n")
    return (
        f"the loss is not finite at pictures {', '.join(batch.names)} (terms {', '.join(bad[:4]) or 'total'}); "
        f"the batch is kept in {replay}; try a smaller train.lr or look at these pictures"
    )
