"""The native operators on a GPU, against their definition in float64; they are compiled by NVRTC at the first call."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from kernels.conftest import Problem, problem
from torch import Tensor

from caffdet_cli.kernels import choice, reference
from caffdet_cli.kernels.operators import kda, msda, msda_fused
from caffdet_cli.kernels.selfcheck import largest_error

pytestmark = pytest.mark.gpu

DEVICE = torch.device("cuda")
TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
OPERATORS = ("msda", "fused points", "fused boxes", "kda", "kda of keys")
SIZES, POINTS = ((9, 13), (5, 7), (1, 3)), (4, 5, 3)


@pytest.fixture(autouse=True)
def native() -> Iterator[choice.Native]:
    found = choice.look(DEVICE)
    assert found.native is not None, found.reason
    with choice.implementation("native"):
        yield found.native


@contextmanager
def deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def inputs_of(operator: str, dtype: torch.dtype, channels: int = 32) -> list[Tensor]:
    """On the CPU, in the types the operator takes."""
    given = problem(SIZES, POINTS, heads=4, channels=channels, queries=70)
    exact = torch.promote_types(dtype, torch.float32)
    if operator.startswith("fused"):
        random = torch.Generator().manual_seed(1)
        corner = 0.1 + 0.8 * torch.rand(2, 70, 3, 2, generator=random, dtype=torch.float64)
        sides = 0.2 + torch.rand(2, 70, 3, 2, generator=random, dtype=torch.float64)
        references = torch.cat([corner, sides], -1) if operator == "fused boxes" else corner
        offsets = torch.randn(given.locations.shape, generator=random, dtype=torch.float64)
        return [given.value.to(dtype), references.to(exact), offsets.to(exact), given.weights.to(dtype)]
    given = given.to(dtype)
    if operator == "msda":
        return [given.value, given.locations, given.weights]
    return [given.query, given.value, given.locations, *([given.key] if operator == "kda of keys" else [])]


def call(operator: str, inputs: list[Tensor]) -> Tensor:
    if operator == "msda":
        return msda(inputs[0], SIZES, *inputs[1:], points_per_level=POINTS)
    if operator.startswith("fused"):
        return msda_fused(inputs[0], SIZES, *inputs[1:], points_per_level=POINTS)
    key = inputs[3] if len(inputs) == 4 else None
    return kda(inputs[0], inputs[1], SIZES, inputs[2], key=key, points_per_level=POINTS)


def with_gradients(operator: str, inputs: list[Tensor], grad: Tensor) -> list[Tensor]:
    """Output, then the gradient of each input."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    output = call(operator, leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, grad.to(output))]


def gradient_like_output(channels: int = 32) -> Tensor:
    return torch.randn(2, 70, 4 * channels, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_the_self_check_passes_in_both_modes(native):
    assert largest_error(native, DEVICE) < 1e-4
    with deterministic():
        assert largest_error(native, DEVICE) < 1e-4


@pytest.mark.parametrize("exactly", [False, True], ids=["floats", "deterministic"])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("channels", [32, 30])
@pytest.mark.parametrize("operator", OPERATORS)
def test_agrees_with_the_definition_in_float64(operator, channels, dtype, exactly):
    inputs, grad = inputs_of(operator, dtype, channels), gradient_like_output(channels).to(dtype)
    with choice.implementation("reference"):
        wanted = with_gradients(operator, [each.double() for each in inputs], grad.double())
    if exactly:
        with deterministic():
            found = with_gradients(operator, [each.to(DEVICE) for each in inputs], grad.to(DEVICE))
    else:
        found = with_gradients(operator, [each.to(DEVICE) for each in inputs], grad.to(DEVICE))
    limit = 1e-5 if dtype != torch.float64 else 1e-9 if exactly else 1e-11
    for mine, other, given in zip(found, wanted, [grad, *inputs], strict=True):
        last_bit = torch.finfo(given.dtype).eps if given.dtype.itemsize == 2 else 0
        assert mine.dtype == given.dtype
        away = (mine.cpu().double() - other).abs()
        assert (away <= 3 * limit * other.abs().max() + last_bit * other.abs()).all()


@pytest.mark.parametrize("operator", OPERATORS)
def test_deterministic_mode_gives_the_same_bits_every_time(operator):
    inputs, grad = [each.to(DEVICE) for each in inputs_of(operator, torch.float32)], gradient_like_output().to(DEVICE)
    # Of many queries on a few pixels, or the order would hardly matter.
    inputs = [each.repeat_interleave(40, 1) if each.shape[1] == 70 else each for each in inputs]
    with deterministic():
        runs = [with_gradients(operator, inputs, grad.repeat_interleave(40, 1)) for _ in range(3)]
    for first, *others in zip(*runs, strict=True):
        assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_cuda_graph_replays_forward_and_backward(operator):
    inputs, grad = [each.to(DEVICE) for each in inputs_of(operator, torch.float32)], gradient_like_output().to(DEVICE)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        with_gradients(operator, inputs, grad)  # compiles and loads, which must not happen during capture
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        recorded = with_gradients(operator, inputs, grad)
    inputs[0].mul_(0.5)
    graph.replay()
    wanted = with_gradients(operator, inputs, grad)
    for mine, other in zip(recorded, wanted, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_leaves_locations_and_takes_values_as_they_come(dtype):
    given: Problem = problem(SIZES, POINTS, heads=4, channels=32, queries=70).to(torch.float32)
    value, locations, weights = (each.to(DEVICE) for each in (given.value, given.locations, given.weights))
    with torch.autocast("cuda", dtype):
        found = msda(value.to(dtype), SIZES, locations, weights, points_per_level=POINTS)
    assert found.dtype == dtype
    exact = reference.msda(value.to(dtype).double(), SIZES, locations.double(), weights.double(), POINTS)
    torch.testing.assert_close(found, exact.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-4)


def test_another_stream_is_waited_for_by_torch_alone():
    """Kernels run on the current stream: what is queued there before is seen."""
    given = problem(SIZES, POINTS, heads=4, channels=32, queries=70).to(torch.float32)
    value, locations, weights = (each.to(DEVICE) for each in (given.value, given.locations, given.weights))
    wanted = msda(value, SIZES, locations, weights, points_per_level=POINTS)
    torch.cuda.synchronize()
    late = torch.zeros_like(value)
    with torch.cuda.stream(torch.cuda.Stream()) as _:
        torch.cuda._sleep(50_000_000)
        late.copy_(value)
        found = msda(late, SIZES, locations, weights, points_per_level=POINTS)
        torch.cuda.current_stream().synchronize()
    assert torch.equal(found, wanted)
