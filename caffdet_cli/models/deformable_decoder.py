"""Deformable-DETR's decoder: queries with fixed positions that read around their reference points or boxes.

Shapes: B pictures, Q queries, S tokens, C channels, L levels, D decoder layers, K class slots.

Source: Zhu et al., Deformable DETR, ICLR 2021, arXiv:2010.04159; models/deformable_transformer.py of
fundamentalvision/Deformable-DETR. "Look forward twice": Zhang et al., DINO, ICLR 2023.
"""

import torch
from torch import Tensor, nn

from caffdet_cli.models.boxes import inverse_sigmoid
from caffdet_cli.models.denoising import attention_mask
from caffdet_cli.values import Queries, Tokens

EPS = 1e-5
"""Of the inverse sigmoid, in the published code."""


class LayerHeads(nn.Module):
    """Heads of the decoder layers: one of its own for each, or one for all.

    Args:
        class_heads, box_heads: one for each layer, or a single one.

    `last_only`: predict from the last layer alone (D = 1), which is all that inference looks at.
    """

    def __init__(self, class_heads: nn.ModuleList, box_heads: nn.ModuleList):
        super().__init__()
        self.last_only = False
        self.class_heads = class_heads
        self.box_heads = box_heads

    def change(self, layer: int, state: Tensor) -> Tensor:
        """How far the boxes of a layer's state (B, Q, C) are from its references, before the sigmoid: (B, Q, 4)."""
        change: Tensor = self.box_heads[layer % len(self.box_heads)](state)
        return change

    def forward(self, states: list[Tensor], references: list[Tensor]) -> tuple[Tensor, Tensor]:
        """D states (B, Q, C) and references (B, Q, 2 or 4) -> logits (D, B, Q, K), boxes (D, B, Q, 4) cxcywh 0..1."""
        layers = range(len(states))[-1:] if self.last_only else range(len(states))
        logits = [self.class_heads[layer % len(self.class_heads)](states[layer]) for layer in layers]
        boxes = [moved(references[layer], self.change(layer, states[layer])) for layer in layers]
        return torch.stack(logits), torch.stack(boxes)


class DeformableDecoder(nn.Module):
    """Layers that look around references, which move only where `refine` is set.

    Args:
        refine: each layer's box becomes the next layer's reference.
        look_forward_twice: a layer's box is judged with the gradient of the refinement before it.
    """

    def __init__(self, layers: nn.ModuleList, refine: bool, look_forward_twice: bool = False):
        super().__init__()
        self.layers = layers
        self.refine = refine
        self.look_forward_twice = look_forward_twice

    def forward(
        self, queries: Queries, memory: Tensor, tokens: Tokens, heads: LayerHeads
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns per layer its states (B, Q, C) and the references (B, Q, 2 or 4) that its boxes start from."""
        mask = attention_mask(queries.groups, memory.device)
        content, reference = queries.content, queries.anchors.sigmoid()
        states, references = [], [reference]
        for number, layer in enumerate(self.layers):
            ratios = tokens.valid_ratios.repeat(1, 1, reference.shape[-1] // 2)[:, None]  # (B, 1, L, 2 or 4)
            content = layer(content, queries.positions, reference[:, :, None] * ratios, memory, tokens, mask)
            refined = moved(reference, heads.change(number, content)) if self.refine else reference
            reference = refined.detach() if self.refine else reference
            states.append(content)
            references.append(refined if self.look_forward_twice else reference)
        return states, references[:-1]


def moved(reference: Tensor, change: Tensor) -> Tensor:
    """A reference point or box, moved: (..., 2 or 4) 0..1 and (..., 4) -> boxes (..., 4) cxcywh 0..1."""
    start = inverse_sigmoid(reference, EPS)
    if start.shape[-1] == 2:
        start = torch.cat([start, torch.zeros_like(start)], dim=-1)
    return (change + start).sigmoid()
