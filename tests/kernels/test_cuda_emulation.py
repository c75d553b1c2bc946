"""The CUDA sources, compiled for the CPU and run thread by thread, against float64 formulas.

Shows that the mathematics, the indices and the shuffles are right. Says nothing about speed or about the few
instructions of PTX, which the emulation replaces.
"""

import ctypes
import mmap
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cuda_emulation import emulator as emulated
from cuda_emulation import yardstick
from cuda_emulation.cases import (
    EVEN,
    LONG,
    RAGGED,
    assert_output,
    case,
    compare_fused,
    compare_kda,
    compare_msda,
)
from cuda_emulation.emulator import Emulator, Grid, Variant, ints, longs
from cuda_emulation.operators import Operators
from torch import Tensor

pytestmark = pytest.mark.skipif(emulated.compiler() is None, reason="no C++ compiler found (install g++ or clang)")

FLOAT = Variant(torch.float32, 32)
SEPARATE = replace(FLOAT, separate_key=True)
ODD = Variant(torch.float64, 3)  # three of four lanes hold a channel


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Emulator(tmp_path_factory.mktemp("cuda"))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("grid", [RAGGED, EVEN, LONG], ids=["ragged", "even", "70 points"])
def test_msda_agrees(emulator: Emulator, grid: Grid):
    compare_msda(emulator, FLOAT, case(FLOAT, grid), backward=(1, 2))


@pytest.mark.parametrize("queries", [1, 16, 17], ids=["one query", "full block", "one too many for a block"])
def test_blocks_that_are_partly_filled(emulator: Emulator, queries: int):
    assert FLOAT.pairs() == 16
    compare_msda(emulator, FLOAT, case(FLOAT, EVEN, batch=1, queries=queries, heads=1), backward=(1, 2))


def test_msda_in_float64(emulator: Emulator):
    compare_msda(emulator, ODD, case(ODD, RAGGED))


def test_more_channels_than_lanes_can_hold_at_once(emulator: Emulator):
    wide = Variant(torch.float32, 71)
    compare_msda(emulator, wide, case(wide, RAGGED))


@pytest.mark.parametrize("variant", [Variant(torch.bfloat16, 32, torch.float32), Variant(torch.float16, 6)])
def test_msda_in_half_types(emulator: Emulator, variant: Variant):
    compare_msda(emulator, variant, case(variant, RAGGED))


@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_msda_fused_agrees(emulator: Emulator, box: bool):
    compare_fused(emulator, FLOAT, case(FLOAT, RAGGED, box=box))


@pytest.mark.parametrize("variant", [FLOAT, SEPARATE], ids=["key is value", "separate key"])
def test_kda_agrees(emulator: Emulator, variant: Variant):
    compare_kda(emulator, variant, case(variant, RAGGED), backward=(1, 2))


def test_a_point_outside_keeps_its_share_of_the_softmax(emulator: Emulator):
    made = case(FLOAT, EVEN)
    made.locations[..., 0, :] = 5.0
    compare_kda(emulator, FLOAT, made)


def test_integer_sums_do_not_depend_on_the_order_of_the_blocks(emulator: Emulator):
    made = case(FLOAT, EVEN, queries=70)
    operators = Operators(emulator, FLOAT, EVEN, backward=2)
    runs = [
        replace(operators, seed=seed).msda_backward(made.value, made.locations, made.weights, made.gradient)
        for seed in (0, 1, 2)
    ]
    for first, *others in zip(*runs, strict=True):
        assert all(torch.equal(first, other) for other in others)
    floats = [
        replace(operators, backward=1, seed=seed).msda_backward(made.value, made.locations, made.weights, made.gradient)
        for seed in (0, 1)
    ]
    assert not torch.equal(floats[0][0], floats[1][0])  # or the order would not matter here anyway


def spoil(what: Tensor, number: float) -> None:
    """Overwrites one element of query 2, head 1 of picture 0."""
    what[0, 2, 1].view(-1)[3] = number


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["locations", "weights"])
def test_a_broken_location_or_weight_shows_where_it_belongs(emulator: Emulator, name: str, bad: float):
    made = case(FLOAT, EVEN)
    operators = Operators(emulator, FLOAT, EVEN)
    before = operators.msda(made.value, made.locations, made.weights)
    spoil(getattr(made, name), bad)
    after = operators.msda(made.value, made.locations, made.weights)
    changed = torch.zeros(after.shape[:3], dtype=torch.bool)
    changed[0, 2, 1] = True
    assert not after[changed].isfinite().any()
    assert torch.equal(after[~changed], before[~changed])
    value, places, shares = operators.msda_backward(made.value, made.locations, made.weights, made.gradient)
    assert not places[0, 2, 1].isfinite().all() or not shares[0, 2, 1].isfinite().all()
    assert places[~changed].isfinite().all()
    assert shares[~changed].isfinite().all()
    if name == "locations":  # the point reads nothing, so it writes nothing
        assert value.isfinite().all()


def test_a_broken_location_shows_in_kda(emulator: Emulator):
    made = case(FLOAT, EVEN)
    spoil(made.locations, torch.nan)
    output = Operators(emulator, FLOAT, EVEN).kda(made.query, None, made.value, made.locations, 1.0)
    assert output[0, 2, 1].isnan().all()
    assert output.isnan().sum() == FLOAT.channels


@pytest.mark.parametrize("far", [1e30, -1e30, 3e9])
def test_far_away_is_outside(emulator: Emulator, far: float):
    made = case(FLOAT, EVEN)
    made.locations[..., 1, 0] = far
    compare_msda(emulator, FLOAT, made)


def test_on_the_borders(emulator: Emulator):
    made = case(FLOAT, Grid(sizes=((3, 4),), counts=(8,)))
    edges = torch.tensor([-0.5 / 4, 0.0, 1.0, 1 + 0.5 / 4, 0.5, 1 - 1e-3, 1e-3, 0.125])
    made.locations[..., 0] = edges
    made.locations[..., 1] = edges.flip(0)
    output = Operators(emulator, FLOAT, made.grid).msda(made.value, made.locations, made.weights)
    exact = [tensor.double() for tensor in (made.value, made.locations, made.weights)]
    assert_output(output, yardstick.msda(exact[0], made.grid, *exact[1:]))


def test_pixels_that_no_point_samples_may_hold_anything(emulator: Emulator):
    made = case(FLOAT, Grid(sizes=((4, 4), (3, 3)), counts=(2, 2)))
    made.locations[:] = 0.01  # between the first pixel of each level and the border
    made.locations[..., 3, :] = -2.0
    made.value[:] = torch.inf
    made.value[:, [0, 16]] = 1.0
    floats = Operators(emulator, FLOAT, made.grid)
    assert floats.msda(made.value, made.locations, made.weights).isfinite().all()
    for by_floats, by_integers in zip(
        *[
            (
                *operators.msda_backward(made.value, made.locations, made.weights, made.gradient),
                *operators.kda_backward(made.query, None, made.value, made.locations, 1.0, made.gradient),
            )
            for operators in (floats, replace(floats, backward=2))
        ],
        strict=True,
    ):
        assert by_floats.isfinite().all()
        torch.testing.assert_close(by_integers, by_floats)


def test_integer_sums_do_not_hide_an_infinite_gradient(emulator: Emulator):
    made = case(FLOAT, EVEN)
    made.gradient[1, 0, 0, 5] = torch.inf
    operators = Operators(emulator, FLOAT, EVEN, backward=2)
    value, _, _ = operators.msda_backward(made.value, made.locations, made.weights, made.gradient)
    assert value.isnan().all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_integer_sums_fit_any_magnitude(emulator: Emulator, size: float):
    made = case(FLOAT, EVEN)
    operators = Operators(emulator, FLOAT, EVEN, backward=2)
    wanted = operators.msda_backward(made.value, made.locations, made.weights, made.gradient)[0]
    found = operators.msda_backward(made.value, made.locations, made.weights, made.gradient * size)[0]
    torch.testing.assert_close(found / size, wanted, rtol=1e-5, atol=1e-6)


def test_integer_sums_hold_the_worst_case(emulator: Emulator):
    """Every point of every query adds the largest possible number to the same pixel."""
    made = case(FLOAT, Grid(sizes=((1, 1),), counts=(8,)))
    for tensor, number in ((made.locations, 0.5), (made.weights, -3.0), (made.gradient, 7.0)):
        tensor.fill_(number)
    operators = Operators(emulator, FLOAT, made.grid, backward=2)
    value, _, _ = operators.msda_backward(made.value, made.locations, made.weights, made.gradient)
    assert (value == 5 * 8 * -3.0 * 7.0).all()
    operators = replace(operators, variant=SEPARATE)
    value = operators.kda_backward(made.query, made.key, made.value, made.locations, 1.0, made.gradient)[2]
    torch.testing.assert_close(value, torch.full_like(value, 5 * 7.0))


def test_one_picture_for_the_whole_batch(emulator: Emulator):
    made = case(FLOAT, EVEN)
    compare_msda(emulator, FLOAT, replace(made, value=made.value[:1].expand(2, -1, -1, -1)))


@pytest.mark.skipif(sys.platform != "linux", reason="needs address space without memory behind it")
def test_pictures_more_than_4_gib_apart(emulator: Emulator):
    made = case(FLOAT, EVEN, batch=2, heads=1)
    stride = 2**31 + 64  # elements from picture to picture
    without_reserve = 0x4000  # MAP_NORESERVE of Linux, which Python names from 3.13 on
    try:
        memory = mmap.mmap(-1, 4 * 2 * stride, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | without_reserve)
    except OSError as error:
        pytest.skip(f"this machine gives no 16 GiB of address space: {error}")
    whole = torch.frombuffer(memory, dtype=torch.float32)
    far = whole.as_strided((2, EVEN.tokens, 1, 32), (stride, 32, 32, 1))
    far.copy_(made.value)
    compare_msda(emulator, FLOAT, replace(made, value=far))
    gradient = far.clone().zero_()
    far.zero_()
    # `tokens` is only what lies between two pictures of the gradient, so it may be as large as memory is empty.
    tokens = stride // 32
    places, shares = torch.empty_like(made.locations), torch.empty_like(made.weights)
    pointers = [made.value, made.locations, made.weights, made.gradient, far, places, shares, None]
    layout = [*longs(made.value.stride(0)), *ints(made.value.stride(1), made.value.stride(2))]
    sizes = ints(tokens, made.locations.shape[1], 1, EVEN.points)
    library = emulator.library("msda", 1, FLOAT)
    emulator.launch(library, "msda_backward", 2, [*pointers, *layout, *sizes, EVEN.table()])
    operators = Operators(emulator, FLOAT, EVEN)
    gradient = operators.msda_backward(made.value, made.locations, made.weights, made.gradient)[0]
    assert torch.equal(far, gradient)


def test_the_emulation_notices_lanes_that_part(emulator: Emulator, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    source = tmp_path / "broken.cu"
    source.write_text(
        'extern "C" __global__ void broken(int* target) {\n'
        "    if (threadIdx.x != 3) {\n"
        "        *target += __shfl_xor_sync(0xffffffffu, 1, 1, 32);\n"
        "    }\n"
        "}\n"
    )
    library = emulated.build(tmp_path / "broken.so", [f'-DSOURCE="{source}"', "-DKERNELS=KERNEL(broken)"])
    with pytest.raises(RuntimeError, match="broken failed"):
        emulator.launch(library, "broken", 1, [torch.zeros(1, dtype=torch.int32)])
    assert "not reached by all lanes" in capfd.readouterr().err


def test_half_types_of_the_emulation_are_those_of_torch(emulator: Emulator):
    library = emulator.library("msda", 0, Variant(torch.float16, 6))
    library.narrow.argtypes = [ctypes.c_float]
    library.widened.restype = ctypes.c_float
    every = torch.arange(2**16, dtype=torch.int32)
    halves = every.to(torch.int16).view(torch.float16)
    widened = torch.tensor([library.widened(bits) for bits in every.tolist()])
    assert torch.equal(
        widened.nan_to_num(7.0, torch.inf, -torch.inf), halves.float().nan_to_num(7.0, torch.inf, -torch.inf)
    )
    between = torch.tensor([65519.0, 65520.0, 2**-25, 2**-24 * 1.5, torch.nan])
    numbers = torch.cat([widened, widened * 1.0004, widened * 0.9997, between])
    narrow = torch.tensor([library.narrow(number) for number in numbers.tolist()], dtype=torch.int32)
    found, expected = narrow.to(torch.int16).view(torch.float16), numbers.half()
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found[~found.isnan()], expected[~found.isnan()])


def test_every_kernel_is_tried(emulator: Emulator):
    text = "".join(path.read_text() for path in emulated.SOURCES.glob("*.cu"))
    kernels = set(re.findall(r'extern "C" __global__ void __launch_bounds__\(THREADS\)\s+(\w+)\(', text))
    assert kernels == {name for names in emulated.KERNELS.values() for name in names}
