"""Settings -> modules. Reading this file answers "what exists?"; there is no other registry."""

import copy
import math

from torch import nn

from caffdet_cli.models.backbones.resnet import ResNet
from caffdet_cli.models.backbones.swin import Swin
from caffdet_cli.models.decoder import Decoder, DecoderLayer, Heads
from caffdet_cli.models.deformable import DeformableAttention, FlattenLevels, KeyAwareAttention, SamplingAttention
from caffdet_cli.models.denoising import DenoisingEmbedding
from caffdet_cli.models.dino import Dino
from caffdet_cli.models.fusion.caff import Caff, HierarchicalAttention, RowAttention
from caffdet_cli.models.fusion.pair import PairPyramid
from caffdet_cli.models.interleaved import EncoderLayer, InterleavedEncoder
from caffdet_cli.models.layers import FeedForward, Mlp, SinePositions
from caffdet_cli.models.neck import Neck
from caffdet_cli.models.pyramid import Pyramid
from caffdet_cli.models.selection import TwoStageSelection
from caffdet_cli.settings import model as schema


def detector(settings: schema.Model, outputs: int) -> Dino:
    """A detector with random weights and `outputs` class slots.

    Initial values are those of the published code: prior probability 0.01 for every class, boxes on their anchors.
    """
    width = settings.width
    class_head, box_head = nn.Linear(width, outputs), Mlp(width, width, 4, layers=3)
    nn.init.constant_(class_head.bias, -math.log(99))
    for parameter in box_head.layers[-1].parameters():
        nn.init.zeros_(parameter)
    selection = TwoStageSelection(width, settings.queries, nn.Identity(), nn.Identity())
    parts = encoder(settings), selection, decoder(settings.decoder, settings)
    for part in parts:
        initialise_transformer(part)
    selection.class_head, selection.box_head = copy.deepcopy(class_head), copy.deepcopy(box_head)
    return Dino(
        pyramid=pyramid(settings),
        flatten=FlattenLevels(settings.levels, width),
        encoder=parts[0],
        selection=selection,
        denoising=DenoisingEmbedding(outputs, width),
        decoder=parts[2],
        heads=Heads(class_head, box_head),
        detections=settings.detections,
        nms_iou=settings.nms_iou or None,
    )


def pyramid(settings: schema.Model) -> Pyramid | PairPyramid:
    """One stream, or two with a fusion on every level."""
    positions = SinePositions(settings.width, settings.position_temperature)
    first = backbone(settings.backbone)
    necks = [Neck(first.channels, settings.width, settings.levels) for _ in settings.spectra]
    necks[0].reset_parameters()  # as published, the second stream's keep PyTorch's initial values
    match settings.fusion:
        case schema.NoFusion():
            return Pyramid(first, necks[0], positions)
        case fusion:
            fusions = [fusion_block(fusion, settings.width) for _ in range(settings.levels)]
            backbones = [first] if settings.shared_backbone else [first, backbone(settings.backbone)]
            return PairPyramid(nn.ModuleList(backbones), nn.ModuleList(necks), nn.ModuleList(fusions), positions)


def backbone(settings: schema.ResNet | schema.Swin) -> ResNet | Swin:
    """The network that makes maps from pixels."""
    match settings:
        case schema.ResNet():
            return ResNet(settings.depth, settings.levels, settings.normalisation, settings.frozen_stages)
        case schema.Swin():
            return Swin(settings.size, settings.window, settings.levels, settings.drop_path, settings.checkpointing)


def fusion_block(settings: schema.CaffLite | schema.CaffHierarchical, width: int) -> Caff:
    """The part that joins one level of two streams."""
    match settings:
        case schema.CaffLite():
            stages: list[nn.Module] = [RowAttention(width) for _ in range(settings.stages)]
        case schema.CaffHierarchical():
            stages = [HierarchicalAttention(width, settings.kernels) for _ in range(settings.stages)]
    return Caff(width, stages, settings.reduced, settings.bypass_absent)


def encoder(settings: schema.Model) -> InterleavedEncoder:
    """The encoder. DINO's is the interleaved one of which every layer is full."""
    match settings.encoder:
        case schema.DeformableEncoder(layers=layers):
            return InterleavedEncoder(
                nn.ModuleList(encoder_layer(settings) for _ in range(layers)), layers, settings.levels
            )
        case schema.InterleavedEncoder(layers=layers, blocks=blocks, high_levels=high_levels) as parts:
            length = layers // blocks
            narrow = [parts.small_feedforward and number % length == 0 for number in range(1, layers + 1)]
            return InterleavedEncoder(
                nn.ModuleList(encoder_layer(settings, each) for each in narrow), blocks, high_levels
            )


def encoder_layer(settings: schema.Model, narrow: bool = False) -> EncoderLayer:
    """One layer; `narrow`: with a second feed-forward network for the fine tokens."""
    parts, width = settings.encoder, settings.width
    wide = FeedForward(width, parts.feedforward, parts.dropout)
    small = FeedForward(width, width, parts.dropout) if narrow else None
    return EncoderLayer(sampling_attention(settings, parts), wide, small, width, parts.dropout)


def sampling_attention(
    model: schema.Model, part: schema.InterleavedEncoder | schema.DeformableEncoder | schema.Decoder
) -> SamplingAttention:
    """Deformable or key-aware attention; only Lite-DETR's encoder may share offsets or project keys, as published."""
    lite = part if isinstance(part, schema.InterleavedEncoder) else schema.InterleavedEncoder()
    size = (model.width, part.heads, model.levels, part.points)
    if model.key_aware:
        return KeyAwareAttention(*size, lite.shared_offsets, lite.project_keys)
    of_lite_detr = isinstance(model.encoder, schema.InterleavedEncoder)
    return DeformableAttention(*size, lite.shared_offsets, unused_query=of_lite_detr)


def decoder(settings: schema.Decoder, model: schema.Model) -> Decoder:
    """The decoder."""
    width, dropout = model.width, settings.dropout

    def layer() -> DecoderLayer:
        return DecoderLayer(
            nn.MultiheadAttention(width, settings.heads, dropout, batch_first=True),
            sampling_attention(model, settings),
            FeedForward(width, settings.feedforward, dropout),
            width,
            dropout,
        )

    return Decoder(nn.ModuleList(layer() for _ in range(settings.layers)), width)


def initialise_transformer(part: nn.Module) -> None:
    """Xavier on every matrix, then the attention modules' own start values."""
    for parameter in part.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for module in part.modules():
        if isinstance(module, SamplingAttention):
            module.reset_parameters()
