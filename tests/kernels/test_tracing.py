"""The operators inside PyTorch's machinery: opcheck, torch.compile, torch.export, autocast."""

from collections.abc import Callable, Sequence

import pytest
import torch
from kernels.conftest import Problem, problem
from torch import Tensor, nn

from caffdet_cli.kernels.operators import kda, msda, msda_fused

BACKENDS = ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]
CALLS = ("msda", "kda", "kda with a key", "msda_fused")


def prepared(**more: object) -> Problem:
    given = problem(**more).to(torch.float32)
    return given._replace(locations=given.locations.clamp(-0.2, 1.2))


def references(given: Problem) -> Tensor:
    """(N, Q, L, 2)"""
    return torch.full((*given.locations.shape[:2], len(given.sizes), 2), 0.4, dtype=given.locations.dtype)


def function(name: str, given: Problem) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """A function of tensors only, and its inputs."""
    sizes, points = given.sizes, given.points

    def call_msda(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return msda(value * 2, sizes, locations, weights.sigmoid(), points_per_level=points) + 1

    def call_kda(query: Tensor, value: Tensor, locations: Tensor, key: Tensor | None = None) -> Tensor:
        return kda(query * 2, value, sizes, locations, key=key, points_per_level=points) + 1

    def call_fused(value: Tensor, around: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        return msda_fused(value * 2, sizes, around, offsets, logits, points_per_level=points) + 1

    match name:
        case "msda":
            return call_msda, [given.value, given.locations, given.weights]
        case "kda":
            return call_kda, [given.query, given.value, given.locations]
        case "kda with a key":
            return call_kda, [given.query, given.value, given.locations, given.key]
    return call_fused, [given.value, references(given), given.locations, given.weights]


def trained(call: Callable[..., Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Output and gradients."""
    leaves = [each.detach().clone().requires_grad_() for each in tensors]
    output = call(*leaves)
    return [output.detach(), *torch.autograd.grad(output.sin().sum(), leaves)]


def agree(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def registered(name: str, given: Problem) -> tuple[object, ...]:
    """What `torch.ops.caffdet.<name>` takes."""
    flat = [side for size in given.sizes for side in size]
    leaves = [each.clone().requires_grad_(not name.endswith("backward")) for each in given[:3]]
    query, key, value = leaves
    locations, weights = given.locations.clone().requires_grad_(query.requires_grad), given.weights
    grad = torch.ones(*given.locations.shape[:2], value.shape[2] * value.shape[3])
    inputs: dict[str, tuple[object, ...]] = {
        "msda": (value, flat, locations, weights, given.points),
        "msda_fused": (value, flat, references(given), locations, weights, given.points),
        "kda": (query, key, value, flat, locations, 0.5, given.points),
        "kda without a key": (query, None, value, flat, locations, 0.5, given.points),
    }
    base = name.removesuffix(" backward")
    return (grad, *inputs[base]) if name.endswith("backward") else inputs[base]


@pytest.mark.parametrize("backward", ["", " backward"], ids=["forward", "backward"])
@pytest.mark.parametrize("name", ["msda", "msda_fused", "kda", "kda without a key"])
def test_opcheck(backend, name, backward):
    operator = getattr(torch.ops.caffdet, name.split()[0] + backward.replace(" ", "_"))
    done = torch.library.opcheck(operator.default, registered(name + backward, prepared()))
    assert set(done.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", CALLS)
def test_traced_in_one_piece_forward_and_backward(backend, name):
    torch._dynamo.reset()
    call, tensors = function(name, prepared())
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    agree(trained(compiled, tensors), trained(call, tensors))


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_compiled_in_one_piece_forward_and_backward(backend, name):
    torch._dynamo.reset()
    call, tensors = function(name, prepared())
    compiled = torch.compile(call, fullgraph=True)
    agree(trained(compiled, tensors), trained(call, tensors))


@pytest.mark.parametrize("compiler", BACKENDS)
@pytest.mark.parametrize("name", ["msda", "kda", "msda_fused"])
def test_one_compiled_program_serves_any_batch_and_any_number_of_queries(native, name, compiler):
    torch._dynamo.reset()
    call, tensors = function(name, prepared(batch=4, queries=11))  # sizes that nothing else has: torch ties equal ones
    compiled = torch.compile(call, fullgraph=True, backend=compiler, dynamic=True)
    agree(trained(compiled, tensors), trained(call, tensors))
    with torch.compiler.set_stance("fail_on_recompile"):
        for batch, queries in ((5, 7), (3, 40)):
            tensors = function(name, prepared(batch=batch, queries=queries))[1]
            agree(trained(compiled, tensors), trained(call, tensors))


class Layer(nn.Module):
    """An operator as a module."""

    def __init__(self, call: Callable[..., Tensor]):
        super().__init__()
        self.call = call

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.call(*tensors)


@pytest.mark.parametrize("name", CALLS)
def test_exported_saved_and_loaded(backend, name, tmp_path):
    call, tensors = function(name, prepared())
    queries, pictures = torch.export.Dim("queries", min=2, max=4096), torch.export.Dim("pictures", min=2, max=64)
    dynamic = tuple(
        {0: pictures} if each.shape[1] == given_tokens(tensors) else {0: pictures, 1: queries} for each in tensors
    )
    program = torch.export.export(Layer(call), tuple(tensors), dynamic_shapes=(dynamic,))
    torch.export.save(program, tmp_path / "program.pt2")
    loaded = torch.export.load(tmp_path / "program.pt2").module()
    assert any("caffdet" in str(node.target) for node in program.graph.nodes)
    for batch, count in ((2, 5), (3, 17)):
        others = function(name, prepared(batch=batch, queries=count))[1]
        agree([loaded(*others)], [call(*others)])


def given_tokens(tensors: Sequence[Tensor]) -> int:
    return max(each.shape[1] for each in tensors)


class Attention(nn.Module):
    """What a detector does around the operator."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.weights = nn.Linear(16, 16), nn.Linear(16, 12)

    def forward(self, tokens: Tensor, queries: Tensor, locations: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        value = self.value(tokens).unflatten(-1, (2, 8))
        weights = self.weights(queries).unflatten(-1, (2, 6)).softmax(-1)
        return msda(value, sizes, locations, weights)


def test_autocast_keeps_values_in_bfloat16_and_locations_in_float32(backend):
    given = prepared()
    torch.manual_seed(0)
    attention = Attention()
    tokens = torch.randn(2, given.value.shape[1], 16)
    queries, locations = torch.randn(2, 5, 16), given.locations.clone().requires_grad_()
    expected = attention(tokens, queries, locations, given.sizes)
    with torch.autocast("cpu", torch.bfloat16):
        found = attention(tokens, queries, locations, given.sizes)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    found.float().square().sum().backward()
    assert locations.grad is not None
    assert locations.grad.dtype == torch.float32
    assert attention.value.weight.grad is not None
    assert attention.value.weight.grad.abs().sum() > 0
