"""Swin as a backbone: shapes, windows, shifts, and what training changes."""

import pytest
import torch
from tiny import tiny_batch, tiny_settings

from caffdet_cli.models.backbones.swin import (
    Swin,
    WindowAttention,
    from_windows,
    offset_index,
    shift_mask,
    to_windows,
)
from caffdet_cli.models.build import detector


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (4, 5)])
@pytest.mark.parametrize("levels", [(1, 2, 3), (0, 1, 2, 3), (1,)])
def test_maps_have_the_strides_of_their_levels(size, levels):
    backbone = Swin("tiny", 7, levels).eval()
    maps = backbone(torch.randn(1, 3, *size))
    height, width = (-(-side // 4) for side in size)
    expected = []
    for level in range(4):
        if level in levels:
            expected.append((96 * 2**level, height, width))
        height, width = (height + 1) // 2, (width + 1) // 2
    assert [tuple(each.shape[1:]) for each in maps] == expected
    assert backbone.channels == [shape[0] for shape in expected]


def test_stages_beyond_the_last_level_are_not_built():
    assert len(Swin("tiny", 7, (0, 1)).stages) == 2


def test_windows_go_there_and_back():
    features = torch.randn(2, 6, 9, 5)
    windows = to_windows(features, 3)
    assert windows.shape == (2 * 2 * 3, 9, 5)
    torch.testing.assert_close(windows[1], features[0, :3, 3:6].flatten(0, 1))
    torch.testing.assert_close(from_windows(windows, 3, features.shape), features)


def test_a_bias_belongs_to_the_offset_between_two_tokens():
    index = offset_index(3)
    assert index.shape == (9, 9)
    assert index.unique().numel() == 25
    assert index[0, 4] == index[4, 8]  # one down and one to the right
    assert index[0, 4] != index[4, 0]
    assert (index.diagonal() == 12).all()


def test_after_a_shift_only_neighbours_attend_to_each_other():
    blocked = shift_mask(torch.zeros(1, 5, 7, 1), 4)  # padded to 8 x 8: four windows
    assert blocked.shape == (4, 16, 16)
    assert (blocked[0] == 0).all()
    parts = [2 * (row >= 2) + (column >= 2) for row in range(4) for column in range(4)]
    apart = torch.tensor([[one != other for one in parts] for other in parts])
    torch.testing.assert_close(blocked[3], -100.0 * apart)


def test_attention_is_that_of_its_definition():
    torch.manual_seed(0)
    attention = WindowAttention(8, 2, 2)
    torch.nn.init.normal_(attention.position_bias)
    windows, blocked = torch.randn(6, 4, 8), -100.0 * (torch.rand(3, 4, 4) > 0.5)
    query, key, value = attention.qkv(windows).view(6, 4, 3, 2, 4).permute(2, 0, 3, 1, 4)
    logits = query @ key.transpose(-1, -2) / 2
    logits = logits + attention.position_bias[attention.position_index].permute(2, 0, 1)
    logits = logits + blocked.repeat(2, 1, 1)[:, None]
    expected = attention.output((logits.softmax(-1) @ value).transpose(1, 2).reshape(6, 4, 8))
    torch.testing.assert_close(attention(windows, blocked), expected)


def test_pictures_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    backbone, pictures = Swin("tiny", 7, (2,)).eval(), torch.randn(2, 3, 60, 70)
    torch.testing.assert_close(backbone(pictures)[0][1:], backbone(pictures[1:])[0], rtol=1e-4, atol=1e-4)


def test_blocks_are_skipped_in_training_only():
    torch.manual_seed(0)
    backbone, picture = Swin("tiny", 7, (2,), drop_path=0.9), torch.randn(4, 3, 32, 32)
    assert torch.equal(backbone.eval()(picture)[0], backbone(picture)[0])
    assert not torch.equal(backbone.train()(picture)[0], backbone(picture)[0])


def test_computing_again_gives_the_same_gradients():
    torch.manual_seed(0)
    plain, again = Swin("tiny", 7, (1,), drop_path=0), Swin("tiny", 7, (1,), drop_path=0, checkpointing=True)
    again.load_state_dict(plain.state_dict())
    picture = torch.randn(1, 3, 40, 40)
    for backbone in (plain, again):
        backbone.train()(picture)[0].square().sum().backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        if one.grad is None:
            assert other.grad is None
        else:
            torch.testing.assert_close(other.grad, one.grad)


def test_a_detector_takes_it():
    settings = tiny_settings(backbone={"name": "swin", "size": "tiny", "window": 7, "levels": (2, 3)})
    torch.manual_seed(0)
    network = detector(settings, 3).train()
    found = network(tiny_batch([(64, 80), (50, 70)]))
    found.matching.logits.sum().backward()
    assert found.matching.boxes.isfinite().all()
    assert network.pyramid.backbone.patches.weight.grad.abs().sum() > 0
