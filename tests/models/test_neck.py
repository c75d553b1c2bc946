"""Projections to levels of one width."""

import torch

from caffdet_cli.models.neck import Neck


def test_a_level_per_map_and_extra_ones_of_half_the_size():
    torch.manual_seed(0)
    neck = Neck([8, 16], width=64, levels=4)
    maps = [torch.randn(2, 8, 12, 9), torch.randn(2, 16, 6, 5)]
    assert [level.shape for level in neck(maps)] == [(2, 64, 12, 9), (2, 64, 6, 5), (2, 64, 3, 3), (2, 64, 2, 2)]


def test_the_first_extra_level_is_made_from_the_last_map_and_the_next_from_it():
    torch.manual_seed(0)
    neck = Neck([8, 16], width=64, levels=4)
    maps = [torch.randn(2, 8, 12, 9), torch.randn(2, 16, 6, 5)]
    levels = neck(maps)
    torch.testing.assert_close(levels[2], neck.projections[2](maps[1]))
    torch.testing.assert_close(levels[3], neck.projections[3](levels[2]))


def test_there_may_be_no_extra_level():
    assert len(Neck([8, 16], width=64, levels=2)([torch.randn(2, 8, 4, 4), torch.randn(2, 16, 2, 2)])) == 2
