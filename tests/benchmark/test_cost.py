"""What is measured of which model."""

import subprocess
import sys

import pytest
import torch

from caffdet_cli.benchmark.report import benchmark, operations_of, usual_size
from caffdet_cli.benchmark.request import Subject, fusion_names, parsed_size, spectra_given, subjects
from caffdet_cli.errors import ConfigError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import load_config

DEMO, PAIR = "lite-dino-demo", "caff-lite-dino-demo"


def subject(name: str, *overrides: str) -> Subject:
    return Subject(name, load_config(model=name, overrides=overrides).config.model)


def test_one_model_is_measured_whole():
    report = benchmark([PAIR], size="64x96", batch=2, repetitions=2, device="cpu", progress=Progress())
    assert (report.machine["device"], report.machine["torch"]) == ("cpu", torch.__version__)
    (row,) = report.json()["rows"]
    assert report.json()["machine"] == report.machine
    assert row["model"] == PAIR
    assert (row["size"], row["batch"], row["precision"], row["spectrum"]) == ("64x96", 2, "fp32", "pair")
    for unit in ("params_M", "gflops", "gmacs"):
        assert sum(part[unit] for part in row["parts"].values()) == pytest.approx(row[unit])
        assert row[unit] > 0
    for times in (row["network"], row["end_to_end"]):
        assert 0 < times["min_ms"] <= times["p10_ms"] <= times["median_ms"] <= times["p90_ms"]
        assert times["per_second"] == pytest.approx(2000 / times["median_ms"])
        assert times["repetitions"] == 2


def test_fusions_are_those_of_the_settings_and_one_spectrum_alone():
    found = list(subjects([PAIR], None, (), fusions=True))
    alone = f"none, {found[0].model.spectra[0]} alone"
    assert [each.fusion for each in found] == [*fusion_names(), alone]
    assert "caff-lite" in fusion_names()
    assert "none" not in fusion_names()
    assert [each.model.fusion.name for each in found] == [*fusion_names(), "none"]
    assert all(each.model.queries == found[0].model.queries for each in found)


@pytest.mark.parametrize(("text", "size"), [("512x640", (512, 640)), ("1X16384", (1, 16384))])
def test_a_size_is_height_and_width(text, size):
    assert parsed_size(text) == size


@pytest.mark.parametrize(
    "text", ["512", "x", "5x", "-5x5", "5x5x5", "axb", "a×b", "0x9", "9x16385", "1e3x5", "٥x٥", " 5x5"]
)
def test_anything_else_is_no_size(text):
    with pytest.raises(ConfigError, match=r"--size .*: (write height and width|sides are from 1)"):
        parsed_size(text)


@pytest.mark.parametrize("text", ["100000x100000", "5x" + "9" * 5000, "16385x1"])
def test_a_size_beyond_the_limit_is_told_the_limit(text):
    with pytest.raises(ConfigError, match="sides are from 1 to 16384 pixels"):
        parsed_size(text)


def test_the_usual_size_is_that_of_a_resized_camera_picture():
    assert usual_size(subject("lite-dino-r50").model) == (800, 1000)


def test_a_spectrum_that_a_model_does_not_have_is_refused():
    assert spectra_given(subject(PAIR), None) == "pair"
    assert spectra_given(subject(PAIR), "ir") == "ir"
    assert spectra_given(subject(DEMO), None) == "rgb"
    with pytest.raises(ConfigError, match=f"--spectrum pair: {DEMO} looks at rgb pictures alone"):
        spectra_given(subject(DEMO), "pair")


def test_pictures_too_small_for_a_fusion_are_refused_with_the_reason():
    hierarchical = subject(PAIR, "model.fusion.name=caff-hierarchical")
    with pytest.raises(ConfigError, match=rf"--size 64x64 .*{PAIR}: "):
        operations_of(hierarchical, 64, 64)


def test_a_fusion_that_does_not_fit_the_size_is_left_out_and_told(monkeypatch):
    told = []

    class Listening(Progress):
        def warn(self, text):
            told.append(text)

    monkeypatch.setattr("caffdet_cli.benchmark.report.in_own_process", lambda plan, progress: plan.subject.fusion)
    found = benchmark([PAIR], size="64x64", fusions=True, device="cpu", progress=Listening()).rows
    assert "caff-lite" in found
    assert "caff-hierarchical" not in found
    assert [text for text in told if text.startswith(f"{PAIR}, caff-hierarchical is left out: --size 64x64")]


@pytest.mark.slow
def test_several_models_have_a_process_each():
    found = benchmark([DEMO, PAIR], size="64x64", repetitions=1, device="cpu", progress=Progress())
    assert [each.plan.subject.name for each in found.rows] == [DEMO, PAIR]
    for row in found.json()["rows"]:
        assert row["params_M"] > 5
        assert 0 < row["network"]["min_ms"] < row["end_to_end"]["per_second"] * 1e6
        assert row["peak_MB"] is None or row["peak_MB"] > 20


@pytest.mark.slow
def test_several_models_can_be_measured_from_a_script_without_a_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from caffdet_cli.benchmark.report import benchmark\n"
        f"print(len(benchmark({[DEMO, PAIR]}, size='64x64', repetitions=1, device='cpu').rows))\n"
    )
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.splitlines()[-1:]) == (0, ["2"]), ran.stderr
