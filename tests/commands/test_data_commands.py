"""`caffdet data check` and `caffdet data info` as typed: streams, exit codes, what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inspection_set import InspectedSet

from caffdet_cli.main import main


@pytest.fixture
def made(tmp_path) -> InspectedSet:
    """One box lies outside its picture, and one picture has no objects."""
    made = InspectedSet(tmp_path / "set")
    made.splits["train"]["annotations"][0]["bbox"] = [160, 20, 30, 40]
    made.splits["val"]["annotations"].pop()
    made.save()
    return made


def test_a_table_with_place_and_advice_on_standard_output(made, capsys):
    assert main(["data", "check", str(made.root)]) == 0
    out, err = capsys.readouterr()
    assert "box outside       1  fault  train: ir/000.png: object 1: its box (160, 20, 190, 60) lies outside" in out
    assert "no objects        1  noted  val: ir/102.png" in out
    assert "box outside  take it out or correct it: nothing of it can be seen" in out
    assert "Shift between the spectra: infrared lies" in out
    assert "6 of train, 3 of val pairs looked at: 1 faults, 1 noted" in out
    assert err == ""


def test_strict_exits_1_after_the_table_and_0_where_things_are_only_noted(made, capsys):
    assert main(["data", "check", str(made.root), "--strict"]) == 1
    out, err = capsys.readouterr()
    assert "box outside" in out
    assert "error: 1 faults in" in err
    assert main(["data", "check", str(made.root), "--split", "val", "--strict"]) == 0


def test_strict_with_json_leaves_standard_output_empty_and_the_report_in_the_folder(made, tmp_path, capsys):
    words = ["data", "check", str(made.root), "--strict", "--json", "-o", str(tmp_path / "out")]
    assert main(words) == 1
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "out/report.json").read_text())["faults"] == 1


def test_json_is_one_object_the_same_as_the_report(made, tmp_path, capsys):
    for verb in ("check", "info"):
        assert main(["data", verb, str(made.root), "--json", "-o", str(tmp_path / verb)]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown == json.loads((tmp_path / verb / "report.json").read_text())
        assert shown["schema"] == 1


def test_info_shows_counts_sizes_and_light(made, tmp_path, capsys):
    assert main(["data", "info", str(made.root), "-o", str(tmp_path / "out")]) == 0
    out, _ = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "train 6 6 6 0 6 0 1 0 6" in lines
    assert "val ir 160x128 uint8 1 3" in lines
    assert "train person 6 6 0 6 0 40 40 40" in lines
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["heatmap.png", "report.json"]


@pytest.mark.parametrize("verb", ["check", "info"])
def test_without_a_name_it_tells_which_there_are(verb, capsys):
    assert main(["data", verb]) == 2
    _, err = capsys.readouterr()
    assert "DATASET is missing" in err
    assert "demo, " in err
    assert "llvip, " in err
    assert f"caffdet data {verb} demo" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "nonsense"),
        (["llvip"], "give --data-root DIR"),
        (["llvip", "--data-root", "nowhere"], "nowhere is not there"),
        (["SET", "--split", "test"], "has no split 'test'; it has: train, val"),
        (["SET", "-o", "SET"], "--overwrite"),
        (["SET", "--workers", "-1"], "--workers"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "info"])
def test_a_wrong_request_exits_2_in_one_sentence(made, monkeypatch, tmp_path, verb, words, message, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAFFDET_DATA", raising=False)
    before = sorted(made.root.rglob("*"))
    assert main(["data", verb, *(str(made.root) if word == "SET" else word for word in words)]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    assert "Traceback" not in err
    assert sorted(made.root.rglob("*")) == before


def test_a_split_that_is_not_there_is_left_out_with_a_warning(made, capsys):
    (made.root / "val.json").unlink()
    assert main(["data", "check", str(made.root)]) == 0
    assert "warning: split val is left out: there is no val.json in" in capsys.readouterr().err


@pytest.mark.e2e
def test_ctrl_c_ends_quickly_and_leaves_nothing(tmp_path):
    made = InspectedSet(tmp_path / "set", train=3)
    images = made.splits["train"]["images"]
    for number in range(1000, 40_000):
        images.append({**images[0], "id": number})
    made.save()
    words = [sys.executable, "-m", "caffdet_cli", "data", "check", str(made.root), "-o", str(tmp_path / "out"), "-v"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "TERM": "dumb"}) as process:
        assert process.stderr is not None
        assert "looking at pictures of train" in process.stderr.readline()
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert time.monotonic() - start < 10
        assert "interrupted" in process.stderr.read()
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["set"]
