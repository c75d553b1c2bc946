"""The interleaved encoder: which tokens each layer updates, with what, and what padding may not do."""

import pytest
import torch
from tiny import tiny_detector, tiny_settings
from torch import Tensor, nn

from caffdet_cli.models.deformable import FlattenLevels, token_references, valid_ratios
from caffdet_cli.models.interleaved import InterleavedEncoder
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Levels, Tokens

SIZES = [(4, 4), (2, 2), (1, 1)]


class Recorder(nn.Module):
    """A layer that adds one and writes down what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int]] = []  # queries, of which fine

    def forward(
        self, queries: Tensor, positions: Tensor, references: Tensor, memory: Tensor, tokens: Tokens, fine: int
    ) -> Tensor:
        assert positions.shape[1] == references.shape[1] == queries.shape[1]
        assert memory.shape[1] == 21
        self.calls.append((queries.shape[1], fine))
        return queries + 1


def levels_of(sizes: list[tuple[int, int]], padding: list[Tensor] | None = None, width: int = 64) -> Levels:
    generator = torch.Generator().manual_seed(0)
    features, positions = ([torch.randn(1, width, *size, generator=generator) for size in sizes] for _ in range(2))
    masks = padding or [torch.zeros(1, *size, dtype=torch.bool) for size in sizes]
    return Levels(features, masks, positions)


@pytest.mark.parametrize(
    ("blocks", "queries"),
    [(1, [(5, 0), (5, 0), (5, 0), (21, 16)]), (2, [(5, 0), (21, 16), (5, 0), (21, 16)]), (4, [(21, 16)] * 4)],
)
def test_the_last_layer_of_a_block_updates_every_token_and_the_others_coarse_ones(blocks, queries):
    layers = nn.ModuleList(Recorder() for _ in range(4))
    tokens = FlattenLevels(3, 64)(levels_of(SIZES))
    memory = InterleavedEncoder(layers, blocks, high_levels=2)(tokens)
    assert [layer.calls[0] for layer in layers] == queries
    torch.testing.assert_close(memory[:, :16], tokens.features[:, :16] + blocks)
    torch.testing.assert_close(memory[:, 16:], tokens.features[:, 16:] + 4)


def test_all_levels_may_be_coarse():
    layers = nn.ModuleList(Recorder() for _ in range(2))
    InterleavedEncoder(layers, 1, high_levels=3)(FlattenLevels(3, 64)(levels_of(SIZES)))
    assert [layer.calls[0] for layer in layers] == [(21, 0), (21, 0)]


def test_fine_tokens_of_a_full_layer_pass_through_the_small_network():
    encoder = tiny_detector(tiny_settings()).encoder.eval()
    high, full = encoder.layers
    assert high.small_feedforward is None
    tokens = FlattenLevels(3, 64)(levels_of(SIZES))
    attended: list[Tensor] = []
    full.norm.register_forward_hook(lambda module, inputs, output: attended.append(output))
    with torch.no_grad():
        memory = encoder(tokens)
        torch.testing.assert_close(memory[:, :16], full.small_feedforward(attended[0][:, :16]))
        torch.testing.assert_close(memory[:, 16:], full.feedforward(attended[0][:, 16:]))


def test_without_the_small_network_all_tokens_pass_through_one():
    encoder = schema.InterleavedEncoder(layers=2, blocks=2, high_levels=2, heads=4, points=2, small_feedforward=False)
    network = tiny_detector(tiny_settings(encoder=encoder))
    assert all(layer.small_feedforward is None for layer in network.encoder.layers)
    assert network.encoder(FlattenLevels(3, 64)(levels_of(SIZES))).shape == (1, 21, 64)


def test_a_token_refers_to_its_own_place_on_every_level():
    ratios = valid_ratios([torch.zeros(1, *size, dtype=torch.bool) for size in SIZES])
    references = token_references(ratios, SIZES)
    assert references.shape == (1, 21, 3, 2)
    torch.testing.assert_close(references[0, 1], torch.tensor([[1.5 / 4, 0.5 / 4]] * 3))  # row 0, column 1: x, y
    torch.testing.assert_close(references[0, 18], torch.tensor([[0.5 / 2, 1.5 / 2]] * 3))  # 18 = 16 + row 1, column 0


def test_references_scale_with_the_part_of_a_level_that_is_picture():
    padding = [torch.ones(1, *size, dtype=torch.bool) for size in SIZES]
    padding[0][:, :, :2] = padding[1][:, :, :1] = padding[2][:, :, :1] = False
    references = token_references(valid_ratios(padding), SIZES)
    # the second column of the finest level is at 3/4 of the valid width: 3/8 of its level, 3/4 of the coarsest
    torch.testing.assert_close(references[0, 1, :, 0], torch.tensor([3 / 8, 3 / 8, 3 / 4]))


def test_memory_of_a_picture_does_not_depend_on_its_padding():
    """Levels of 8x8, 4x4 and 2x2, alone and as part of levels half as wide again, with anything in the padding."""
    encoder = tiny_detector(tiny_settings()).encoder.eval()
    nn.init.normal_(encoder.layers[0].attention.offsets.weight)
    flatten = FlattenLevels(3, 64)
    alone = levels_of([(8, 8), (4, 4), (2, 2)])
    wide = levels_of([(8, 12), (4, 6), (2, 3)])
    for index, size in enumerate((8, 4, 2)):
        wide.features[index][..., :size] = alone.features[index]
        wide.positions[index][..., :size] = alone.positions[index]
        wide.padding[index][..., size:] = True
    with torch.no_grad():
        expected, found = encoder(flatten(alone)), encoder(flatten(wide))
    inside = ~torch.cat([mask.flatten(1) for mask in wide.padding], dim=1)
    torch.testing.assert_close(found[inside], expected[0], atol=1e-5, rtol=1e-5)
