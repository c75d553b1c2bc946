"""Faults of the system, in real processes: no permission, a full disk, a closed pipe, Ctrl-C.

Of `caffdet convert` and of a new `caffdet train` some of these are in test_convert_command.py, test_train_command.py
and test_stopping.py; of standard output on a full disk in test_main.py.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input import Cell, Processes, both, changes, edit, lock, paired, put, state

pytestmark = pytest.mark.e2e

PAIR = "--weights weights/pair.safetensors"
TRAIN = "train --device cpu --dataset data"
EVAL = f"eval {PAIR} --device cpu --workers 0 --dataset data"
DRAW = "visualize --dataset data"
PREDICT = f"predict {PAIR} --device cpu --rgb data/rgb --ir data/ir"
SCORE = "eval --predictions data/found.json --annotations data/val.json"
RESUME = "train --resume run --set train.epochs=9 --device cpu"
MANY = 400  # pairs that a command works on when it is interrupted

LOCKED = [
    Cell(f"{words} -o empty/out", "output without write permission", "cannot write | empty/out", lock("empty", 0o555))
    for words in (TRAIN, EVAL, DRAW, PREDICT, "demo", "convert flir raw/flir", "convert voc raw/voc")
]
LOCKED += [
    Cell(
        f"{words} --overwrite -o full",
        "existing output without write permission",
        "cannot write | full",
        lock("full", 0o555),
    )
    for words in (EVAL, DRAW, PREDICT)
]
LOCKED += [
    Cell(f"{words} -o out", "locked settings", "data/dataset.toml | ermission", lock("data/dataset.toml"))
    for words in (TRAIN, EVAL, DRAW)
]
LOCKED += [Cell(f"{words} -o out", "locked data", "data | ermission", lock("data")) for words in (TRAIN, EVAL, DRAW)]
LOCKED += [
    Cell("config show mine.toml", "locked settings", "mine.toml | ermission", put("mine.toml", "", 0)),
    Cell(f"{TRAIN} --model mine.toml -o out", "locked model", "mine.toml | ermission", put("mine.toml", "", 0)),
    Cell(f"{EVAL} -o out", "locked annotations", "data/val.json | ermission", lock("data/val.json")),
    Cell(f"{EVAL} -o out", "locked picture", "data/ir/0001.png | ermission", lock("data/ir/0001.png")),
    Cell(
        f"{EVAL.replace('weights/pair', 'w')} -o out",
        "locked checkpoint",
        "w.safetensors | ermission",
        put("w.safetensors", "x", 0),
    ),
    Cell(
        f"{EVAL.replace('weights/pair.safetensors', 'w.pth')} -o out",
        "locked .pth",
        "w.pth | ermission",
        put("w.pth", "x", 0),
    ),
    Cell(SCORE, "locked detections", "data/found.json", lock("data/found.json")),
    Cell(f"{PREDICT} -o out", "locked folder of pictures", "data/ir | ermission", lock("data/ir")),
    Cell(
        f"{PREDICT} -o out".replace("data/rgb", "data/rgb/0001.png").replace("data/ir", "data/ir/0001.png"),
        "locked picture",
        "data/ir/0001.png | ermission",
        lock("data/ir/0001.png"),
    ),
    Cell(
        f"{PREDICT.replace('data/rgb', 'list.txt')} -o out",
        "locked list",
        "list.txt | ermission",
        put("list.txt", "x", 0),
    ),
    Cell(RESUME, "locked run", "run | ermission", lock("run")),
    Cell(RESUME, "locked configuration", "run/config.toml | ermission", lock("run/config.toml")),
    Cell(
        RESUME,
        "locked checkpoint",
        "last/model.safetensors | ermission",
        lock("run/checkpoints/last/model.safetensors"),
    ),
    Cell(RESUME, "locked state", "last/training.pt | ermission", lock("run/checkpoints/last/training.pt")),
    Cell(
        RESUME,
        "run without write permission",
        "run | ermission",
        both(lock("run/metrics.jsonl", 0o444), lock("run/checkpoints", 0o555), lock("run", 0o555)),
        leaves=("run/metrics.jsonl",),  # its time only: it cannot be opened
    ),
]

BEGUN = ("out", "out/config.toml", "out/run.json", "out/metrics.jsonl", "out/checkpoints")
FULL = [Cell(f"{words} -o out", "full disk", "no room to write | out", code=1) for words in (EVAL, DRAW, PREDICT)]
FULL += [
    Cell(RESUME, "full disk", "no room to write | run", code=1, leaves=("run/metrics.jsonl",)),
    Cell(
        "demo --device cpu -o out",
        "full disk",
        "no room to write | out",
        code=1,
        leaves=("out", *(f"out/rgb{path[3:]}" for path in BEGUN)),
    ),
]


@pytest.fixture(scope="module")
def processes(made: Path) -> Iterator[Processes]:
    processes = Processes(made / "cache")
    yield processes
    processes.close()


@pytest.mark.parametrize("cell", LOCKED, ids=str)
def test_without_permission(cell: Cell, here: Path, processes: Processes) -> None:
    processes.check(cell, here, "without_privileges")


@pytest.mark.parametrize("cell", FULL, ids=str)
def test_on_a_full_disk(cell: Cell, here: Path, processes: Processes) -> None:
    processes.check(cell, here, "on_a_full_disk")


# a closed pipe: what was to be done is done

PRINTING = [
    "convert llvip raw/llvip -o out",
    "convert flir raw/flir -o out --json",
    "convert voc raw/voc -o out --dry-run",
    f"{TRAIN} -o out",
    f"{TRAIN} -o out --dry-run --json",
    RESUME.replace("9", "1"),
    f"{EVAL} -o out --json",
    SCORE,
    f"{PREDICT} -o out --json",
    f"{DRAW} -o out",
    "config list",
    "config show llvip",
    "doctor",
    "doctor --json",
]


@pytest.mark.parametrize("words", PRINTING)
def test_a_closed_pipe_is_no_error(words: str, here: Path, processes: Processes, tmp_path: Path) -> None:
    pipe, err = tmp_path / "pipe", tmp_path / "err"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)  # so that the process can open it at once
    processes.start(words, here, pipe, err)
    while not err.exists():  # both streams are open then
        time.sleep(0.001)
    os.close(reader)
    os.close(writer)
    assert processes.wait() == 0, err.read_text()
    assert "Traceback" not in err.read_text()
    assert "error: " not in err.read_text()
    wanted = "-o out" in words and "--dry-run" not in words
    assert (here / "out").is_dir() == wanted
    assert list(here.rglob("*.part")) == []


# Ctrl-C


def many(here: Path) -> None:
    """A data set that takes a while: the same pair again and again."""
    names = [f"{number:04}.png" for number in range(MANY)]
    for spectrum in ("rgb", "ir"):
        for name in names[2:]:
            (here / "data" / spectrum / name).hardlink_to(here / "data" / spectrum / names[0])
    for split in ("train", "val"):
        edit(f"data/{split}.json", lambda content: content.update(paired(names)))(here)


LONG = [
    # words, folder in which something appears when the work has begun
    (f"{TRAIN} -o out", "out"),
    (RESUME, "run"),
    (f"{EVAL} -o out", "."),
    (f"{PREDICT} -o out", "."),
    (f"{DRAW} --limit 0 -o out", "."),
    ("demo --device cpu -o out", "out"),
]


@pytest.mark.parametrize(("words", "place"), LONG, ids=[f"{words.split()[0]} {place}" for words, place in LONG])
def test_ctrl_c_is_one_line_and_leaves_nothing_half_written(
    words: str, place: str, here: Path, processes: Processes, tmp_path: Path
) -> None:
    if words != RESUME:  # it would refuse other data
        many(here)
    before = state(here)
    out, err = tmp_path / "stdout", tmp_path / "stderr"
    process = processes.start(words, here, out, err)
    limit = time.monotonic() + 30
    while not any(path.startswith(place.strip(".")) for path in changes(before, state(here))):
        assert time.monotonic() < limit, err.read_text()
        time.sleep(0.005)
    os.kill(process, signal.SIGINT)
    assert (processes.wait(), out.read_text()) == (130, ""), err.read_text()
    assert err.read_text().splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in err.read_text()
    new = changes(before, state(here))
    assert [path for path in new if ".part" in path or path.startswith(("data", "weights", "full"))] == []
    if place == ".":
        assert new == []


def test_ctrl_c_while_the_demo_data_are_made_leaves_the_cache_empty(
    here: Path, processes: Processes, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    out, err = tmp_path / "stdout", tmp_path / "stderr"
    process = processes.start("visualize --dataset demo -o out", here, out, err, cache=cache)
    limit = time.monotonic() + 30
    while not cache.is_dir() or not any(cache.iterdir()):
        assert time.monotonic() < limit, err.read_text()
        time.sleep(0.005)
    os.kill(process, signal.SIGINT)
    assert (processes.wait(), out.read_text()) == (130, "")
    assert err.read_text().splitlines()[-1].startswith("interrupted")
    assert not (here / "out").exists()
    assert list(cache.iterdir()) == []
