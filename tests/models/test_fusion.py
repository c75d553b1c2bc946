"""CAFF fusion of two maps, and the pyramid that joins two spectra."""

import math

import pytest
import torch
from tiny import tiny_batch, tiny_detector, tiny_pair_settings
from torch import Tensor

from caffdet_cli.errors import DatasetError
from caffdet_cli.models.fusion.caff import Caff, HierarchicalAttention, RowAttention, row_column_code
from caffdet_cli.settings.model import CaffLite

BOTH = torch.ones(1, 2, dtype=torch.bool)


def lite(stages: int, **more: bool) -> Caff:
    return Caff(64, [RowAttention(64) for _ in range(stages)], reduced=8, **more)


def maps(count: int = 2, size: tuple[int, int] = (3, 4), width: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(count, width, *size, generator=generator) for _ in range(2))
    return first, second


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 1), (5, 6)])
def test_the_fused_map_has_the_size_of_its_inputs(size):
    torch.manual_seed(0)
    first, second = maps(1, size)
    fused = lite(3)(first, second, BOTH)
    assert fused.shape == first.shape
    assert fused.isfinite().all()


def test_rows_attend_to_rows_in_each_channel_by_itself():
    torch.manual_seed(0)
    attention = RowAttention(4)
    attending, source = maps(1, (3, 2), 4)
    code = row_column_code(source)
    query, key, value = attention.query(attending) + code, attention.key(source) + code, attention.value(source)
    expected = torch.zeros_like(value)
    for channel in range(4):
        for row in range(3):
            logits = [(query[0, channel, row] * key[0, channel, other]).sum() for other in range(3)]
            shares = torch.stack(logits).softmax(0)
            expected[0, channel, row] = sum(shares[other] * value[0, channel, other] for other in range(3))
    torch.testing.assert_close(attention(attending, source, code), expected)


def test_the_code_is_the_sine_of_the_row_and_the_cosine_of_the_column_twice():
    code = row_column_code(torch.zeros(1, 6, 3, 5))
    for pair in range(3):
        rate = 10000 ** (-2 * pair / 6)
        assert code[2 * pair, 2, 4].item() == pytest.approx(2 * math.sin(2 * rate), abs=1e-6)
        assert code[2 * pair + 1, 2, 4].item() == pytest.approx(2 * math.cos(4 * rate), abs=1e-6)


def test_the_first_stage_reads_the_second_stream_and_later_ones_their_own_result():
    torch.manual_seed(0)
    block = lite(2)
    first, second = maps()
    code = row_column_code(first)
    crossed = block.stages[0](first, second, code)
    attended = block.stages[1](crossed, crossed, code)
    expected = block.join(torch.cat([first, second, block.reduce(attended)], dim=1))
    torch.testing.assert_close(block(first, second, BOTH.expand(2, -1)), expected)


def test_bypass_passes_on_the_stream_that_is_left():
    torch.manual_seed(0)
    block = lite(1, bypass_absent=True)
    first, second = maps(3)
    fused = block(first, second, torch.tensor([[True, True], [True, False], [False, True]]))
    assert torch.equal(fused[1], first[1])
    assert torch.equal(fused[2], second[2])
    assert torch.equal(fused[0], block(first, second, torch.ones(3, 2, dtype=torch.bool))[0])


def test_without_bypass_an_absent_spectrum_is_a_map_like_any_other():
    torch.manual_seed(0)
    block = lite(1)
    first, second = maps()
    absent = torch.tensor([[True, False], [False, True]])
    assert torch.equal(block(first, second, absent), block(first, second, torch.ones(2, 2, dtype=torch.bool)))


def test_attention_is_exact_under_autocast():
    torch.manual_seed(0)
    attention = RowAttention(64)
    first, second = maps(1, (4, 200))
    with torch.autocast("cpu", torch.bfloat16):
        found = attention(100 * first, 100 * second, row_column_code(first))
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


# the pyramid


def test_a_shared_backbone_sees_each_stream_as_if_it_were_alone():
    network = tiny_detector(tiny_pair_settings(shared_backbone=True)).eval()
    batch = tiny_batch([(64, 96)], spectra=2)
    assert len(network.pyramid.backbones) == 1
    with torch.no_grad():
        levels = network.pyramid(batch.spectra)
        backbone = network.pyramid.backbones[0]
        alone = [backbone(each.pixels) for each in batch.spectra]
        streams = [neck(each) for neck, each in zip(network.pyramid.necks, alone, strict=True)]
        for level, fuse in enumerate(network.pyramid.fusions):
            expected = fuse(streams[0][level], streams[1][level], BOTH)
            torch.testing.assert_close(levels.features[level], expected)


def test_paddings_are_joined_and_positions_are_those_of_the_first_stream():
    network = tiny_detector(tiny_pair_settings()).eval()
    first = tiny_batch([(64, 128), (128, 128)]).spectra[0]
    second = tiny_batch([(128, 64), (128, 128)]).spectra[0]
    with torch.no_grad():
        levels = network.pyramid((first, second))
    finest = levels.padding[0][0]  # (8, 8): half of the first picture's rows, half of the second's columns are left
    assert torch.equal(finest[:4, :4], torch.zeros(4, 4, dtype=torch.bool))
    assert finest.sum() == 64 - 16
    alone = torch.ones(1, 8, 8, dtype=torch.bool)
    alone[:, :4] = False
    torch.testing.assert_close(levels.positions[0][:1], network.pyramid.positions(alone))


def test_both_forms_of_backbones_have_a_neck_per_stream_and_a_fusion_per_level():
    shared = tiny_detector(tiny_pair_settings(shared_backbone=True)).pyramid
    separate = tiny_detector(tiny_pair_settings(shared_backbone=False)).pyramid
    assert [len(shared.backbones), len(separate.backbones)] == [1, 2]
    assert len(shared.necks) == len(separate.necks) == 2
    assert len(shared.fusions) == len(separate.fusions) == 3


def test_a_lost_spectrum_leaves_the_other_one_alone_in_a_bypassing_detector():
    settings = tiny_pair_settings(fusion=CaffLite(stages=1, reduced=8, bypass_absent=True))
    network = tiny_detector(settings).eval()
    infrared, rgb = tiny_batch([(64, 64)], spectra=2).spectra
    lost = rgb._replace(pixels=torch.zeros_like(rgb.pixels), present=torch.tensor([False]))
    noise = rgb._replace(present=torch.tensor([False]))
    with torch.no_grad():
        one, other = (network.pyramid((infrared, each)) for each in (lost, noise))
    for level, same in zip(one.features, other.features, strict=True):
        assert torch.equal(level, same)


def hierarchical(stages: int = 1, kernels: tuple[int, ...] = (1, 5, 7)) -> Caff:
    return Caff(64, [HierarchicalAttention(64, kernels) for _ in range(stages)], reduced=8)


@pytest.mark.parametrize("size", [(7, 7), (7, 12), (11, 8)])
def test_the_hierarchical_form_keeps_the_size(size):
    torch.manual_seed(0)
    first, second = maps(1, size)
    assert hierarchical(2)(first, second, BOTH).shape == first.shape


def test_its_branches_see_the_code_at_single_pixels_only():
    torch.manual_seed(0)
    stage = HierarchicalAttention(4, (1, 3))
    attending, source = maps(1, (5, 6), 4)
    code, none = row_column_code(source), torch.zeros(4, 5, 6)
    one, three = (branch(attending, source, code) for branch in stage.branches)
    assert three.shape[-2:] == (3, 4)
    assert torch.equal(three, stage.branches[1](attending, source, none))
    assert not torch.equal(one, stage.branches[0](attending, source, none))
    larger = torch.nn.functional.interpolate(three, size=(5, 6), mode="bilinear", align_corners=False)
    torch.testing.assert_close(stage(attending, source, code), stage.compress(torch.cat([one, larger], 1)))


@pytest.mark.parametrize("size", [(6, 20), (20, 6)])
def test_a_level_below_its_kernels_is_one_sentence(size):
    first, second = maps(1, size)
    with pytest.raises(DatasetError, match=rf"{size[0]}x{size[1]} pixels.*needs 7x7.*385 pixels on its short side"):
        hierarchical()(first, second, BOTH)


def test_every_part_of_the_hierarchical_form_learns():
    torch.manual_seed(0)
    block = hierarchical(2)
    first, second = maps(1, (8, 9))
    (block(first, second, BOTH) * torch.randn(1, 64, 8, 9)).sum().backward()
    for name, parameter in block.named_parameters():
        assert name.endswith("key.bias") or parameter.grad.abs().sum() > 0, name
