"""`caffdet train` and `caffdet predict` on wrong requests: one sentence, the right exit code, nothing half-written."""

import resource
import subprocess
import sys

import pytest
from privileges import without_privileges

from caffdet_cli.main import main

TINY = [
    "--set",
    "model.backbone.depth=10",
    "--set",
    "model.queries=10",
    "--set",
    "model.detections=10",
    "--set",
    "train.epochs=1",
    "--device",
    "cpu",
]
DATA = """
[data]
name = "tiny"
root = "."
splits = { train = { annotations = ["train.json"] }, val = { annotations = ["train.json"] } }
"""


@pytest.fixture
def dataset(make_pairs):
    root = make_pairs(count=2).root
    (root / "dataset.toml").write_text(DATA)
    return root


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train"], "caffdet train --dataset demo"),
        (["train", "--dataset", "lvip"], "llvip"),
        (["train", "--dataset", "demo", "--model", "caff-lite-dino-r51"], "caff-lite-dino-r50"),
        (["train", "--dataset", "llvip", "--data-root", "/nowhere/at/all"], "/nowhere/at/all"),
        (["train", "--dataset", "demo", "--set", "train.epoch=3"], "epochs"),
        (["train", "--resume", "/nowhere/at/all"], "config.toml"),
        (["train", "--dataset", "demo", "--device", "cuda:99"], "cuda:99"),
        (["predict"], "--weights"),
        (["predict", "--weights", "nothing.pth", "--rgb", "x.png", "-o", "out"], "nothing.pth"),
        (["eval"], "--weights"),
        (["eval", "--weights", "nothing.safetensors", "--dataset", "demo"], "nothing.safetensors"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exits_2(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_raw_llvip_is_told_with_the_command_that_converts_it(tmp_path, capsys):
    for folder in ("visible/train", "infrared/train", "Annotations"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
    assert main(["train", "--dataset", "llvip", "--data-root", str(tmp_path / "raw")]) == 2
    assert f"caffdet convert llvip {tmp_path / 'raw'}" in capsys.readouterr().err


def test_a_truncated_training_picture_is_named(dataset, tmp_path, capsys):
    path = dataset / "rgb" / "000.png"
    path.write_bytes(path.read_bytes()[:-100])
    words = ["train", "--dataset", str(dataset), "--model", "lite-dino-demo-rgb", "--workers", "0", *TINY]
    assert main([*words, "-o", str(tmp_path / "run")]) == 2
    assert "000.png" in capsys.readouterr().err


def test_debug_shows_where(capsys):
    assert main(["train", "--dataset", "lvip", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.e2e
def test_a_full_disk_ends_training_with_one_sentence(dataset, tmp_path):
    words = ["train", "--dataset", str(dataset), "--model", "lite-dino-demo-rgb", "--workers", "0", *TINY]
    done = subprocess.run(
        [sys.executable, "-m", "caffdet_cli", *words, "-o", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert done.returncode == 1
    assert "no room to write" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == []


@pytest.mark.e2e
def test_no_permission_is_one_sentence(dataset, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    words = ["train", "--dataset", str(dataset), "--model", "lite-dino-demo-rgb", "--workers", "0", *TINY]

    done = subprocess.run(
        [sys.executable, "-m", "caffdet_cli", *words, "-o", str(locked / "run")],
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=without_privileges,
    )
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert list(locked.iterdir()) == []
