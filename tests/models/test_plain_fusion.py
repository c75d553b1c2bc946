"""The plainest fusions, and a fusion for each level."""

import pytest
import torch
from pydantic import ValidationError
from tiny import tiny_batch, tiny_pair_settings, tiny_settings

from caffdet_cli.models.build import detector
from caffdet_cli.models.fusion.caff import Caff
from caffdet_cli.models.fusion.plain import Add, Concat
from caffdet_cli.settings import model as schema

FIRST, SECOND = torch.randn(2, 3, 64, 5, 6, generator=torch.Generator().manual_seed(0))
PRESENT = torch.tensor([[True, True], [False, True], [True, False]])


def test_maps_are_added_and_a_lonely_one_is_passed_on():
    fused = Add()(FIRST, SECOND, PRESENT)
    assert torch.equal(fused[0], FIRST[0] + SECOND[0])
    assert torch.equal(fused[1], SECOND[1])
    assert torch.equal(fused[2], FIRST[2])
    assert torch.equal(Add(bypass_absent=False)(FIRST, SECOND, PRESENT), FIRST + SECOND)


def test_joined_maps_depend_on_both_and_a_lonely_one_is_passed_on():
    torch.manual_seed(0)
    fuse = Concat(64)
    fused = fuse(FIRST, SECOND, PRESENT)
    assert fused.shape == FIRST.shape
    assert torch.equal(fused[1], SECOND[1])
    assert torch.equal(fused[2], FIRST[2])
    for changed in (fuse(FIRST + 1, SECOND, PRESENT), fuse(FIRST, SECOND * 2, PRESENT)):
        assert not torch.allclose(changed[0], fused[0])


def mixed(**more: object) -> schema.Model:
    levels = (schema.CaffHierarchical(stages=1, kernels=(1, 3), reduced=8), schema.AddFusion(), schema.ConcatFusion())
    return tiny_pair_settings(**{"fusion": schema.AddFusion(), "fusion_levels": levels, **more})


def test_every_level_has_the_fusion_that_was_chosen_for_it():
    network = detector(mixed(), 3)
    assert [type(one) for one in network.pyramid.fusions] == [Caff, Add, Concat]
    assert network.eval()(tiny_batch([(64, 96)], 2)).matching.logits.shape[1] == 1


def test_the_smallest_picture_follows_from_the_levels_that_need_one():
    """A kernel of 3 needs 3 x 3 pixels: at stride 16 less than at stride 64."""
    assert mixed().smallest_side == 2 * 16 + 1
    everywhere = tiny_pair_settings(fusion=schema.CaffHierarchical(stages=1, kernels=(1, 3), reduced=8))
    assert everywhere.smallest_side == 2 * 64 + 1
    assert tiny_settings().smallest_side == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fusion_levels": (schema.AddFusion(),)}, "fusion_levels has 1 entries for levels = 3"),
        ({"spectra": ("rgb",), "fusion": schema.NoFusion()}, "fusion_levels is for two spectra"),
        ({"fusion": {"name": "average"}}, "average"),
        ({"fusion": schema.CaffLite()}, "'caff-lite' is on none of fusion_levels"),
        ({"fusion_levels": ({"name": "none"},) * 3}, "none"),
    ],
)
def test_what_cannot_be_fused_is_one_sentence(settings, words):
    with pytest.raises(ValidationError, match=words):
        mixed(**settings)
