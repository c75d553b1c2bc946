"""What a detector is made of. The defaults are those of the published Lite-DINO (IDEA-Research/Lite-DETR)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from caffdet_cli.settings.base import Settings, Spectrum

# Bounded, since settings also come with checkpoints of others.
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Depth = Annotated[int, Field(ge=1, le=64)]
Few = Annotated[int, Field(ge=1, le=16)]
Side = Annotated[int, Field(ge=1, le=16384)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class ResNet(Settings):
    """Backbone; He et al., CVPR 2016. torchvision's module, stride in the 3x3 convolution."""

    name: Literal["resnet"] = "resnet"
    depth: Literal[10, 18, 34, 50, 101, 152] = 50
    levels: Annotated[tuple[Annotated[int, Field(ge=0, le=3)], ...], Field(min_length=1)] = (1, 2, 3)
    """Stages whose maps are used, finest first: 0 has stride 4, 3 has stride 32."""
    normalisation: Literal["frozen", "batch", "group"] = "frozen"
    """`frozen`: stored statistics, for pretrained weights. `batch`, `group`: trainable, for training from scratch."""
    frozen_stages: Annotated[int, Field(ge=0, le=5)] = 2
    """How many of stem, stage 0, ..., stage 3 are never trained, counted from the picture."""

    @model_validator(mode="after")
    def _levels_ascend(self) -> "ResNet":
        _check_ascending(self.levels)
        return self


def _check_ascending(levels: tuple[int, ...]) -> None:
    if list(levels) != sorted(set(levels)):
        raise ValueError(f"levels = {list(levels)} are not ascending")


class Swin(Settings):
    """Backbone; Liu et al., ICCV 2021. Window 7 at 224 pixels, 12 at 384, as its weights were trained."""

    name: Literal["swin"] = "swin"
    size: Literal["tiny", "base", "large"] = "large"
    window: Literal[7, 12] = 12
    levels: Annotated[tuple[Annotated[int, Field(ge=0, le=3)], ...], Field(min_length=1)] = (1, 2, 3)
    """Stages whose maps are used, finest first: 0 has stride 4, 3 has stride 32."""
    drop_path: Share = 0.2
    """Probability of skipping the last block in training; rises from 0 over the blocks. Frozen backbones skip none."""
    checkpointing: bool = False
    """Compute again in the backward pass, in place of keeping: less memory, more time."""

    @model_validator(mode="after")
    def _levels_ascend(self) -> "Swin":
        _check_ascending(self.levels)
        return self


Backbone = Annotated[ResNet | Swin, Field(discriminator="name")]


class CaffLite(Settings):
    """Cross-attention feature fusion, lite form; Helvig et al., CVPRW 2024."""

    name: Literal["caff-lite"] = "caff-lite"
    stages: Few = 3
    reduced: Positive = 64
    """Channels of the fused map before it is joined with both streams."""
    bypass_absent: bool = False
    """Pass the other stream on untouched where a spectrum is absent; published weights were trained on zeros."""


class CaffHierarchical(Settings):
    """Cross-attention feature fusion at several scales, that of CAFF-DINO; Helvig et al., CVPRW 2024."""

    name: Literal["caff-hierarchical"] = "caff-hierarchical"
    stages: Few = 2
    kernels: Annotated[tuple[Annotated[int, Field(ge=1, le=31)], ...], Field(min_length=1, max_length=8)] = (1, 5, 7)
    """Sides of the convolutions of the branches. The largest is the smallest side that a level may have."""
    reduced: Positive = 64
    """Channels of the fused map before it is joined with both streams."""
    bypass_absent: bool = False
    """Pass the other stream on untouched where a spectrum is absent; published weights were trained on zeros."""


class AddFusion(Settings):
    """Levels of both spectra added up."""

    name: Literal["add"] = "add"
    bypass_absent: bool = True
    """Pass the other stream on untouched where a spectrum is absent."""


class ConcatFusion(Settings):
    """Levels of both spectra joined, projected to the width of one, and normalised."""

    name: Literal["concat"] = "concat"
    bypass_absent: bool = True
    """Pass the other stream on untouched where a spectrum is absent."""


class NoFusion(Settings):
    """One spectrum."""

    name: Literal["none"] = "none"


PairFusion = CaffLite | CaffHierarchical | AddFusion | ConcatFusion
Fusion = Annotated[PairFusion | NoFusion, Field(discriminator="name")]


class InterleavedEncoder(Settings):
    """Lite-DETR's encoder: most layers update coarse levels only; Li et al., CVPR 2023, arXiv:2303.07335."""

    name: Literal["interleaved"] = "interleaved"
    layers: Depth = 6
    blocks: Depth = 3
    """Blocks of layers / blocks layers; the last layer of each updates every token."""
    high_levels: Depth = 3
    """How many of the coarsest levels the other layers update."""
    shared_offsets: bool = False
    """The same sampling offsets on all levels."""
    project_keys: bool = False
    """Key-aware attention has a projection of keys; else the projected values are the keys."""
    small_feedforward: bool = True
    """In a full layer the fine tokens pass through a second, narrow feed-forward network."""
    heads: Positive = 8
    points: Positive = 4
    feedforward: Positive = 2048
    dropout: Share = 0.0

    @model_validator(mode="after")
    def _blocks_divide_layers(self) -> "InterleavedEncoder":
        if self.layers % self.blocks:
            raise ValueError(f"blocks = {self.blocks} does not divide layers = {self.layers}")
        return self


class DeformableEncoder(Settings):
    """DINO's encoder: every layer updates every token; Zhu et al., ICLR 2021, arXiv:2010.04159."""

    name: Literal["deformable"] = "deformable"
    layers: Depth = 6
    heads: Positive = 8
    points: Positive = 4
    feedforward: Positive = 2048
    dropout: Share = 0.0


Encoder = Annotated[InterleavedEncoder | DeformableEncoder, Field(discriminator="name")]


class DinoDecoder(Settings):
    """DINO's decoder; its queries are chosen among the encoder's tokens. Zhang et al., ICLR 2023, arXiv:2203.03605."""

    name: Literal["dino"] = "dino"
    layers: Depth = 6
    heads: Positive = 8
    points: Positive = 4
    feedforward: Positive = 2048
    dropout: Share = 0.0


class DeformableDecoder(Settings):
    """Deformable-DETR's decoder and its queries; Zhu et al., ICLR 2021, arXiv:2010.04159. With `one_to_many` that of
    H-DETR; Jia et al., CVPR 2023, arXiv:2207.13080."""

    name: Literal["deformable"] = "deformable"
    layers: Depth = 6
    heads: Positive = 8
    points: Positive = 4
    feedforward: Positive = 1024
    dropout: Share = 0.1
    refine: bool = False
    """Every layer moves the boxes of the one before it, with heads of its own."""
    two_stage: bool = False
    """Queries are the encoder's best proposals; else they are learned. Needs `refine`."""
    mixed_selection: bool = False
    """The content of two-stage queries is learned; else it comes from their boxes."""
    look_forward_twice: bool = False
    """A layer's boxes are judged with the gradient of the refinement before it."""
    one_to_many: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Further queries of training, each object of which is wanted `repeats` times (H-DETR: 1500); 0: none."""
    repeats: Positive = 6
    one_to_many_weight: Weight = 1.0

    @model_validator(mode="after")
    def _two_stages_refine(self) -> "DeformableDecoder":
        if self.two_stage and not self.refine:
            raise ValueError("two_stage = true needs refine = true: proposals are boxes, and boxes are refined")
        if self.mixed_selection and not self.two_stage:
            raise ValueError("mixed_selection = true needs two_stage = true")
        if self.look_forward_twice and not self.refine:
            raise ValueError("look_forward_twice = true needs refine = true")
        return self


def _named(decoder: object) -> object:
    """Checkpoints from before there were two decoders do not name theirs."""
    return {"name": "dino", **decoder} if isinstance(decoder, dict) and "name" not in decoder else decoder


Decoder = Annotated[DinoDecoder | DeformableDecoder, Field(discriminator="name"), BeforeValidator(_named)]


class Denoising(Settings):
    """Contrastive denoising queries of training."""

    number: Annotated[int, Field(ge=0)] = 100
    """Pairs of positive and negative queries per picture, about; 0 switches denoising off. Below 50 it is, as
    published, half the number of groups, each with two queries per object: smaller numbers may cost more."""
    label_noise: Share = 0.5
    labels: Literal["classes", "outputs"] = "classes"
    """Where wrong labels are drawn from: the data set's classes, or, as published, all class slots of the head."""
    box_noise: Weight = 1.0


class Costs(Settings):
    """Weights of the matching cost."""

    classification: Weight = 2.0
    box: Weight = 5.0
    giou: Weight = 2.0


class LossWeights(Settings):
    """Weights of the loss terms."""

    classification: Weight = 1.0
    box: Weight = 5.0
    giou: Weight = 2.0
    proposals: Weight = 1.0
    """Factor on all terms of the encoder's proposals."""
    focal_alpha: Share = 0.25


class Input(Settings):
    """How a picture becomes a tensor; stored with the weights."""

    short_side: Side = 800
    max_side: Side = 1333
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (
        0.229,
        0.224,
        0.225,
    )
    """Of pixels scaled to 0..1."""


class Model(Settings):
    """A detector with deformable attention: DINO, Lite-DINO, Deformable-DETR, H-DETR; with two spectra and a fusion,
    CAFF-DINO and CAFF-Lite-DINO among them."""

    family: Literal["dino"] = "dino"
    spectra: Annotated[tuple[Spectrum, ...], Field(min_length=1, max_length=2)] = ("rgb",)
    """Stream order. Published CAFF weights have the infrared picture first."""
    outputs: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Class slots of the head; 0 = as many as the data set has classes."""
    labels: Literal["names", "category_ids"] = "names"
    """`names`: slot i is class i of the data set. `category_ids`: slot = category id, as in published files."""
    backbone: Backbone = ResNet()
    shared_backbone: bool = True
    """Both streams through one backbone. Published CAFF-Lite-DINO has one, published CAFF-DINO two."""
    key_aware: bool = False
    """Attention weights come from sampled keys, in encoder and decoder (arXiv:2303.07335). Published Lite-DINO files
    have this form; the weights of the other cannot be made from them."""
    width: Positive = 256
    levels: Few = 4
    fusion: Fusion = NoFusion()
    fusion_levels: tuple[Annotated[PairFusion, Field(discriminator="name")], ...] = ()
    """A fusion for each level, finest first, in place of `fusion`; empty: `fusion` on every level."""
    encoder: Encoder = InterleavedEncoder()
    decoder: Decoder = DinoDecoder()
    queries: Positive = 900
    detections: Positive = 300
    """Boxes kept per picture; the default keeps all where queries times class slots are fewer."""
    nms_iou: Share = 0.0
    """Drop a box that overlaps a better one, of whatever class, by more than this; 0, as published: keep all."""
    position_temperature: Annotated[float, Field(gt=0)] = 20.0
    position_shift: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Added to a pixel's place, which counts from 1, before it is divided by the size; Deformable-DETR: -0.5."""
    denoising: Denoising = Denoising()
    costs: Costs = Costs()
    loss: LossWeights = LossWeights()
    input: Input = Input()

    @model_validator(mode="after")
    def _parts_fit(self) -> "Model":
        if len(set(self.spectra)) != len(self.spectra):
            raise ValueError(f"spectra names {self.spectra[0]!r} twice")
        if (len(self.spectra) == 2) != (self.fusion.name != "none"):
            raise ValueError(
                f"spectra = {list(self.spectra)} with fusion.name = {self.fusion.name!r}: "
                "two spectra need a fusion, one spectrum has none"
            )
        if self.fusion_levels and len(self.spectra) < 2:
            raise ValueError("fusion_levels is for two spectra, and the model has one")
        if self.fusion_levels and len(self.fusion_levels) != self.levels:
            raise ValueError(f"fusion_levels has {len(self.fusion_levels)} entries for levels = {self.levels}")
        if self.fusion_levels and self.fusion.name not in {one.name for one in self.fusion_levels}:
            raise ValueError(f"fusion.name = {self.fusion.name!r} is on none of fusion_levels; empty these to use it")
        most = self.queries * self.outputs  # 0: the data set decides
        if 0 < most < self.detections != Model.model_fields["detections"].default:
            raise ValueError(
                f"detections = {self.detections} is more than queries = {self.queries} times outputs = {self.outputs}"
            )
        if isinstance(self.encoder, InterleavedEncoder):
            self._check_interleaved(self.encoder)
        if isinstance(self.decoder, DeformableDecoder) and self.denoising.number:
            raise ValueError("decoder.name = 'deformable' has no denoising queries: set denoising.number = 0")
        if self.levels < len(self.backbone.levels):
            raise ValueError(f"levels = {self.levels} is less than the {len(self.backbone.levels)} of backbone.levels")
        for part, heads in (("encoder", self.encoder.heads), ("decoder", self.decoder.heads)):
            if self.width % heads:
                raise ValueError(f"{part}.heads = {heads} does not divide width = {self.width}")
        if self.width % 32 or self.width < 64:
            raise ValueError(
                f"width = {self.width} is not a multiple of 32 from 64 on (group normalisation has 32 groups, and a "
                "level of one pixel needs two channels in each)"
            )
        return self

    @property
    def smallest_side(self) -> int:
        """The shortest side of a padded picture that the fusion takes, in pixels."""
        least = 1
        for level, fusion in enumerate(self.fusions):
            if isinstance(fusion, CaffHierarchical):
                maps = len(self.backbone.levels)  # further levels each halve the last map of the backbone
                stage = self.backbone.levels[level] if level < maps else self.backbone.levels[-1] + level - maps + 1
                least = max(least, (4 << stage) * (max(fusion.kernels) - 1) + 1)
        return least

    @property
    def fusion_words(self) -> str:
        """The names of its fusions, each once."""
        return ", ".join(dict.fromkeys(one.name for one in self.fusions)) or self.fusion.name

    @property
    def fusions(self) -> tuple[PairFusion, ...]:
        """The fusion of each level; none of a model of one spectrum."""
        if isinstance(self.fusion, NoFusion):
            return ()
        return self.fusion_levels or (self.fusion,) * self.levels

    def _check_interleaved(self, encoder: InterleavedEncoder) -> None:
        if encoder.project_keys and not self.key_aware:
            raise ValueError("encoder.project_keys = true needs key_aware = true")
        if encoder.high_levels > self.levels:
            raise ValueError(f"encoder.high_levels = {encoder.high_levels} is more than levels = {self.levels}")
