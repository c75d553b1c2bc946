"""The shapes between the parts of a detector, seen in one forward pass.

Shapes: B pictures, S tokens, Q queries, C channels, K class slots, D decoder layers.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from caffdet_cli.kernels import choice
from caffdet_cli.models.denoising import denoising_queries
from caffdet_cli.settings.model import Denoising, Model
from caffdet_cli.values import Batch, Predictions, Targets, Tokens
from caffdet_cli.visualization.outline import EncoderStep, Map


@dataclass
class Seen:
    """Without the batch, in the order in which the parts were at work."""

    maps: list[Map] = field(default_factory=list)  # of the first backbone
    levels: list[Map] = field(default_factory=list)  # what the pyramid gives
    tokens: list[int] = field(default_factory=list)  # of each level
    width: int = 0
    steps: list[EncoderStep] = field(default_factory=list)
    queries: int = 0
    states: list[int] = field(default_factory=list)  # queries after each decoder layer
    logits: tuple[int, int] = (0, 0)  # Q, K
    boxes: tuple[int, int] = (0, 0)  # Q, 4
    noised: int = 0  # denoising queries of a picture with one object
    one_to_many: int = 0


def watch(network: Any, batch: Batch, settings: Model) -> Seen:
    """Run a detector once, with real tensors or fake ones, and keep the shapes of what its parts give."""
    seen, kept = Seen(), dict[str, Any]()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(choice.implementation("reference"))  # nothing is compiled for the sake of shapes

        def after(module: nn.Module, hook: Callable[[Any, Any], None]) -> None:
            handle = module.register_forward_hook(lambda _, given, result: hook(given, result))
            stack.callback(handle.remove)

        pyramid = network.pyramid
        backbone = pyramid.backbones[0] if len(settings.spectra) == 2 else pyramid.backbone
        after(backbone, lambda _, result: seen.maps.extend(_maps(result)))
        after(pyramid, lambda _, result: seen.levels.extend(_maps(result.features)))
        after(network.flatten, lambda _, result: kept.update(tokens=result))
        for layer in network.encoder.layers:
            after(layer, partial(_keep_step, seen.steps, layer.small_feedforward))
        after(network.encoder, lambda _, result: kept.update(memory=result))
        after(network.selection, lambda _, result: kept.update(queries=result[0]))
        for layer in network.decoder.layers:
            after(layer, lambda _, result: seen.states.append(result.shape[1]))
        found: Predictions = network(batch)
    tokens: Tokens = kept["tokens"]
    seen.tokens, seen.width = [height * width for height, width in tokens.sizes], tokens.features.shape[2]
    seen.queries = kept["queries"].content.shape[1]
    seen.logits, seen.boxes = _last(found.matching.logits), _last(found.matching.boxes)
    _watch_training(network, kept["memory"], tokens, seen, settings.denoising)
    return seen


@torch.no_grad()
def _watch_training(network: Any, memory: Tensor, tokens: Tokens, seen: Seen, settings: Denoising) -> None:
    """How many queries training adds."""
    was = network.selection.training
    queries, _ = network.selection.train()(memory, tokens)
    network.selection.train(was)
    seen.one_to_many = sum(group.size for group in queries.groups if group.name == "one-to-many")
    if network.denoising is not None:
        objects = [Targets(torch.full((1, 4), 0.5), torch.zeros(1, dtype=torch.long))] * len(memory)
        noise = settings.number, settings.label_noise, settings.box_noise
        noised = denoising_queries(objects, torch.arange(1), *noise)
        seen.noised = network.denoising(queries, noised).content.shape[1] - queries.content.shape[1]


def _maps(maps: list[Tensor]) -> list[Map]:
    return [Map(*each.shape[1:]) for each in maps]


def _keep_step(steps: list[EncoderStep], narrow: nn.Module | None, given: tuple[Any, ...], _: Tensor) -> None:
    """An encoder layer was called: its queries (B, ., C) come first, the number of fine ones last."""
    steps.append(EncoderStep(given[0].shape[1], 0 if narrow is None else given[-1]))


def _last(layers: Tensor) -> tuple[int, int]:
    """(D, B, Q, .) -> Q and the last one."""
    return layers.shape[2], layers.shape[3]
