"""Detectors with deformable attention, top down: pictures -> levels -> tokens -> queries -> boxes.

Shapes: B pictures, L levels, S tokens of all levels, C channels, Q queries, K class slots, D decoder layers.
"""

import torch
from torch import Tensor, nn

from caffdet_cli.models.decoder import Decoder, Heads
from caffdet_cli.models.deformable import FlattenLevels
from caffdet_cli.models.deformable_decoder import DeformableDecoder, LayerHeads
from caffdet_cli.models.deformable_selection import LearnedSelection, ProposalSelection
from caffdet_cli.models.denoising import DenoisingEmbedding
from caffdet_cli.models.postprocess import best_detections
from caffdet_cli.models.selection import TwoStageSelection
from caffdet_cli.values import Batch, DenoisingQueries, Detections, Group, Layers, Predictions, Proposals


class Detector(nn.Module):
    """DINO, Deformable-DETR and their relatives, as the parts decide; one or two spectra are the pyramid's business.

    Args:
        encoder: `tokens -> memory (B, S, C)`.
        selection: `(memory, tokens) -> (queries, proposals or None)`.
        denoising: puts noised objects before the queries in training; None: there are none.
        decoder: `(queries, memory, tokens, heads) -> (states, references)`, D of each.
        heads: `(states, references) -> (logits (D, B, Q, K), boxes (D, B, Q, 4))`.
        outputs: K.

    Source: Zhang et al., DINO, ICLR 2023; Li et al., Lite DETR, CVPR 2023; Helvig et al., CAFF-DINO, CVPRW 2024; Zhu et
    al., Deformable DETR, ICLR 2021; Jia et al., H-DETR, CVPR 2023.
    """

    def __init__(
        self,
        pyramid: nn.Module,
        flatten: FlattenLevels,
        encoder: nn.Module,
        selection: TwoStageSelection | LearnedSelection | ProposalSelection,
        denoising: DenoisingEmbedding | None,
        decoder: Decoder | DeformableDecoder,
        heads: Heads | LayerHeads,
        outputs: int,
        detections: int,
        nms_iou: float | None = None,
    ):
        super().__init__()
        self.pyramid = pyramid
        self.flatten = flatten
        self.encoder = encoder
        self.selection = selection
        self.denoising = denoising
        self.decoder = decoder
        self.heads = heads
        self.detections = detections
        self.nms_iou = nms_iou
        self.outputs = outputs

    def forward(self, batch: Batch, denoising: DenoisingQueries | None = None) -> Predictions:
        levels = self.pyramid(batch.spectra)
        tokens = self.flatten(levels)
        memory = self.encoder(tokens)  # (B, S, C)
        queries, proposals = self.selection(memory, tokens)
        if self.denoising is not None:
            queries = self.denoising(queries, denoising)
        states, anchors = self.decoder(queries, memory, tokens, self.heads)
        logits, boxes = self.heads(states, anchors)
        return split_by_group(logits, boxes, queries.groups, proposals)

    def postprocess(self, predictions: Predictions, batch: Batch) -> list[Detections]:
        """Detections of each picture, in pixels of its reference picture on disk."""
        sizes = batch.spectra[batch.reference].original_sizes
        logits, boxes = predictions.matching.logits[-1], predictions.matching.boxes[-1]
        return best_detections(logits, boxes, sizes, self.detections, self.nms_iou)


def split_by_group(
    logits: Tensor, boxes: Tensor, groups: tuple[Group, ...], proposals: Proposals | None
) -> Predictions:
    """Part (D, B, N, .) into denoising, matching and one-to-many queries, in this order."""
    sizes = {"denoising": 0, "matching": 0, "one-to-many": 0}
    for group in groups:
        sizes[group.name.partition(".")[0]] += group.size
    parts = zip(*(torch.split(each, list(sizes.values()), dim=2) for each in (logits, boxes)), strict=True)
    denoising, matching, one_to_many = (Layers(*part) for part in parts)
    return Predictions(
        matching=matching,
        denoising=denoising if sizes["denoising"] else None,
        proposals=proposals,
        one_to_many=one_to_many if sizes["one-to-many"] else None,
    )
