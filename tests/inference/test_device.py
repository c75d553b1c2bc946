"""Where a detector computes, and in which numbers."""

import warnings

import pytest
import torch
from tiny import tiny_batch, tiny_detector, tiny_pair_settings, tiny_settings

from caffdet_cli.errors import ConfigError
from caffdet_cli.inference import device
from caffdet_cli.inference.device import about_precision, autocast, choose_device
from caffdet_cli.inference.predict import predict
from caffdet_cli.inference.predictor import Predictor
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.kernels.choice import CaffdetPerformanceWarning
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import CaffHierarchical

CPU = torch.device("cpu")
CLOSE = {"bf16": 0.05, "fp16": 0.004}  # of scores, 0..1: eight bits of mantissa against eleven


@pytest.mark.parametrize("precision", CLOSE)
@pytest.mark.parametrize("is_prepared", [False, True], ids=["as trained", "prepared"])
@pytest.mark.parametrize(
    "settings",
    [
        tiny_settings(),
        tiny_settings(key_aware=True),
        tiny_pair_settings(),
        tiny_pair_settings(fusion=CaffHierarchical(stages=2, kernels=(1, 3), reduced=8)),
    ],
    ids=["rgb", "key-aware", "caff-lite", "hierarchical"],
)
def test_half_numbers_find_about_the_same(settings, is_prepared, precision):
    size = (144, 192) if settings.fusion.name == "caff-hierarchical" else (48, 64)
    batch, known = tiny_batch([size], spectra=len(settings.spectra)), Conventions(spectra=settings.spectra)

    chosen: list[torch.Tensor] = []  # half numbers may prefer another token, which is another query

    def scores(numbers: str) -> torch.Tensor:
        network = tiny_detector(settings)
        choose = network.selection.choose
        network.selection.choose = lambda scores: chosen[0] if chosen else chosen.append(choose(scores)) or chosen[0]
        predictor = Predictor(prepare(network, numbers) if is_prepared else network, known, CPU, numbers)
        return predictor(batch)[0].scores.sort().values

    exact, rough = scores("fp32"), scores(precision)
    assert rough == pytest.approx(exact, abs=CLOSE[precision])
    assert not torch.equal(rough, exact)


def test_multiplications_and_nothing_else_take_half_numbers():
    some = torch.ones(4, 4)
    for precision, kind in {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}.items():
        with autocast(CPU, precision):
            assert (some @ some).dtype == kind
            assert (some + some).dtype == torch.float32


@pytest.mark.parametrize(("name", "kind"), [("gpu", "unknown"), ("cuda:99", r"there are \d+ of this kind")])
def test_a_device_that_is_not_there_is_told_with_what_is(name, kind):
    with pytest.raises(ConfigError, match=f"--device {name}: {kind}"):
        choose_device(name)


@pytest.mark.parametrize(
    ("flags", "fast"),
    [({"avx512_bf16"}, ["bf16"]), ({"asimdhp", "bf16"}, ["bf16", "fp16"]), ({"amx_fp16"}, ["fp16"]), (set(), [])],
)
def test_what_is_slow_on_this_processor_is_told_and_computes(monkeypatch, flags, fast):
    monkeypatch.setattr(device, "_flags", lambda: flags)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_device("cpu") == CPU
    for precision in ("bf16", "fp16"):
        assert about_precision(precision, CPU)[0] == (precision in fast)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert choose_device("cpu", precision) == CPU
        assert [each.category for each in told] == [CaffdetPerformanceWarning] * (precision not in fast)
        assert all(f"--precision {precision}" in str(each.message) for each in told)


@pytest.mark.parametrize(("native", "fast"), [(True, ["bf16", "fp16"]), (False, ["fp16"])])
def test_gpus_that_emulate_bf16_are_fast_in_fp16(monkeypatch, native, fast):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert [each for each in ("bf16", "fp16") if about_precision(each, torch.device("cuda"))[0]] == fast


@pytest.mark.parametrize("precision", CLOSE)
def test_apple_gpus_are_refused_before_anything_is_read(monkeypatch, tmp_path, precision):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(
        ConfigError, match=f"--precision {precision}: mps does not compute in it; take --precision fp32"
    ):
        predict("nothing", tmp_path / "out", rgb=tmp_path, device="mps", precision=precision)
