"""Settings -> modules. Reading this file answers "what exists?"; there is no other registry."""

import copy
import math

from torch import nn

from caffdet_cli.models.backbones.resnet import ResNet
from caffdet_cli.models.backbones.swin import Swin
from caffdet_cli.models.decoder import Decoder, DecoderLayer, Heads
from caffdet_cli.models.deformable import DeformableAttention, FlattenLevels, KeyAwareAttention, SamplingAttention
from caffdet_cli.models.deformable_decoder import DeformableDecoder, LayerHeads
from caffdet_cli.models.deformable_selection import LearnedSelection, ProposalSelection, QueryGroups
from caffdet_cli.models.denoising import DenoisingEmbedding
from caffdet_cli.models.detector import Detector
from caffdet_cli.models.fusion.caff import Caff, HierarchicalAttention, RowAttention
from caffdet_cli.models.fusion.pair import PairPyramid
from caffdet_cli.models.fusion.plain import Add, Concat
from caffdet_cli.models.interleaved import EncoderLayer, InterleavedEncoder
from caffdet_cli.models.layers import FeedForward, Mlp, SinePositions
from caffdet_cli.models.neck import Neck
from caffdet_cli.models.pyramid import Pyramid
from caffdet_cli.models.selection import TwoStageSelection
from caffdet_cli.settings import model as schema


def detector(settings: schema.Model, outputs: int) -> Detector:
    """A detector with random weights and `outputs` class slots; initial values are those of the published code."""
    match settings.decoder:
        case schema.DinoDecoder() as parts:
            return dino(settings, parts, outputs)
        case schema.DeformableDecoder() as parts:
            return deformable_detr(settings, parts, outputs)


def dino(settings: schema.Model, parts: schema.DinoDecoder, outputs: int) -> Detector:
    """DINO and Lite-DINO: queries chosen among tokens, moving anchors, one pair of heads for all layers."""
    width = settings.width
    class_head, box_head = head_pair(width, outputs)
    selection = TwoStageSelection(width, settings.queries, nn.Identity(), nn.Identity())
    encoding, decoder = encoder(settings), Decoder(decoder_layers(settings, parts), width)
    for part in (encoding, selection, decoder):
        initialise_transformer(part)
    selection.class_head, selection.box_head = copy.deepcopy(class_head), copy.deepcopy(box_head)
    return Detector(
        pyramid=pyramid(settings),
        flatten=FlattenLevels(settings.levels, width),
        encoder=encoding,
        selection=selection,
        denoising=DenoisingEmbedding(outputs, width),
        decoder=decoder,
        heads=Heads(class_head, box_head),
        outputs=outputs,
        detections=settings.detections,
        nms_iou=settings.nms_iou or None,
    )


def deformable_detr(settings: schema.Model, parts: schema.DeformableDecoder, outputs: int) -> Detector:
    """Deformable-DETR and H-DETR: learned queries or proposals, heads for each layer where boxes are refined."""
    width = settings.width
    pair = head_pair(width, outputs)
    pairs = [copy.deepcopy(pair) for _ in range(parts.layers if parts.refine else 1)]  # all start alike
    if not parts.two_stage:  # queries start from points: their first boxes are small
        nn.init.constant_(pairs[0][1].layers[-1].get_parameter("bias")[2:], -2.0)
    encoding = encoder(settings)
    decoder = DeformableDecoder(decoder_layers(settings, parts), parts.refine, parts.look_forward_twice)
    for part in (encoding, decoder):
        initialise_transformer(part)
    class_heads, box_heads = (nn.ModuleList(each) for each in zip(*pairs, strict=True))
    return Detector(
        pyramid=pyramid(settings),
        flatten=FlattenLevels(settings.levels, width),
        encoder=encoding,
        selection=deformable_selection(settings, parts, *pair),
        denoising=None,
        decoder=decoder,
        heads=LayerHeads(class_heads, box_heads),
        outputs=outputs,
        detections=settings.detections,
        nms_iou=settings.nms_iou or None,
    )


def deformable_selection(
    settings: schema.Model, parts: schema.DeformableDecoder, class_head: nn.Module, box_head: nn.Module
) -> LearnedSelection | ProposalSelection:
    """Where the queries of Deformable-DETR come from; the heads are those of proposals."""
    groups = QueryGroups(settings.queries, parts.one_to_many)
    if not parts.two_stage:
        learned = LearnedSelection(settings.width, groups)
        nn.init.xavier_uniform_(learned.reference.weight)
        nn.init.zeros_(learned.reference.bias)
        return learned
    proposed = ProposalSelection(settings.width, groups, nn.Identity(), nn.Identity(), parts.mixed_selection)
    initialise_transformer(proposed)
    proposed.class_head, proposed.box_head = class_head, box_head
    if proposed.content is not None:
        nn.init.normal_(proposed.content.weight)
    return proposed


def head_pair(width: int, outputs: int) -> tuple[nn.Linear, Mlp]:
    """A class head of prior probability 0.01 for every class, and a box head that leaves boxes where they are."""
    class_head, box_head = nn.Linear(width, outputs), Mlp(width, width, 4, layers=3)
    nn.init.constant_(class_head.bias, -math.log(99))
    for parameter in box_head.layers[-1].parameters():
        nn.init.zeros_(parameter)
    return class_head, box_head


def pyramid(settings: schema.Model) -> Pyramid | PairPyramid:
    """One stream, or two with a fusion on every level."""
    positions = SinePositions(settings.width, settings.position_temperature, settings.position_shift)
    first = backbone(settings.backbone)
    necks = [Neck(first.channels, settings.width, settings.levels) for _ in settings.spectra]
    necks[0].reset_parameters()  # as published, the second stream's keep PyTorch's initial values
    if len(settings.spectra) == 1:
        return Pyramid(first, necks[0], positions)
    fusions = [fusion_block(fusion, settings.width) for fusion in settings.fusions]
    backbones = [first] if settings.shared_backbone else [first, backbone(settings.backbone)]
    return PairPyramid(nn.ModuleList(backbones), nn.ModuleList(necks), nn.ModuleList(fusions), positions)


def backbone(settings: schema.ResNet | schema.Swin) -> ResNet | Swin:
    """The network that makes maps from pixels."""
    match settings:
        case schema.ResNet():
            return ResNet(settings.depth, settings.levels, settings.normalisation, settings.frozen_stages)
        case schema.Swin():
            return Swin(settings.size, settings.window, settings.levels, settings.drop_path, settings.checkpointing)


def fusion_block(settings: schema.PairFusion, width: int) -> Caff | Add | Concat:
    """The part that joins one level of two streams."""
    match settings:
        case schema.CaffLite():
            rows = [RowAttention(width) for _ in range(settings.stages)]
            return Caff(width, rows, settings.reduced, settings.bypass_absent)
        case schema.CaffHierarchical():
            scales = [HierarchicalAttention(width, settings.kernels) for _ in range(settings.stages)]
            return Caff(width, scales, settings.reduced, settings.bypass_absent)
        case schema.AddFusion():
            return Add(settings.bypass_absent)
        case schema.ConcatFusion():
            return Concat(width, settings.bypass_absent)


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
    model: schema.Model,
    part: schema.InterleavedEncoder | schema.DeformableEncoder | schema.DinoDecoder | schema.DeformableDecoder,
) -> SamplingAttention:
    """Deformable or key-aware attention; only Lite-DETR's encoder may share offsets or project keys, as published."""
    lite = part if isinstance(part, schema.InterleavedEncoder) else schema.InterleavedEncoder()
    size = (model.width, part.heads, model.levels, part.points)
    if model.key_aware:
        return KeyAwareAttention(*size, lite.shared_offsets, lite.project_keys)
    of_lite_detr = isinstance(model.encoder, schema.InterleavedEncoder)
    return DeformableAttention(*size, lite.shared_offsets, unused_query=of_lite_detr)


def decoder_layers(model: schema.Model, parts: schema.DinoDecoder | schema.DeformableDecoder) -> nn.ModuleList:
    """The layers of either decoder."""
    width, dropout = model.width, parts.dropout

    def layer() -> DecoderLayer:
        return DecoderLayer(
            nn.MultiheadAttention(width, parts.heads, dropout, batch_first=True),
            sampling_attention(model, parts),
            FeedForward(width, parts.feedforward, dropout),
            width,
            dropout,
        )

    return nn.ModuleList(layer() for _ in range(parts.layers))


def initialise_transformer(part: nn.Module) -> None:
    """Xavier on every matrix, then the attention modules' own start values."""
    for parameter in part.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for module in part.modules():
        if isinstance(module, SamplingAttention):
            module.reset_parameters()
