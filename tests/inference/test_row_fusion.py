"""CAFF as matrix products gives the maps of CAFF."""

import pytest
import torch
from tiny import tiny_detector, tiny_pair_settings

from caffdet_cli.inference.prepare import prepare
from caffdet_cli.inference.row_fusion import RowFusion, can_multiply
from caffdet_cli.models.fusion.caff import Caff, HierarchicalAttention, RowAttention

PRESENT = torch.tensor([[True, True], [True, False]])


def caff(stages=3, **more):
    torch.manual_seed(2)
    return Caff(64, [RowAttention(64) for _ in range(stages)], reduced=8, **more).eval().requires_grad_(False)


def maps(layout, size=(6, 9)):
    torch.manual_seed(3)
    return [torch.randn(2, 64, *size).contiguous(memory_format=layout) for _ in range(2)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bypass_absent", [False, True])
@pytest.mark.parametrize("stages", [1, 3])
def test_maps_are_those_of_the_fusion(layout, bypass_absent, stages):
    fusion = caff(stages, bypass_absent=bypass_absent)
    first, second = maps(layout)
    with torch.inference_mode():
        expected, found = fusion(first, second, PRESENT), RowFusion(fusion)(first, second, PRESENT)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.shape == first.shape
    if bypass_absent:
        assert torch.equal(found[1], first[1])


def test_under_autocast_it_is_the_fusion_itself():
    fusion = caff()
    first, second = (each.bfloat16() for each in maps(torch.channels_last))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(RowFusion(fusion)(first, second, PRESENT), fusion(first, second, PRESENT))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_numbers_than_float32_are_left_to_the_fusion(dtype):
    fusion = caff().to(dtype)
    first, second = (each.to(dtype) for each in maps(torch.channels_last))
    with torch.inference_mode():
        assert torch.equal(RowFusion(fusion)(first, second, PRESENT), fusion(first, second, PRESENT))


def test_gradients_reach_the_maps():
    fusion = caff()
    first, second = (each.requires_grad_() for each in maps(torch.channels_last))
    RowFusion(fusion)(first, second, PRESENT).square().sum().backward()
    found = first.grad, second.grad
    first.grad = second.grad = None
    fusion(first, second, PRESENT).square().sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(found, (first.grad, second.grad), strict=True))


def test_an_exported_fusion_takes_any_number_of_pictures():
    fusion = RowFusion(caff())
    shapes = ({0: torch.export.Dim("pictures", min=1, max=8)},) * 3
    with torch.no_grad():
        program = torch.export.export(fusion, (*maps(torch.contiguous_format), PRESENT), dynamic_shapes=shapes)
        alone = [each[:1] for each in (*maps(torch.contiguous_format), PRESENT)]
        torch.testing.assert_close(program.module()(*alone), fusion(*alone), rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_on_a_gpu_it_is_the_fusion_itself():
    fusion = caff().cuda()
    first, second = (each.cuda() for each in maps(torch.channels_last))
    with torch.inference_mode():
        found = RowFusion(fusion)(first, second, PRESENT.cuda())
        assert torch.equal(found, fusion(first, second, PRESENT.cuda()))


def test_windows_of_pixels_are_no_matrix_products():
    assert can_multiply(caff())
    assert not can_multiply(Caff(64, [HierarchicalAttention(64, (1, 5))], reduced=8))
    assert not can_multiply(Caff(64, [RowAttention(64, kernel=5)], reduced=8))
    assert not can_multiply(torch.nn.Identity())


def test_a_prepared_detector_multiplies_once():
    detector = prepare(tiny_detector(tiny_pair_settings()))
    kinds = [type(fusion) for fusion in detector.pyramid.fusions]
    assert kinds == [RowFusion] * len(kinds)
    before = list(detector.pyramid.fusions)
    assert list(prepare(detector).pyramid.fusions) == before
