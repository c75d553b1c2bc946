"""The decoder and its heads: which anchors a layer's boxes refine, and where gradients go."""

import torch
from tiny import tiny_detector, tiny_settings
from torch import Tensor

from caffdet_cli.models.boxes import inverse_sigmoid
from caffdet_cli.models.decoder import Decoder, Heads, anchor_code
from caffdet_cli.models.deformable import FlattenLevels
from caffdet_cli.models.layers import sine_code
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Group, Levels, Queries, Tokens

SIZES = [(4, 6), (2, 3), (1, 2)]


def parts(layers: int = 3) -> tuple[Decoder, Heads, Queries, Tokens]:
    settings = tiny_settings(decoder=schema.DinoDecoder(layers=layers, heads=4, points=2, feedforward=64))
    network = tiny_detector(settings)
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(2, 64, *size, generator=generator) for size in SIZES]
    tokens = FlattenLevels(3, 64)(
        Levels(features, [torch.zeros(2, *size, dtype=torch.bool) for size in SIZES], features)
    )
    content, anchors = (torch.randn(2, 5, size, generator=generator) for size in (64, 4))
    return network.decoder, network.heads, Queries(content, anchors, (Group("matching", 5, ("matching",)),)), tokens


def test_boxes_of_a_layer_refine_the_anchors_that_the_layer_before_it_made():
    decoder, heads, queries, tokens = parts()
    unnormed: list[Tensor] = []
    for layer in decoder.layers:
        layer.register_forward_hook(lambda module, inputs, output: unnormed.append(output))
    states, anchors = decoder(queries, tokens.features, tokens, heads)
    _, boxes = heads(states, anchors)
    assert len(states) == len(anchors) == 3
    torch.testing.assert_close(anchors[0], queries.anchors.sigmoid())
    for index in range(3):
        torch.testing.assert_close(states[index], decoder.norm(unnormed[index]))
        expected = (heads.box_head(states[index]) + inverse_sigmoid(anchors[index])).sigmoid()
        torch.testing.assert_close(boxes[index], expected)
    for index in range(2):  # from the state before the norm: the released weights expect it
        refined = (heads.box_head(unnormed[index]) + inverse_sigmoid(anchors[index])).sigmoid()
        torch.testing.assert_close(anchors[index + 1], refined)


def test_a_layer_gets_its_anchors_detached_and_boxes_get_them_with_their_gradient():
    """Look forward twice: the loss of a layer's boxes reaches the refinement before it, but not through its input."""
    decoder, heads, queries, tokens = parts(layers=2)
    entered: list[Tensor] = []
    decoder.layers[1].register_forward_pre_hook(lambda module, inputs: entered.append(inputs[2]))
    _, anchors = decoder(queries, tokens.features, tokens, heads)
    assert not anchors[0].requires_grad
    assert anchors[1].requires_grad
    assert not entered[0].requires_grad


def test_the_code_of_an_anchor_has_its_row_before_its_column():
    anchor = torch.tensor([[0.1, 0.2, 0.3, 0.4]])  # x, y, width, height
    expected = [sine_code(torch.tensor([share * 2 * torch.pi]), 8, 10000) for share in (0.2, 0.1, 0.3, 0.4)]
    torch.testing.assert_close(anchor_code(anchor, 8), torch.cat(expected, dim=1))


def test_heads_are_the_same_for_every_layer():
    _, heads, _, _ = parts()
    state, anchor = torch.randn(1, 5, 64), torch.rand(1, 5, 4)
    logits, boxes = heads([state, state], [anchor, anchor])
    assert logits.shape == (2, 1, 5, 3)
    torch.testing.assert_close(logits[0], logits[1])
    torch.testing.assert_close(boxes[0], boxes[1])
