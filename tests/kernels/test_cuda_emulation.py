"""The CUDA sources, compiled for the CPU and run thread by thread, against float64 formulas.

Shows that the mathematics, the indices and the shuffles are right. Says nothing about speed or about the few
instructions of PTX, which the emulation replaces.
"""

import ctypes
import mmap
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from cuda_emulation import emulator as emulated
from cuda_emulation import yardstick
from cuda_emulation.cases import (
    EVEN,
    LONG,
    RAGGED,
    Case,
    assert_output,
    case,
    compare_fused,
    compare_kda,
    compare_msda,
    sums,
)
from cuda_emulation.emulator import Emulator
from cuda_emulation.launcher import GUARD, EmulatedLauncher, Guarded
from cuda_emulation.yardstick import Grid
from torch import Tensor

from caffdet_cli.kernels import cuda, driver
from caffdet_cli.kernels.choice import NotAvailable
from caffdet_cli.kernels.cuda import Argument, CudaOperators, Kernel, Variant, load_cuda
from caffdet_cli.kernels.selfcheck import largest_error

pytestmark = pytest.mark.skipif(emulated.compiler() is None, reason="no C++ compiler found (install g++ or clang)")

CPU = torch.device("cpu")
FLOAT = Variant(torch.float32, torch.float32, 32)
ODD = Variant(torch.float64, torch.float64, 3)  # three of four lanes hold a channel
BOTH = (1, 2)  # sums of floats, and of integers


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Emulator(tmp_path_factory.mktemp("cuda"))
    torch.set_num_threads(threads)


@pytest.fixture
def launcher(emulator: Emulator) -> EmulatedLauncher:
    return EmulatedLauncher(emulator)


@pytest.fixture
def operators(launcher: EmulatedLauncher) -> CudaOperators:
    return CudaOperators(launcher)


@pytest.mark.parametrize("kind", BOTH)
def test_the_self_check_passes(operators, kind):
    with sums(kind):
        assert largest_error(operators, CPU) < 1e-5


def test_operators_of_a_device_are_those_that_pass_the_self_check(launcher, monkeypatch):
    monkeypatch.setattr(driver, "Driver", lambda device: launcher)
    assert load_cuda(CPU).about == "emulation"
    monkeypatch.setattr(launcher, "launch", lambda *arguments: None)  # results are what the memory held
    with sums(2), pytest.raises(NotAvailable, match=r"^self-check failed \(max error nan\)$"):
        load_cuda(CPU)

    def refuse(kernel: Kernel, *rest: object) -> None:
        raise RuntimeError(f"CUDA: {kernel.name}: out of memory (2)\nand more")

    monkeypatch.setattr(launcher, "launch", refuse)
    with pytest.raises(NotAvailable, match=r"^self-check failed \(CUDA: msda_forward: out of memory \(2\)\)$"):
        load_cuda(CPU)


@pytest.mark.parametrize("grid", [RAGGED, EVEN, LONG], ids=["ragged", "even", "70 points"])
def test_msda_agrees(operators, grid):
    compare_msda(operators, case(FLOAT, grid), BOTH)


@pytest.mark.parametrize("queries", [1, 16, 17], ids=["one query", "full block", "one too many for a block"])
def test_blocks_that_are_partly_filled(operators, queries):
    assert FLOAT.pairs == 16
    compare_msda(operators, case(FLOAT, EVEN, batch=1, queries=queries, heads=1), BOTH)


def test_msda_in_float64(operators):
    compare_msda(operators, case(ODD, RAGGED), BOTH)


def test_more_channels_than_lanes_can_hold_at_once(operators):
    compare_msda(operators, case(Variant(torch.float32, torch.float32, 71), RAGGED))


@pytest.mark.parametrize(
    "variant", [Variant(torch.bfloat16, torch.float32, 32), Variant(torch.float16, torch.float16, 6)], ids=str
)
def test_msda_in_half_types(operators, variant):
    compare_msda(operators, case(variant, RAGGED), BOTH if variant.channels == 6 else (1,))


@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_msda_fused_agrees(operators, box):
    compare_fused(operators, case(FLOAT, RAGGED, box=box), BOTH)


@pytest.mark.parametrize("box", [False, True], ids=["points", "boxes"])
def test_offsets_are_right_at_once_where_references_need_no_gradient(emulator, operators, box):
    class Detached(EmulatedLauncher):
        def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument], device: torch.device) -> None:
            if kernel.name == "msda_fused_references":
                return
            if kernel.name == "msda_fused_backward":
                assert arguments[-2].value == 1  # locations_only
                arguments = [*arguments[:-2], ctypes.c_int(0), arguments[-1]]
            super().launch(kernel, blocks, arguments, device)

    made = case(FLOAT, RAGGED, box=box)
    value, _, offsets, logits = made.fused_backward(CudaOperators(Detached(emulator)))
    wanted = made.fused_backward(operators)
    torch.testing.assert_close((value, offsets, logits), (wanted[0], *wanted[2:]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False], ids=["key is value", "separate key"])
def test_kda_agrees(operators, shared):
    compare_kda(operators, case(FLOAT, RAGGED), BOTH, shared=shared)


def test_kda_in_a_half_type(operators):
    compare_kda(operators, case(Variant(torch.bfloat16, torch.bfloat16, 16), EVEN), shared=False)


def test_more_than_16_levels(operators):
    grid = Grid(sizes=tuple((1 + level % 3, 1 + level % 4) for level in range(19)), counts=(1, 2) * 9 + (1,))
    compare_fused(operators, case(FLOAT, grid, queries=3))


@pytest.mark.parametrize("empty", ["no picture", "no query"])
@pytest.mark.parametrize("kind", BOTH)
def test_nothing_is_launched_for_nothing(launcher, operators, empty, kind):
    made = case(FLOAT, EVEN, **({"batch": 0} if empty == "no picture" else {"queries": 0}))
    with sums(kind):
        outputs = [made.msda(operators), made.fused(operators), made.kda(operators, shared=False)]
        found = [
            (made.msda_backward(operators), (made.value, made.locations, made.weights)),
            (made.fused_backward(operators), (made.value, made.references, made.offsets, made.weights)),
            (made.kda_backward(operators, shared=False), (made.query, made.key, made.value, made.locations)),
        ]
    assert launcher.launched == []
    assert all(output.shape == (*made.locations.shape[:2], 3 * 32) for output in outputs)
    for gradients, inputs in found:
        assert [each.shape for each in gradients] == [each.shape for each in inputs]
        assert all((each == 0).all() for each in gradients)


def views(made: Case, name: str) -> Case:
    """The same numbers, laid out as no kernel can read them."""

    def moved(tensor: Tensor) -> Tensor:
        if name == "begins one element later":
            whole = tensor.new_empty(tensor.numel() + 1)
            return whole[1:].view(tensor.shape).copy_(tensor)
        if name == "odd strides":
            return tensor.new_empty(*tensor.shape[:-1], tensor.shape[-1] + 1)[..., :-1].copy_(tensor)
        if name == "channels before heads":
            return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
        return tensor[:1].expand_as(tensor)

    names = ("query", "key", "value", "locations", "weights", "references", "offsets", "gradient")
    return replace(made, **{each: moved(getattr(made, each)) for each in names})


@pytest.mark.parametrize(
    "layout", ["begins one element later", "odd strides", "channels before heads", "one picture for all"]
)
def test_layouts_that_kernels_cannot_read_are_copied(operators, layout):
    made = views(case(FLOAT, EVEN, queries=2, heads=2), layout)
    compare_msda(operators, made, BOTH)
    compare_fused(operators, made)
    compare_kda(operators, made, BOTH, shared=False)


def test_layouts_that_kernels_can_read_are_not_copied(emulator):
    class Seen(EmulatedLauncher):
        def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument], device: torch.device) -> None:
            assert any(argument is made.value for argument in arguments)
            super().launch(kernel, blocks, arguments, device)

    made = case(FLOAT, EVEN)
    made = replace(made, value=made.value[:1].expand_as(made.value))
    operators = CudaOperators(Seen(emulator))
    made.msda(operators)
    made.msda_backward(operators)
    made.fused(operators)
    made.kda(operators, shared=True)
    made.kda_backward(operators, shared=True)


def test_kernels_that_take_any_grid(operators, monkeypatch):
    made = case(FLOAT, EVEN, queries=70, heads=1)
    with sums(2):
        wanted = [*made.fused_backward(operators), *made.kda_backward(operators, shared=False)]
        monkeypatch.setattr(cuda, "_SPREAD", 2)
        found = [*made.fused_backward(operators), *made.kda_backward(operators, shared=False)]
    for mine, other in zip(found, wanted, strict=True):
        assert torch.equal(mine, other)


def test_a_point_outside_keeps_its_share_of_the_softmax(operators):
    made = case(FLOAT, EVEN)
    made.locations[..., 0, :] = 5.0
    compare_kda(operators, made, shared=True)


@pytest.mark.parametrize("call", [Case.msda_backward, Case.fused_backward, Case.kda_backward])
def test_integer_sums_do_not_depend_on_the_order_of_the_blocks(emulator, call):
    made = case(FLOAT, EVEN, queries=34, heads=1)

    def run(seed: int) -> tuple[Tensor, ...]:
        options = {"shared": True} if call is Case.kda_backward else {}
        return call(made, CudaOperators(EmulatedLauncher(emulator, seed)), **options)

    with sums(2):
        runs = [run(seed) for seed in (0, 1, 2)]
    for first, *others in zip(*runs, strict=True):
        assert all(torch.equal(first, other) for other in others)
    floats = [run(seed) for seed in (0, 1)]
    assert any(not torch.equal(*each) for each in zip(*floats, strict=True))  # or the order would not matter anyway


def spoil(what: Tensor, number: float) -> None:
    """Overwrites one element of query 2, head 1 of picture 0."""
    what[0, 2, 1].view(-1)[3] = number


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["locations", "weights"])
def test_a_broken_location_or_weight_shows_where_it_belongs(operators, name, bad):
    made = case(FLOAT, EVEN)
    before = made.msda(operators).view(made.query.shape)
    spoil(getattr(made, name), bad)
    after = made.msda(operators).view(made.query.shape)
    changed = torch.zeros(after.shape[:3], dtype=torch.bool)
    changed[0, 2, 1] = True
    assert not after[changed].isfinite().any()
    assert torch.equal(after[~changed], before[~changed])
    value, places, shares = made.msda_backward(operators)
    assert not places[0, 2, 1].isfinite().all() or not shares[0, 2, 1].isfinite().all()
    assert places[~changed].isfinite().all()
    assert shares[~changed].isfinite().all()
    if name == "locations":  # the point reads nothing, so it writes nothing
        assert value.isfinite().all()


def test_a_broken_location_shows_in_kda(operators):
    made = case(FLOAT, EVEN)
    spoil(made.locations, torch.nan)
    output = made.kda(operators, shared=True).view(made.query.shape)
    assert output[0, 2, 1].isnan().all()
    assert output.isnan().sum() == FLOAT.channels


@pytest.mark.parametrize("far", [1e30, -1e30, 3e9])
def test_far_away_is_outside(operators, far):
    made = case(FLOAT, EVEN)
    made.locations[..., 1, 0] = far
    compare_msda(operators, made)


def test_on_the_borders(operators):
    made = case(FLOAT, Grid(sizes=((3, 4),), counts=(8,)))
    edges = torch.tensor([-0.5 / 4, 0.0, 1.0, 1 + 0.5 / 4, 0.5, 1 - 1e-3, 1e-3, 0.125])
    made.locations[..., 0] = edges
    made.locations[..., 1] = edges.flip(0)
    exact = [tensor.double() for tensor in (made.value, made.locations, made.weights)]
    assert_output(made.msda(operators), yardstick.msda(exact[0], made.grid, *exact[1:]), torch.float32)


def test_pixels_that_no_point_samples_may_hold_anything(operators):
    made = case(FLOAT, Grid(sizes=((4, 4), (3, 3)), counts=(2, 2)))
    made.locations[:] = 0.01  # between the first pixel of each level and the border
    made.locations[..., 3, :] = -2.0
    made.value[:] = torch.inf
    made.value[:, [0, 16]] = 1.0
    assert made.msda(operators).isfinite().all()
    by_floats = [*made.msda_backward(operators), *made.kda_backward(operators, shared=True)]
    with sums(2):
        by_integers = [*made.msda_backward(operators), *made.kda_backward(operators, shared=True)]
    assert all(each.isfinite().all() for each in by_floats)
    torch.testing.assert_close(by_integers, by_floats)


def test_integer_sums_do_not_hide_an_infinite_gradient(operators):
    made = case(FLOAT, EVEN)
    made.gradient[1, 0, 0, 5] = torch.inf
    with sums(2):
        assert made.msda_backward(operators)[0].isnan().all()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_integer_sums_fit_any_magnitude(operators, size):
    made = case(FLOAT, EVEN)
    with sums(2):
        wanted = made.msda_backward(operators)[0]
        found = replace(made, gradient=made.gradient * size).msda_backward(operators)[0]
    torch.testing.assert_close(found / size, wanted, rtol=1e-5, atol=1e-6)


def test_integer_sums_hold_the_worst_case(operators):
    """Every point of every query adds the largest possible number to the same pixel."""
    made = case(FLOAT, Grid(sizes=((1, 1),), counts=(8,)))
    for tensor, number in ((made.locations, 0.5), (made.weights, -3.0), (made.gradient, 7.0)):
        tensor.fill_(number)
    with sums(2):
        value = made.msda_backward(operators)[0]
        assert (value == 5 * 8 * -3.0 * 7.0).all()
        value = made.kda_backward(operators, shared=False)[2]
        torch.testing.assert_close(value, torch.full_like(value, 5 * 7.0))


@pytest.mark.skipif(sys.platform != "linux", reason="needs address space without memory behind it")
def test_pictures_more_than_4_gib_apart(emulator, operators):
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
    compare_msda(operators, replace(made, value=far))
    far.zero_()

    class Far(EmulatedLauncher):
        """The gradient lies 4 GiB apart too: `tokens` is only the distance of two pictures of it."""

        def launch(self, kernel: Kernel, blocks: int, arguments: Sequence[Argument], device: torch.device) -> None:
            assert [arguments[4].shape, arguments[11].value] == [far.shape, EVEN.tokens]
            changed = list(arguments)
            changed[4], changed[11] = far, ctypes.c_int(stride // 32)
            super().launch(kernel, blocks, changed, device)

    made.msda_backward(CudaOperators(Far(emulator)))
    assert torch.equal(far, made.msda_backward(operators)[0])


def test_the_emulation_notices_lanes_that_part(emulator, tmp_path, capfd):
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


def test_the_emulation_notices_arguments_of_another_kernel(emulator, capfd):
    numbers, count = torch.zeros(4), ctypes.c_longlong(4)
    for wrong in ([numbers, count], [numbers, count, None, count], [numbers, count, None, ctypes.c_float(0)]):
        library = emulator.library("fixed_point", 0, replace(FLOAT, channels=1))
        with pytest.raises(RuntimeError, match="fixed_point_value_maximum failed"):
            emulator.launch(library, "fixed_point_value_maximum", 1, wrong)
        assert "the arguments are not those of the kernel" in capfd.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("place", [-1, 4])
def test_the_guards_notice_what_is_added_outside(dtype, place):
    guarded = Guarded(torch.zeros(4, dtype=dtype))
    outside = guarded.whole.view(dtype)[GUARD + place :]
    outside[0] += 1
    with pytest.raises(AssertionError, match="written outside the buffer"):
        guarded.take_back()


def test_half_types_of_the_emulation_are_those_of_torch(emulator):
    library = emulator.library("msda", 0, Variant(torch.float16, torch.float16, 6))
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


def test_every_kernel_is_tried(emulator):
    text = "".join(path.read_text() for path in emulated.SOURCES.glob("*.cu"))
    kernels = set(re.findall(r'extern "C" __global__ void __launch_bounds__\(THREADS\)\s+(\w+)\(', text))
    assert kernels == {name for names in emulated.KERNELS.values() for name in names}
