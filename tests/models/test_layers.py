"""Small layers: position codes, feed-forward networks."""

import math

import pytest
import torch
import torch.nn.functional as F

from caffdet_cli.models.layers import FeedForward, Mlp, SinePositions, sine_code


def test_sine_code_alternates_sine_and_cosine_of_growing_wavelengths():
    code = sine_code(torch.tensor([0.7]), 6, temperature=100.0)[0]
    expected = []
    for pair in range(3):
        wavelength = 100.0 ** (2 * pair / 6)
        expected += [math.sin(0.7 / wavelength), math.cos(0.7 / wavelength)]
    torch.testing.assert_close(code, torch.tensor(expected))


def test_positions_hold_the_row_first_and_then_the_column():
    code = SinePositions(8, temperature=20.0)(torch.zeros(1, 3, 5, dtype=torch.bool))
    assert code.shape == (1, 8, 3, 5)
    assert (code[:, :4] == code[:, :4, :, :1]).all()  # the same in every column
    assert (code[:, 4:] == code[:, 4:, :1, :]).all()  # the same in every row
    row = 2 * math.pi * 2 / 3  # second of three rows, from 0 to 2 pi
    assert code[0, 0, 1, 0].item() == pytest.approx(math.sin(row), abs=1e-5)


def test_positions_within_a_picture_do_not_depend_on_its_padding():
    positions = SinePositions(16, temperature=20.0)
    padding = torch.ones(1, 6, 9, dtype=torch.bool)
    padding[:, :4, :5] = False
    alone = positions(torch.zeros(1, 4, 5, dtype=torch.bool))
    torch.testing.assert_close(positions(padding)[..., :4, :5], alone)


def test_positions_of_a_picture_that_is_all_padding_are_finite():
    assert SinePositions(8, 20.0)(torch.ones(1, 2, 2, dtype=torch.bool)).isfinite().all()


def test_mlp_has_relu_between_its_layers_and_none_behind():
    torch.manual_seed(0)
    mlp = Mlp(4, 6, 2, layers=3)
    torch.nn.init.constant_(mlp.layers[-1].bias, -1.0)  # so that results are negative
    inputs = torch.randn(5, 4)
    first, second, third = mlp.layers
    expected = third(F.relu(second(F.relu(first(inputs)))))
    assert (expected < 0).any()
    torch.testing.assert_close(mlp(inputs), expected)


def test_feed_forward_adds_its_change_before_the_norm():
    torch.manual_seed(0)
    part = FeedForward(8, 16)
    tokens = torch.randn(2, 3, 8)
    change = part.contract(F.relu(part.expand(tokens)))
    torch.testing.assert_close(part(tokens), F.layer_norm(tokens + change, (8,)))


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    part = FeedForward(8, 16, dropout=0.5)
    tokens = torch.randn(2, 3, 8)
    assert not torch.equal(part(tokens), part(tokens))
    part.eval()
    assert torch.equal(part(tokens), part(tokens))
