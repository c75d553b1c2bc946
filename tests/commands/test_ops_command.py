"""`caffdet ops`: build, test, info and clear."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from caffdet_cli.kernels import choice, compiler, nvrtc, prebuild, trial
from caffdet_cli.kernels.cuda import Variant
from caffdet_cli.main import main


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of compiled operators, this test's own."""
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path))
    yield tmp_path / "kernels"
    choice.forget()  # what was loaded from there


@pytest.fixture
def one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """One kernel instead of all that models launch."""
    monkeypatch.setattr(prebuild, "_jobs", lambda: [("kda", Variant(torch.float32, torch.float32, 8), 0)])


@pytest.fixture
def known_architectures() -> list[int]:
    try:
        return nvrtc.architectures()
    except choice.NotAvailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What a command with --json says."""

    def ask(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert found.pop("schema") == 1
        return found

    return ask


def test_ops_alone_lists_its_commands_and_exits_2(capsys):
    assert main(["ops"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(word in err for word in ("build", "test", "info", "clear"))


# build and clear


def test_the_cpu_library_is_built_once_and_cleared(cache, answer, capsys):
    try:
        compiler.find_compiler()
    except choice.NotAvailable as reason:
        pytest.skip(str(reason))
    (built,) = answer("ops", "build", "--cpu", "--quiet")["built"]
    assert built["for"] == "cpu"
    assert built["how"].startswith("built in ")
    assert Path(built["path"]).parent == cache
    assert Path(built["path"]).is_file()
    assert main(["ops", "build", "--cpu"]) == 0
    out, err = capsys.readouterr()
    assert "cached" in out
    assert err == ""
    assert answer("ops", "clear")["folder"] == str(cache)
    assert list(cache.iterdir()) == []


def test_architectures_are_compiled_without_a_gpu(cache, one_job, known_architectures, answer, capsys):
    built = answer("ops", "build", "--arch", "sm_90,7.5", "--quiet")["built"]
    assert [(each["for"], each["how"]) for each in built] == [("sm_90", "built"), ("sm_75", "built")]
    assert all(Path(each["path"]).read_bytes().startswith(b"\x7fELF") for each in built)
    assert main(["ops", "build", "--arch", "90"]) == 0
    assert "cached" in capsys.readouterr().out
    assert answer("ops", "clear") == {"removed": 2, "folder": str(cache)}


@pytest.mark.parametrize("word", ["sm_20", "ninety", "sm_90,,sm_80", ""])
def test_an_architecture_that_nvrtc_does_not_know_is_named(known_architectures, cache, capsys, word):
    assert main(["ops", "build", "--arch", word]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    wrong = next(each for each in word.split(",") if each != "sm_90")
    assert err.startswith(f"error: --arch {wrong}: NVRTC {nvrtc.version()} does not know it; it knows sm_")
    assert err.count("\n") == 1
    assert not cache.exists()


def test_no_nvrtc_is_told(cache, monkeypatch, capsys):
    def missing() -> None:
        raise choice.NotAvailable("libnvrtc not found (CPU-only torch?)")

    monkeypatch.setattr(nvrtc, "architectures", missing)
    assert main(["ops", "build", "--arch", "sm_90"]) == 1
    assert capsys.readouterr().err == (
        "error: the operators cannot be built for CUDA: libnvrtc not found (CPU-only torch?)\n"
    )


def test_a_compiler_that_fails_is_told(cache, one_job, known_architectures, monkeypatch, capsys):
    monkeypatch.setattr(nvrtc, "_text", lambda source: b"nonsense\n")
    assert main(["ops", "build", "--arch", "sm_90", "--quiet"]) == 1
    assert capsys.readouterr().err.startswith("error: the operators cannot be built: NVRTC failed: kda.cu(1): error: ")


def test_all_that_models_launch_is_built(monkeypatch, known_architectures, tmp_path, answer):
    made: list[tuple[str, tuple[str, ...]]] = []

    def compiled(source: str, macros: list[str], arch: int) -> nvrtc.Compiled:
        made.append((source, tuple(macros)))
        return nvrtc.Compiled(b"", tmp_path / str(len(made)), "built", "")

    monkeypatch.setattr(nvrtc, "compiled", compiled)
    assert len(answer("ops", "build", "--arch", "90", "--quiet")["built"]) == len(made) == len(set(made))
    for source in ("msda_fused", "kda"):
        for dtype in (torch.float32, torch.bfloat16):
            for channels in (16, 32):
                variant = Variant(dtype, dtype, channels)
                assert (source, tuple(variant.macros(0))) in made
                assert (source, tuple(variant.for_backward().macros(1))) in made


def test_clear_leaves_what_is_not_its_own(cache, answer):
    cache.mkdir(parents=True)
    for name in ("cpu-1.so", "cpu-1.lock", "kda-sm90-1.cubin", ".kda.cubin.1.part", "mine.txt", "mine.so"):
        (cache / name).touch()
    assert answer("ops", "clear") == {"removed": 4, "folder": str(cache)}
    assert sorted(path.name for path in cache.iterdir()) == ["mine.so", "mine.txt"]
    assert answer("ops", "clear")["removed"] == 0


def test_clear_without_a_folder_is_no_error(cache, capsys):
    assert main(["ops", "clear"]) == 0
    assert capsys.readouterr().out == f"0 files removed from {cache}\n"


# info


def test_info_tells_what_runs_and_why(answer, capsys):
    found = answer("ops", "info")["operators"]
    assert found[0]["device"] == "cpu"
    native = choice.look(torch.device("cpu")).native
    assert found[0]["implementation"] == (native.about if native else "plain PyTorch")
    assert found[0]["note"]
    assert main(["ops", "info"]) == 0
    out = capsys.readouterr().out
    assert "implementation" in out
    assert found[0]["implementation"] in out


def test_info_says_that_plain_pytorch_was_asked_for(answer, monkeypatch):
    monkeypatch.setenv("CAFFDET_OPS", "reference")
    (cpu, *_) = answer("ops", "info")["operators"]
    assert cpu == {
        "device": "cpu",
        "implementation": "plain PyTorch",
        "note": "CAFFDET_OPS=reference asks for it",
    }


@pytest.mark.parametrize("words", [["info"], ["test", "--device", "cpu"]])
def test_a_wrong_word_for_the_implementation_is_one_error(words, monkeypatch, capsys):
    monkeypatch.setenv("CAFFDET_OPS", "fast")
    assert main(["ops", *words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: CAFFDET_OPS = 'fast': must be one of auto, native, reference\n"


# test


def test_trials_pass_on_this_machine(answer):
    found = answer("ops", "test", "--device", "cpu")
    assert found["device"] == "cpu"
    assert found["implementation"] == trial.implementation_of(torch.device("cpu"))
    trials = found["trials"]
    assert all(each["passed"] for each in trials)
    names = [each["name"] for each in trials]
    assert names[:4] == [
        "msda forward, float64",
        "kda forward, float64",
        "msda forward, float32",
        "kda forward, float32",
    ]
    assert len(names) == 4 + 2 * len(trial.CHANNELS)
    assert all(each["error"] < 1e-4 for each in trials[:4])
    assert all(each["error"] is None for each in trials[4:])


def test_a_trial_that_fails_exits_1_and_is_named(monkeypatch, capsys):
    class Wrong:
        about = "wrong"

        def __getattr__(self, name: str) -> Callable[..., torch.Tensor]:
            return lambda value, *rest: value.new_zeros(1, 2, 2 * value.shape[-1])

    monkeypatch.setattr(trial, "CHANNELS", ())
    monkeypatch.setattr(choice, "look", lambda device: choice.Found(Wrong(), ""))
    assert main(["ops", "test", "--device", "cpu"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("cpu: wrong\n")
    assert out.count("FAILED") == 4
    assert err.startswith(
        "error: 4 of 4 trials failed on cpu: msda forward, float64, kda forward, float64, msda forward"
    )


def test_a_device_that_is_not_there_is_an_error(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert main(["ops", "test", "--device", "cuda"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
