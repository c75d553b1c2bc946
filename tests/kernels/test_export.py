"""Exported programs: the operators kept or taken apart, and as ONNX in ONNX Runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from kernels.conftest import Problem
from kernels.test_tracing import CALLS, agree, function, prepared
from tiny import tiny_batch, tiny_detector, tiny_pair_settings, tiny_settings
from torch import Tensor, nn

from caffdet_cli.errors import ConfigError
from caffdet_cli.kernels import reference
from caffdet_cli.kernels.export import Form, decompositions

PLAIN: tuple[Form, ...] = ("grid_sample", "gather")
HAS_SYMBOLIC = hasattr(torch.onnx, "ops")


class Called(nn.Module):
    def __init__(self, call: Any):
        super().__init__()
        self.call = call

    def forward(self, *tensors: Tensor) -> Tensor:
        found: Tensor = self.call(*tensors)
        return found


def exported(name: str, form: Form, given: Problem) -> tuple[torch.export.ExportedProgram, Sequence[Tensor], Tensor]:
    """The program, its inputs, and what it should give."""
    call, tensors = function(name, given)
    program = torch.export.export(Called(call), tuple(tensors), strict=False)
    return program.run_decompositions(decompositions(form)), tensors, call(*tensors)


def own_operators(program: torch.export.ExportedProgram) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if str(node.target).startswith("caffdet")]


def in_onnx_runtime(program: torch.export.ExportedProgram, tensors: Sequence[Tensor]) -> list[np.ndarray]:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = torch.onnx.export(program, dynamo=True, verbose=False).model_proto.SerializeToString()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {put.name: each.numpy() for put, each in zip(session.get_inputs(), tensors, strict=True)})


@pytest.mark.parametrize("form", PLAIN)
@pytest.mark.parametrize("name", CALLS)
def test_taken_apart_and_in_onnx_they_give_the_same(name, form):
    program, tensors, expected = exported(name, form, prepared())
    assert not own_operators(program)
    agree([program.module()(*tensors)], [expected])
    agree([torch.from_numpy(in_onnx_runtime(program, tensors)[0])], [expected])


def test_both_forms_of_sampling_agree_on_and_far_off_the_map():
    level = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    u = torch.tensor([-1e30, -0.3, -0.5 / 7, 0.0, 0.5 / 7, 0.31, 1.0, 1 + 0.5 / 7, 1.2, 1e30], dtype=torch.float64)
    grid = 2 * torch.stack(torch.meshgrid(u, u, indexing="ij"), -1).expand(2, -1, -1, -1) - 1
    torch.testing.assert_close(
        reference.sample_by_index(level, grid), reference.sample(level, grid), rtol=0, atol=1e-12
    )


def test_a_pixel_that_is_not_sampled_does_not_reach_the_gathered_form():
    level = torch.full((1, 1, 3, 3), torch.inf)
    far = torch.tensor([[-1.7, -1.7], [torch.nan, 0.0]]).view(1, 1, 2, 2)
    assert reference.sample_by_index(level, far).eq(0).all()


@pytest.mark.parametrize("form", PLAIN)
def test_a_location_that_is_no_number_gives_none_in_both_forms(form):
    given = prepared()
    given.locations[0, 0, 0, 0, 0] = torch.nan
    program, tensors, expected = exported("msda", form, given)
    found = program.module()(*tensors)
    assert found.isnan().any()
    assert torch.equal(found.isnan(), expected.isnan())


@pytest.mark.skipif(not HAS_SYMBOLIC, reason="torch.onnx.ops came with torch 2.8")
@pytest.mark.parametrize("name", ["msda", "msda_fused"])
def test_tensorrt_gets_a_node_of_its_own(name):
    pytest.importorskip("onnxscript")
    given = prepared()
    program, _, _ = exported(name, "tensorrt", given)
    nodes = [node for node in torch.onnx.export(program, dynamo=True, verbose=False).model.graph if node.domain]
    assert [(node.domain, node.op_type) for node in nodes] == [("trt.plugins", "MultiscaleDeformableAttnPlugin_TRT")]
    batch, queries, heads, _, _ = given.locations.shape
    levels, points = len(given.sizes), given.points[0]
    shapes = [tuple(put.shape.numpy()) for put in nodes[0].inputs]
    assert shapes == [
        tuple(given.value.shape),
        (levels, 2),
        (levels,),
        (batch, queries, heads, levels, points, 2),
        (batch, queries, heads, levels, points),
    ]
    assert tuple(nodes[0].outputs[0].shape.numpy()) == (batch, queries, heads, given.value.shape[-1])


@pytest.mark.skipif(not HAS_SYMBOLIC, reason="torch.onnx.ops came with torch 2.8")
def test_tensorrt_has_one_number_of_points():
    with pytest.raises(ConfigError, match="same number of points on every level"):
        exported("msda", "tensorrt", prepared(points=(2, 3, 1)))


def test_an_unknown_form_is_told():
    with pytest.raises(ConfigError, match="must be one of grid_sample, gather, tensorrt"):
        decompositions("scatter")  # type: ignore[arg-type]


class Plain(nn.Module):
    """A detector as a function of pixels."""

    def __init__(self, detector: nn.Module, batch: Any):
        super().__init__()
        self.detector, self.batch = detector, batch

    def forward(self, *pixels: Tensor) -> tuple[Tensor, Tensor]:
        spectra = tuple(each._replace(pixels=given) for each, given in zip(self.batch.spectra, pixels, strict=True))
        found = self.detector(self.batch._replace(spectra=spectra)).matching
        return found.logits[-1], found.boxes[-1]


@pytest.mark.parametrize("settings", [tiny_settings(), tiny_pair_settings()], ids=["single", "pair"])
def test_a_whole_detector_in_onnx_runtime(settings):
    torch.manual_seed(0)
    detector = tiny_detector(settings).eval().requires_grad_(False)
    batch = tiny_batch([(64, 96)], spectra=len(settings.spectra))
    # Scores that are nearly equal have no order: every query of both takes the same tokens.
    detector.selection.choose = lambda scores: torch.arange(8).expand(len(scores), -1)
    pixels = tuple(each.pixels for each in batch.spectra)
    with torch.no_grad():
        expected = Plain(detector, batch)(*pixels)
        program = torch.export.export(Plain(detector, batch), pixels, strict=False).run_decompositions(
            decompositions("grid_sample")
        )
    for found, one in zip(in_onnx_runtime(program, pixels), expected, strict=True):
        np.testing.assert_allclose(found, one.numpy(), rtol=0, atol=1e-4)
