"""DINO, Lite-DINO and, on a pair pyramid, CAFF-Lite-DINO: pictures -> levels -> tokens -> queries -> boxes.

Shapes: B pictures, L levels, S tokens of all levels, C channels, Q queries, K class slots, D decoder layers.
"""

from torch import Tensor, nn

from caffdet_cli.models.decoder import Decoder, Heads
from caffdet_cli.models.deformable import FlattenLevels
from caffdet_cli.models.denoising import DenoisingEmbedding
from caffdet_cli.models.postprocess import best_detections
from caffdet_cli.models.selection import TwoStageSelection
from caffdet_cli.values import Batch, DenoisingQueries, Detections, Group, Layers, Predictions, Proposals


class Dino(nn.Module):
    """A two-stage deformable detector with denoising; one or two spectra are the pyramid's business.

    Source: Zhang et al., DINO, ICLR 2023; Li et al., Lite DETR, CVPR 2023; Helvig et al., CAFF-DINO, CVPRW 2024.
    """

    def __init__(
        self,
        pyramid: nn.Module,
        flatten: FlattenLevels,
        encoder: nn.Module,
        selection: TwoStageSelection,
        denoising: DenoisingEmbedding,
        decoder: Decoder,
        heads: Heads,
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
        self.outputs = denoising.outputs

    def forward(self, batch: Batch, denoising: DenoisingQueries | None = None) -> Predictions:
        levels = self.pyramid(batch.spectra)
        tokens = self.flatten(levels)
        memory = self.encoder(tokens)  # (B, S, C)
        candidates = self.selection.score(memory, tokens)
        indices = self.selection.choose(candidates.scores)  # (B, Q)
        queries, proposals = self.selection.take(indices, candidates)
        queries = self.denoising(queries, denoising)
        states, anchors = self.decoder(queries, memory, tokens, self.heads.box_head)
        logits, boxes = self.heads(states, anchors)
        return split_by_group(logits, boxes, queries.groups, proposals)

    def postprocess(self, predictions: Predictions, batch: Batch) -> list[Detections]:
        """Detections of each picture, in pixels of its reference picture on disk."""
        sizes = batch.spectra[batch.reference].original_sizes
        logits, boxes = predictions.matching.logits[-1], predictions.matching.boxes[-1]
        return best_detections(logits, boxes, sizes, self.detections, self.nms_iou)


def split_by_group(logits: Tensor, boxes: Tensor, groups: tuple[Group, ...], proposals: Proposals) -> Predictions:
    """Part (D, B, N, .) into denoising and matching queries; denoising ones come first."""
    denoising = sum(group.size for group in groups if group.name != "matching")
    first, rest = (Layers(logits[:, :, part], boxes[:, :, part]) for part in (slice(denoising), slice(denoising, None)))
    return Predictions(matching=rest, denoising=first if denoising else None, proposals=proposals)
