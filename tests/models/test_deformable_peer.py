"""Deformable-DETR beside that of the `transformers` package with the same weights: forward, losses, gradients.

Nothing was recorded of the published code but its names and shapes, so this is the proof of its numbers. Backbones are
left out: both get the same maps.
"""

import re
from typing import Any

import pytest
import torch
from tiny import tiny_settings
from torch import Tensor, nn

from caffdet_cli.losses.detection import criterion_of
from caffdet_cli.models.build import detector
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Batch, Pictures, Targets
from caffdet_cli.weights.remap import to_published

transformers = pytest.importorskip("transformers", minversion="5.0", reason="needs pip install 'transformers>=5'")

pytestmark = pytest.mark.slow
WIDTH, QUERIES, CLASSES, LAYERS = 64, 9, 5, 3
CHANNELS = (16, 24, 32)
SIZES = [(96, 128), (80, 104)]  # of the pictures; the batch is padded to the first
FORMS = {
    "one stage": {},
    "refined": {"refine": True},
    "two stages": {"refine": True, "two_stage": True},
}


class Maps(nn.Module):
    """In place of a backbone: maps that were drawn once."""

    def __init__(self, maps: list[Tensor]):
        super().__init__()
        self.maps = nn.ParameterList(maps)
        self.channels = list(CHANNELS)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return list(self.maps)


class MapsOfPeer(nn.Module):
    """The same in the peer's form: pairs of a map and a mask that is True inside the picture."""

    def __init__(self, maps: Maps):
        super().__init__()
        self.maps = maps
        self.intermediate_channel_sizes = list(CHANNELS)

    def forward(self, pixels: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        sized = [
            nn.functional.interpolate(mask[None].float(), size=each.shape[-2:])[0].bool() for each in self.maps.maps
        ]
        return list(zip(self.maps.maps, sized, strict=True))


def drawn(seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    height, width = SIZES[0]
    return [
        torch.randn(2, channels, height // stride, width // stride, generator=random)
        for channels, stride in zip(CHANNELS, (8, 16, 32), strict=True)
    ]


def settings(form: str, **more: Any) -> schema.Model:
    decoder = schema.DeformableDecoder(
        layers=LAYERS, heads=8, points=4, feedforward=48, dropout=0.0, **FORMS[form], **more
    )
    return tiny_settings(
        width=WIDTH,
        levels=4,
        queries=QUERIES,
        detections=QUERIES,
        outputs=CLASSES,
        backbone=schema.ResNet(depth=18, levels=(1, 2, 3)),
        encoder=schema.DeformableEncoder(layers=2, heads=8, points=4, feedforward=48),
        decoder=decoder,
        denoising=schema.Denoising(number=0),
        position_temperature=10000,
        position_shift=-0.5,
        loss=schema.LossWeights(classification=1.0, proposals=0.0),  # the peer weighs classes so, and has no such loss
    )


def ours_of(form: str, **more: Any) -> Any:
    torch.manual_seed(0)
    chosen = settings(form, **more)
    network = detector(chosen, CLASSES)
    for parameter in network.parameters():  # boxes that move, attention that differs
        parameter.data += 0.05 * torch.randn_like(parameter)
    if not chosen.decoder.two_stage:  # there all layers have one class head then, also where boxes are refined
        for head in network.heads.class_heads:
            head.load_state_dict(network.heads.class_heads[0].state_dict())
    network.pyramid.backbone = Maps(drawn())
    network.pyramid.neck = neck(network)
    return network, chosen


def neck(network: Any) -> nn.Module:
    """The neck for the drawn maps."""
    from caffdet_cli.models.neck import Neck

    return Neck(list(CHANNELS), WIDTH, 4)


def peer_of(network: Any, chosen: schema.Model) -> Any:
    """The other package's model with our weights."""
    decoder = chosen.decoder
    config = transformers.DeformableDetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=transformers.ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, *CHANNELS],
            depths=[1] * 4,
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=LAYERS,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        num_queries=QUERIES,
        two_stage_num_proposals=QUERIES,
        num_labels=CLASSES,
        dropout=0.0,
        with_box_refine=decoder.refine,
        two_stage=decoder.two_stage,
        auxiliary_loss=True,
        class_cost=2,
        bbox_cost=5,
        giou_cost=2,
        bbox_loss_coefficient=5,
        giou_loss_coefficient=2,
        disable_custom_kernels=True,
    )
    peer = transformers.DeformableDetrForObjectDetection(config)
    state = peer.state_dict()
    for name, value in carried(network, chosen).items():
        assert state[name].shape == value.shape, name
        state[name] = value
    peer.load_state_dict(state)
    peer.model.backbone = MapsOfPeer(network.pyramid.backbone)
    return peer


NAMES = [  # published -> the peer's
    (r"^transformer\.(level_embed|reference_points|enc_output|enc_output_norm|pos_trans|pos_trans_norm)", r"model.\1"),
    (r"^query_embed", "model.query_position_embeddings"),
    (r"^input_proj", "model.input_proj"),
    (r"^transformer\.(encoder|decoder)\.", r"model.\1."),
    (r"(encoder\.layers\.\d+)\.norm1", r"\1.self_attn_layer_norm"),
    (r"(encoder\.layers\.\d+)\.norm2", r"\1.final_layer_norm"),
    (r"(decoder\.layers\.\d+)\.norm1", r"\1.encoder_attn_layer_norm"),
    (r"(decoder\.layers\.\d+)\.norm2", r"\1.self_attn_layer_norm"),
    (r"(decoder\.layers\.\d+)\.norm3", r"\1.final_layer_norm"),
    (r"linear(\d)", r"mlp.fc\1"),
    (r"cross_attn", "encoder_attn"),
    (r"self_attn\.out_proj", "self_attn.o_proj"),
]


def carried(network: Any, chosen: schema.Model, gradients: bool = False) -> dict[str, Tensor]:
    """Our parameters, or their gradients, under the peer's names, whose attention has three matrices for our one."""
    state = {
        name: each.grad if gradients else each.detach()
        for name, each in network.named_parameters()
        if not name.startswith("pyramid.backbone")
    }
    found = {}
    for name, value in to_published(state, chosen).items():
        for pattern, goal in NAMES:
            name = re.sub(pattern, goal, name)
        if "in_proj_" in name:
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                found[name.replace("in_proj_", f"{part}_proj.")] = rows
        else:
            found[name] = value
    return found


def batch() -> Batch:
    height, width = SIZES[0]
    padding = torch.ones(2, height, width, dtype=torch.bool)
    for row, size in zip(padding, SIZES, strict=True):
        row[: size[0], : size[1]] = False
    pictures = Pictures(
        torch.zeros(2, 3, height, width),
        padding,
        torch.ones(2, dtype=torch.bool),
        torch.tensor(SIZES),
        torch.tensor(SIZES),
    )
    return Batch((pictures,), 0, [0, 1], ["a", "b"])


def targets() -> list[Targets]:
    random = torch.Generator().manual_seed(3)
    boxes = [0.2 + 0.5 * torch.rand(count, 4, generator=random) * torch.tensor([1, 1, 0.5, 0.5]) for count in (3, 1)]
    return [Targets(each, torch.arange(len(each)) % CLASSES) for each in boxes]


@pytest.mark.parametrize("form", FORMS)
def test_forward_losses_and_gradients_are_those_of_the_other_package(form):
    network, chosen = ours_of(form)
    peer, given, wanted = peer_of(network, chosen).train(), batch(), targets()
    pictures = given.spectra[0]
    labels = [{"class_labels": each.labels, "boxes": each.boxes} for each in wanted]
    theirs = peer(pictures.pixels, pixel_mask=(~pictures.padding).long(), labels=labels)
    network.train()
    found = network(given)
    last = found.matching
    torch.testing.assert_close(last.logits[-1], theirs.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(last.boxes[-1], theirs.pred_boxes, atol=1e-4, rtol=0)
    for layer, one in enumerate(theirs.auxiliary_outputs):
        torch.testing.assert_close(last.logits[layer], one["logits"], atol=1e-4, rtol=0)
        torch.testing.assert_close(last.boxes[layer], one["pred_boxes"], atol=1e-4, rtol=0)
    if found.proposals is not None:
        torch.testing.assert_close(found.proposals.logits, theirs.enc_outputs_class, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.proposals.boxes, theirs.enc_outputs_coord_logits.sigmoid(), atol=1e-4, rtol=0)
    losses = criterion_of(chosen)(found, wanted)[0]
    torch.testing.assert_close(losses.total, theirs.loss, atol=1e-4, rtol=0, check_dtype=False)
    losses.total.backward()
    theirs.loss.backward()
    compare_gradients(carried(network, chosen, gradients=True), peer)


def compare_gradients(ours: dict[str, Tensor | None], peer: nn.Module) -> None:
    """What is one tensor there gets the sum of the gradients that ours get, each once."""
    theirs = dict(peer.named_parameters(remove_duplicate=False))
    names = {id(theirs[name]): [other for other in ours if theirs[other] is theirs[name]] for name in ours}
    compared = 0
    for tied in names.values():
        grads = {id(ours[name]): ours[name] for name in tied if ours[name] is not None}
        other = theirs[tied[0]].grad
        if not grads or other is None:
            assert all(not each.any() for each in grads.values()), tied
            assert other is None or not other.any(), tied
            continue
        found = torch.stack(list(grads.values())).sum(0)
        limit = 1e-4 * max(1.0, float(other.abs().max()))
        torch.testing.assert_close(found, other, atol=limit, rtol=0, msg=str(tied))
        compared += 1
    assert compared > 80
