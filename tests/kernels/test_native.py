"""The native operators on the CPU against their definition: types, sizes, places, layouts, threads, odd numbers."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from kernels.conftest import Problem, problem
from torch import Tensor

from caffdet_cli.kernels import choice
from caffdet_cli.kernels.operators import kda, msda, msda_fused

OPS = ("msda", "kda", "kda with a key", "fused with points", "fused with boxes")
LEVELS = [(9, 13), (5, 7), (3, 3), (1, 2)]
HALVES = (torch.float16, torch.bfloat16)

Inputs = dict[str, Tensor]


def inputs_of(op: str, given: Problem) -> Inputs:
    """What the operator takes, the gradients in mind; of the problem's type."""
    if op == "msda":
        return {"value": given.value, "locations": given.locations, "weights": given.weights}
    if op.startswith("kda"):
        key = {"key": given.key} if op == "kda with a key" else {}
        return {"query": given.query, "value": given.value, "locations": given.locations} | key
    references, offsets = raw(given, boxes=op == "fused with boxes")
    return {"value": given.value, "references": references, "offsets": offsets, "logits": 3 * given.weights}


def raw(given: Problem, *, boxes: bool) -> tuple[Tensor, Tensor]:
    """References and offsets that lead to the problem's locations, away from the kinks as these are."""
    random = torch.Generator().manual_seed(7)
    batch, queries = given.locations.shape[:2]
    exact = given.locations.dtype
    references = torch.rand(batch, queries, len(given.sizes), 4 if boxes else 2, generator=random, dtype=torch.float64)
    references = (0.2 + 0.6 * references).float().to(exact)  # the same numbers in every type
    around = references.repeat_interleave(torch.tensor(given.points), dim=2).unsqueeze(2)  # (N, Q, 1, K, 2 or 4)
    away = given.locations - around[..., :2]
    counts = torch.tensor(given.points).repeat_interleave(torch.tensor(given.points))
    if boxes:
        return references, (away * 2 * counts[:, None] / around[..., 2:]).float().to(exact)
    unit = torch.tensor([(width, height) for height, width in given.sizes], dtype=exact)
    return references, (away * unit.repeat_interleave(torch.tensor(given.points), dim=0)).float().to(exact)


def call(op: str, given: Problem, inputs: Inputs) -> Tensor:
    more = {"points_per_level": given.points}
    if op == "msda":
        return msda(inputs["value"], given.sizes, inputs["locations"], inputs["weights"], **more)
    if op.startswith("kda"):
        value, locations = inputs["value"], inputs["locations"]
        return kda(inputs["query"], value, given.sizes, locations, key=inputs.get("key"), **more)
    return msda_fused(inputs["value"], given.sizes, inputs["references"], inputs["offsets"], inputs["logits"], **more)


def results(op: str, given: Problem, inputs: Inputs | None = None) -> dict[str, Tensor]:
    """The output and the gradient of every input, for a fixed gradient of the output."""
    leaves = {name: each.detach().requires_grad_() for name, each in (inputs or inputs_of(op, given)).items()}
    output = call(op, given, leaves)
    random = torch.Generator().manual_seed(11)
    pattern = torch.randn(output.shape, generator=random).bfloat16().to(output.dtype)  # the same in every type
    gradients = torch.autograd.grad(output, list(leaves.values()), pattern)
    return {"output": output.detach()} | dict(zip(leaves, gradients, strict=True))


def by_definition(op: str, given: Problem, inputs: Inputs | None = None) -> dict[str, Tensor]:
    with choice.implementation("reference"):
        return results(op, given, inputs)


def agree(op: str, given: Problem) -> None:
    """In float64, to the last digits."""
    found, expected = results(op, given), by_definition(op, given)
    for name, tensor in found.items():
        torch.testing.assert_close(
            tensor, expected[name], rtol=1e-9, atol=1e-10, msg=lambda text, n=name: f"{n}: {text}"
        )


# Types


@pytest.mark.parametrize("op", OPS)
def test_float32_is_close_to_float64(native, op):
    given = problem(LEVELS, (4, 4, 4, 4), heads=2, channels=32, queries=60).to(torch.float32)
    found, expected = results(op, given), by_definition(op, given, in_double(inputs_of(op, given)))
    torch.testing.assert_close(found["output"].double(), expected["output"], atol=3e-5, rtol=0)
    for name in inputs_of(op, given):
        error = (found[name].double() - expected[name]).abs().amax()
        assert error <= 1e-5 * expected[name].abs().amax(), name


def in_double(inputs: Inputs) -> Inputs:
    return {name: each.double() for name, each in inputs.items()}


@pytest.mark.parametrize("channels", [32, 24])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_half_types_are_float32_rounded_once(native, op, dtype, channels):
    given = problem(LEVELS, (4, 4, 4, 4), heads=2, channels=channels, queries=60).to(dtype)
    inputs = inputs_of(op, given)
    found = results(op, given)
    expected = by_definition(op, given, {name: each.float() for name, each in inputs.items()})
    for name, tensor in found.items():
        assert tensor.dtype == (dtype if name == "output" else inputs[name].dtype)
        if tensor.dtype == torch.float32:
            error = (tensor - expected[name]).abs().amax()
            assert error <= 1e-5 * expected[name].abs().amax(), name
        else:
            steps = steps_apart(tensor, expected[name])
            assert (steps <= 1).double().mean() >= 0.999, name
            assert steps.amax() <= 2, name


def steps_apart(found: Tensor, expected: Tensor) -> Tensor:
    """Differences in units of the last place of the rounded expected number; 0 where float32 would not know better."""
    near = expected.to(found.dtype)
    step = near.abs().float() * torch.finfo(found.dtype).eps
    step = torch.exp2(torch.floor(torch.log2(step.clamp_min(1e-30))))  # the last place is a power of two
    apart = (found.float() - near.float()).abs()
    accuracy = 3e-6 * expected.abs().amax()  # of sums in float32
    return torch.where(apart <= accuracy, 0, apart / step.clamp_min(torch.finfo(found.dtype).smallest_normal * 2**-10))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("op", ["msda", "fused with points"])
def test_half_values_take_weights_in_float32(native, op, dtype):
    given = problem(LEVELS, (4, 4, 4, 4), heads=2, channels=32, queries=30).to(dtype)
    name = "weights" if op == "msda" else "logits"
    inputs = inputs_of(op, given)
    mixed = inputs | {name: inputs[name].float()}
    found, expected = results(op, given, mixed), results(op, given, inputs)
    assert found[name].dtype == torch.float32
    for each in found:
        assert torch.equal(found[each].to(expected[each].dtype), expected[each]), each


# Sizes


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    "shape",
    [
        {"sizes": [(1, 1)], "points": (3,)},
        {"sizes": [(1, 9)], "points": (4,)},
        {"sizes": [(7, 1)], "points": (4,)},
        {"sizes": [(13, 11), (1, 5), (2, 1)], "points": (3, 1, 2)},
        {"heads": 1},
        {"heads": 5, "channels": 16},
        {"queries": 1},
        {"batch": 1, "queries": 131},
        {"sizes": [(6, 5), (3, 4)], "points": (40, 31)},
        {"sizes": [(6, 5)], "points": (200,), "channels": 32},
        {"channels": 1},
        {"channels": 5},
        {"channels": 33},
        {"channels": 64},
        {"channels": 257},
    ],
    ids=lambda shape: " ".join(f"{name}={value}" for name, value in shape.items()),
)
def test_odd_sizes(native, op, shape):
    agree(op, problem(**shape))
    agree_in_float32(op, problem(**shape).to(torch.float32))


def agree_in_float32(op: str, given: Problem) -> None:
    """The other templates: those of float32."""
    found, expected = results(op, given), by_definition(op, given, in_double(inputs_of(op, given)))
    for name, tensor in found.items():
        limit = 3e-5 * max(1.0, float(expected[name].abs().amax()))
        assert (tensor.double() - expected[name]).abs().amax() <= limit, name


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("shape", [{"batch": 0}, {"queries": 0}], ids=["no pictures", "no queries"])
def test_nothing_in_nothing_out(backend, op, shape):
    given = problem(**shape)
    found = results(op, given)
    assert found["output"].shape == (given.locations.shape[0], given.locations.shape[1], 16)
    for name, tensor in inputs_of(op, given).items():
        assert found[name].shape == tensor.shape
        assert not found[name].any()


# Places


def places(kind: str, height: int, width: int) -> Tensor:
    """(K, 2)"""
    x, y = 1 / width, 1 / height
    listed = {
        "borders": [(0, 0), (1, 1), (0, 1), (1, 0), (0.5, 0), (0, 0.5), (1, 0.5), (0.5, 1)],
        "half a pixel outside": [(-x / 2, 0.5), (1 + x / 2, 0.5), (0.5, -y / 2), (0.5, 1 + y / 2)],
        "partly outside": [(-x / 4, -y / 4), (1 + x / 4, -y / 4), (-x / 4, 1 + y / 4), (1 + x / 4, 1 + y / 4)],
        "pixel centres": [(x / 2, y / 2), (1.5 * x, y / 2), (1 - x / 2, 1 - y / 2), (x / 2, 1 - y / 2)],
        "far outside": [(1e30, 0.5), (-1e30, 0.5), (0.5, 1e30), (0.5, -1e30), (1e9, 1e9), (3, -3), (-1e30, 1e30)],
        "smaller than any pixel": [(1e-38, 1e-38), (-1e-38, 0.5), (1 + 1e-7, 0.5), (-0.0, -0.0)],
    }
    return torch.tensor(listed[kind], dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("size", [(4, 8), (1, 1), (2, 16)])
@pytest.mark.parametrize(
    "kind",
    [
        "borders",
        "half a pixel outside",
        "partly outside",
        "pixel centres",
        "far outside",
        "smaller than any pixel",
    ],
)
def test_places_where_corners_are_missing(native, kind, size, dtype):
    """Sizes are powers of two: both forms then find the same pixels. Gradients of places jump at pixel centres."""
    listed = places(kind, *size)
    given = problem([size], (len(listed),), queries=3)
    given = given._replace(locations=listed.expand_as(given.locations)).to(dtype)
    for op in OPS[:3]:
        found, expected = results(op, given), by_definition(op, given)
        for name in found.keys() - {"locations"}:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)
        assert found["locations"].isfinite().all()
        if kind == "far outside":
            assert not found["locations"].any()
            assert not found["output"].any()


ODD = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("op", "name", "number"),
    [
        *((op, "locations", number) for op in OPS[:3] for number in ODD),
        *((op, "offsets", number) for op in OPS[3:] for number in ODD),
        *(("msda", "weights", number) for number in ODD),
        *(("kda", "query", number) for number in ODD),
        *(("fused with points", "logits", number) for number in (math.nan, math.inf)),
    ],
)
def test_a_number_that_is_not_finite_spoils_its_query_and_head_and_nothing_else(backend, op, name, number, dtype):
    given = problem(channels=32).to(dtype)
    inputs = inputs_of(op, given)
    clean = call(op, given, inputs).unflatten(-1, (2, 32))
    spoilt = inputs[name].clone()
    spoilt[1, 3, 1].view(-1)[0] = number
    found = call(op, given, inputs | {name: spoilt}).unflatten(-1, (2, 32))
    hit = torch.zeros(found.shape[:3], dtype=torch.bool)
    hit[1, 3, 1] = True
    assert not found[hit].isfinite().any()
    assert torch.equal(found[~hit], clean[~hit])


def test_a_logit_of_minus_infinity_is_a_weight_of_0(backend):
    given = problem(channels=32)
    inputs = inputs_of("fused with points", given)
    logits = inputs["logits"].clone()
    logits[1, 3, 1, 2] = -math.inf
    found = call("fused with points", given, inputs | {"logits": logits})
    expected = call("msda", given, inputs_of("msda", given) | {"weights": logits.softmax(-1)})
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("number", ODD, ids=str)
@pytest.mark.parametrize("numbers", [2, 4])
def test_a_reference_that_is_not_finite_spoils_its_query_in_every_head(backend, number, numbers):
    op = "fused with points" if numbers == 2 else "fused with boxes"
    given = problem(channels=32)
    inputs = inputs_of(op, given)
    clean, references = call(op, given, inputs), inputs["references"].clone()
    references[1, 3, 1, numbers - 1] = number
    found = call(op, given, inputs | {"references": references})
    hit = torch.zeros(found.shape[:2], dtype=torch.bool)
    hit[1, 3] = True
    assert not found[hit].isfinite().any()
    assert torch.equal(found[~hit], clean[~hit])


@pytest.mark.parametrize("op", OPS)
def test_backward_takes_numbers_that_are_not_finite(native, op):
    given = problem(channels=32)
    inputs = inputs_of(op, given)
    name = "offsets" if op.startswith("fused") else "locations"
    for number in ODD:
        spoilt = inputs[name].clone()
        spoilt[1, 3, 1, 2] = number
        found = results(op, given, inputs | {name: spoilt})
        untouched = torch.ones(found[name].shape[:3], dtype=torch.bool)
        untouched[1, 3, 1] = False
        assert found[name][untouched].isfinite().all()
        assert found["value"][0].isfinite().all()


@pytest.mark.parametrize("number", ODD, ids=str)
@pytest.mark.parametrize("channels", [8, 32])
@pytest.mark.parametrize("op", OPS)
def test_pixels_that_no_point_reads_are_never_touched(backend, op, number, channels):
    given = problem([(9, 13), (5, 7), (1, 6)], (2, 1, 2), heads=2, channels=channels, queries=4)
    inputs = inputs_of(op, given)
    clean = results(op, given, inputs)
    unread = clean["value"] == 0
    assert 0.1 < unread.double().mean() < 0.95
    planted = inputs | {name: inputs[name].masked_fill(unread, number) for name in ("value", "key") if name in inputs}
    found = results(op, given, planted)
    for name, tensor in found.items():
        assert torch.equal(tensor, clean[name]), name


# Layouts


def heads_first(value: Tensor) -> Tensor:
    return value.transpose(1, 2).contiguous().transpose(1, 2)


def channels_first(value: Tensor) -> Tensor:
    return value.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def part_of_more(value: Tensor) -> Tensor:
    return torch.cat([value, value], dim=-1)[..., : value.shape[-1]]


@pytest.mark.parametrize("layout", [heads_first, channels_first, part_of_more])
@pytest.mark.parametrize("op", OPS)
def test_layouts_give_the_same_bits(native, op, layout):
    given = problem(LEVELS, (2, 2, 2, 2), heads=2, channels=32).to(torch.float32)
    inputs = inputs_of(op, given)
    expected = results(op, given, inputs)
    moved = {name: layout(each) if each.dim() == 4 else each for name, each in inputs.items()}
    assert not moved["value"].is_contiguous()
    for name, tensor in results(op, given, moved).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("op", OPS)
def test_sliced_inputs_give_the_same_bits(native, op):
    given = problem(channels=32).to(torch.float32)
    inputs = inputs_of(op, given)
    expected = results(op, given, inputs)
    sliced = {name: torch.stack([each, each], dim=-1)[..., 0] for name, each in inputs.items()}
    assert not any(each.is_contiguous() for each in sliced.values())
    for name, tensor in results(op, given, sliced).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("op", OPS)
def test_one_picture_may_stand_for_the_whole_batch(native, op):
    given = problem(channels=32, batch=3).to(torch.float32)
    inputs = inputs_of(op, given)
    one = {name: inputs[name][:1] for name in ("value", "key") if name in inputs}
    expected = results(op, given, inputs | {name: each.repeat(3, 1, 1, 1) for name, each in one.items()})
    found = results(op, given, inputs | {name: each.expand(3, -1, -1, -1) for name, each in one.items()})
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def test_batches_of_more_than_2_to_the_31_elements_that_share_one_picture(native):
    pictures, height, width = 1100, 64, 64
    value = torch.randn(1, height * width, 8, 64, generator=torch.Generator().manual_seed(0))
    assert pictures * value.numel() > 2**31
    locations = torch.rand(pictures, 1, 8, 2, 2, generator=torch.Generator().manual_seed(1))
    weights = torch.rand(pictures, 1, 8, 2, generator=torch.Generator().manual_seed(2))
    found = msda(value.expand(pictures, -1, -1, -1), [(height, width)], locations, weights)
    expected = msda(value, [(height, width)], locations.transpose(0, 1), weights.transpose(0, 1))
    assert torch.equal(found.transpose(0, 1), expected)


def test_offsets_of_more_than_2_to_the_31_elements(native):
    """Memory is taken only where it is written to: at the one pixel that is read."""
    pictures, height, width = 260, 128, 128
    value = torch.empty(pictures, height * width, 8, 64, dtype=torch.bfloat16)
    assert (pictures - 1) * height * width * 8 * 64 > 2**31
    value[-1, 200] = 3
    centre = torch.tensor([(200 % width + 0.5) / width, (200 // width + 0.5) / height])
    locations = torch.full((pictures, 1, 8, 1, 2), 9.0)
    locations[-1] = centre
    found = msda(value, [(height, width)], locations, torch.ones(pictures, 1, 8, 1))
    assert (found[-1] == 3).all()
    assert not found[:-1].any()


# Threads


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("op", OPS)
def test_any_number_of_threads_gives_the_same_bits(native, threads, op, dtype):
    given = problem(LEVELS, (4, 4, 4, 4), heads=4, channels=32, queries=150).to(dtype)
    found = []
    for count in (1, 2, 4):
        threads(count)
        found.append(results(op, given))
    for other in found[1:]:
        for name, tensor in found[0].items():
            assert torch.equal(tensor, other[name]), name


# Second derivatives


@pytest.mark.parametrize(
    ("op", "word"), [("kda", "kda"), ("kda with a key", "kda"), ("fused with boxes", "msda_fused")]
)
def test_a_second_backward_is_refused(native, op, word):
    given = problem(queries=2, batch=1)
    inputs = {name: each.requires_grad_() for name, each in inputs_of(op, given).items()}
    found = call(op, given, inputs)
    with pytest.raises(RuntimeError, match=f"{word}: double backward is not supported; set CAFFDET_OPS=reference"):
        torch.autograd.grad(found.square().sum(), inputs["value"], create_graph=True)
