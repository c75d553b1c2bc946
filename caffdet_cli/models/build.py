"""Settings -> modules. Reading this file answers "what exists?"; there is no other registry."""

import copy
import math

from torch import nn

from caffdet_cli.models.backbones.resnet import ResNet
from caffdet_cli.models.decoder import Decoder, DecoderLayer, Heads
from caffdet_cli.models.deformable import DeformableAttention, FlattenLevels, KeyAwareAttention, SamplingAttention
from caffdet_cli.models.denoising import DenoisingEmbedding
from caffdet_cli.models.dino import Dino
from caffdet_cli.models.fusion.caff import CaffLite
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


def backbone(settings: schema.ResNet) -> ResNet:
    """The network that makes maps from pixels."""
    return ResNet(settings.depth, settings.levels, settings.normalisation, settings.frozen_stages)


def fusion_block(settings: schema.CaffLite, width: int) -> CaffLite:
    """The part that joins one level of two streams."""
    return CaffLite(width, settings.stages, settings.reduced, settings.bypass_absent)


def encoder(settings: schema.Model) -> InterleavedEncoder:
    """The encoder; layers at the end of a block are full and may own a second feed-forward network."""
    parts, width = settings.encoder, settings.width

    def layer(full: bool) -> EncoderLayer:
        small = FeedForward(width, width, parts.dropout) if full and parts.small_feedforward else None
        attention = sampling_attention(settings, parts.heads, parts.points, parts.shared_offsets, parts.project_keys)
        return EncoderLayer(
            attention, FeedForward(width, parts.feedforward, parts.dropout), small, width, parts.dropout
        )

    length = parts.layers // parts.blocks
    layers = [layer(full=number % length == 0) for number in range(1, parts.layers + 1)]
    return InterleavedEncoder(nn.ModuleList(layers), parts.blocks, parts.high_levels)


def sampling_attention(
    model: schema.Model, heads: int, points: int, shared_offsets: bool = False, project_keys: bool = False
) -> SamplingAttention:
    """Deformable or key-aware attention; the decoder's has neither shared offsets nor projected keys, as published."""
    if model.key_aware:
        return KeyAwareAttention(model.width, heads, model.levels, points, shared_offsets, project_keys)
    return DeformableAttention(model.width, heads, model.levels, points, shared_offsets)


def decoder(settings: schema.Decoder, model: schema.Model) -> Decoder:
    """The decoder."""
    width, dropout = model.width, settings.dropout

    def layer() -> DecoderLayer:
        return DecoderLayer(
            nn.MultiheadAttention(width, settings.heads, dropout, batch_first=True),
            sampling_attention(model, settings.heads, settings.points),
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
