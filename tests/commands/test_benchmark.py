"""`caffdet benchmark`."""

import json
import subprocess
import sys

import pytest

from caffdet_cli.main import main

SMALL = ["benchmark", "--model", "caff-lite-dino-demo", "--size", "64x64", "--repeat", "1", "--device", "cpu"]
_TIMES = {"median_ms": 123456.8, "min_ms": 123456.7, "p10_ms": 123456.7, "p90_ms": 123456.9, "repetitions": 3}
FOUND = {each: {**_TIMES, "per_second": -1.25} for each in ("network", "end_to_end")} | {"peak_MB": 4321.0}


def test_a_model_is_told_part_by_part(capsys):
    assert main([*SMALL, "--batch", "2", "--spectrum", "ir"]) == 0
    out, err = capsys.readouterr()
    assert "caff-lite-dino-demo: of one pair of 64x64" in out
    for word in (
        "backbone",
        "projections",
        "fusion",
        "encoder",
        "decoder",
        "heads",
        "total",
        "median ms",
        "peak memory MB",
        "end to end",
    ):
        assert word in out
    assert "\x1b" not in out + err
    assert "caff-lite-dino-demo: 64x64, batch 2, fp32, cpu" in err


def test_json_is_one_object(capsys):
    assert main([*SMALL, "--quiet", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert found["schema"] == 1
    assert found["machine"]["device"] == "cpu"
    (row,) = found["rows"]
    assert row["model"] == "caff-lite-dino-demo"
    assert row["fusion"] == "caff-lite"
    assert set(row["network"]) == {"median_ms", "min_ms", "p10_ms", "p90_ms", "repetitions", "per_second"}


def test_published_figures_stand_beside_ours(capsys):
    assert main(["benchmark", "--paper", "--model", "dino-swin-l-5scale"]) == 0
    out, _ = capsys.readouterr()
    assert "DINO Swin-L 5-scale" in out
    assert "1 of 1 figures agree with what the published code costs (expected): within 1 %, or the same when" in out


def test_what_is_printed_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setattr("caffdet_cli.commands.console.wants_rich", lambda stream: stream is sys.stdout)
    monkeypatch.setenv("COLUMNS", "80")
    fake = "import json, os; os.read(0, 65536); print(json.dumps({'found': " + repr(FOUND) + "}))"
    monkeypatch.setattr("caffdet_cli.benchmark.child._START", fake)
    assert main([*SMALL, "--model", "lite-dino-demo", "-q"]) == 0
    out, _ = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    for number in ("123456.8", "123456.9", "-1.25", "4321"):
        assert number in out
    assert main(["benchmark", "--paper", "--model", "dino-swin-l", "-q"]) == 0
    out, _ = capsys.readouterr()
    assert "ours" not in out
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["benchmark", "--paper", "--model", "dino-swin-l", "-q"]) == 0
    assert "ours" in capsys.readouterr().out


def test_a_process_that_was_killed_is_one_sentence_about_memory(capsys, monkeypatch):
    monkeypatch.setattr("caffdet_cli.benchmark.child._START", "import os; os.kill(os.getpid(), 9)")
    assert main([*SMALL, "--model", "lite-dino-demo", "-q", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "error: caff-lite-dino-demo: the process that measured it was killed (signal 9), perhaps for its"
    )
    assert "bug" not in err


def test_published_figures_as_json(capsys):
    assert main(["benchmark", "--paper", "--model", "dino-swin-l", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (row,) = json.loads(out)["rows"]
    needed = {"model", "quantity", "measured", "expected", "published", "counting", "source"}
    assert needed <= set(row)
    assert row["measured"] == pytest.approx(217.23, abs=0.01)


def test_published_figures_of_a_model_that_is_missing_are_told(monkeypatch, capsys):
    monkeypatch.setattr("caffdet_cli.benchmark.paper.names", list)
    assert main(["benchmark", "--paper", "--model", "dino-swin-l"]) == 0
    assert "DINO Swin-L 4-scale: there is no configuration dino-swin-l yet" in capsys.readouterr().out


def test_alone_it_says_what_to_type(capsys):
    assert main(["benchmark"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: --model (or --weights) is missing\n")
    assert "caffdet benchmark --paper" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model lite-dino-dem", "there is no model 'lite-dino-dem'; did you mean 'lite-dino-demo'"),
        ("--model lite-dino-demo --set model.quries=5", "quries"),
        ("--model lite-dino-demo --size 64", "--size 64: write height and width in pixels as HxW, for example 512x640"),
        ("--model lite-dino-demo --size 0x64", "--size 0x64: sides are from 1 to 16384 pixels"),
        ("--model lite-dino-demo --size 100000x100000", "--size 100000x100000: sides are from 1 to 16384 pixels"),
        ("--model caff-dino-r50 --size 64x64", "--size 64x64"),
        ("--model lite-dino-demo --spectrum ir", "--spectrum ir: lite-dino-demo looks at rgb pictures alone"),
        ("--model lite-dino-demo --device cuda:99", "--device cuda:99"),
        ("--model lite-dino-demo --precision fp64", "fp64"),
        ("--model lite-dino-demo --batch 0", "--batch"),
        ("--model lite-dino-demo --repeat 0", "--repeat"),
        ("--model lite-dino-demo --fusions", "--fusions: lite-dino-demo looks at one spectrum"),
        ("--weights no-such-weights", "no-such-weights"),
        ("--weights x --model lite-dino-demo", "--weights brings its own model"),
        ("--paper --size 64x64 --batch 2", "--size, --batch: not with --paper"),
        ("--paper --model nope", "--paper has no figures of 'nope'"),
    ],
)
def test_a_wrong_request_is_one_sentence(words, said, capsys):
    assert main(["benchmark", *words.split(), "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert "bug" not in err


def test_the_command_module_does_not_import_torch():
    heavy = "{'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    script = f"import sys, caffdet_cli.commands.benchmark; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_what_needs_no_torch_is_refused_before_it_is_imported():
    requests = (
        "--model lite-dino-demo --size axb",
        "--model lite-dino-dem",
        "--model lite-dino-demo --spectrum ir",
        "--model lite-dino-demo --fusions",
        "--weights x --model lite-dino-demo",
        "--paper --model nope",
    )
    words = [["benchmark", *request.split()] for request in requests]
    script = "import sys; from caffdet_cli.main import main; "
    script += f"print([main(each) for each in {words}], 'torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.stdout == f"{[2] * len(requests)} False\n"
