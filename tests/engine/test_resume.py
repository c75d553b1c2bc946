"""A run that is stopped at any moment and resumed ends with the same numbers as an unbroken one, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from caffdet_cli.engine.checkpoint import generator_states, read_last, restore_generators
from caffdet_cli.engine.train import train
from caffdet_cli.engine.watch import Moment, Watch
from caffdet_cli.errors import OutputError, Stopped, WeightsError


class Interrupting(Watch):
    """Sends this process a signal after a number of steps."""

    def __init__(self, steps: int, number: int = signal.SIGTERM):
        super().__init__()
        self.left, self.number = steps, number

    def stepped(self, moment: Moment) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def assert_same_run(first: Path, second: Path) -> None:
    for checkpoint in ("last", "best"):
        one, other = (load_file(run / "checkpoints" / checkpoint / "model.safetensors") for run in (first, second))
        assert one.keys() == other.keys()
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert (first / "metrics.jsonl").read_text() == (second / "metrics.jsonl").read_text()


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_sigterm_finishes_the_step_and_resume_gives_equal_bits(tiny_files, unbroken, steps):
    broken = tiny_files.folder / "broken"
    with pytest.raises(Stopped, match="--resume"):
        train(tiny_files.dataset, model=tiny_files.model, output=broken, device="cpu", watch=Interrupting(steps))
    saved = read_last(broken)
    assert saved is not None
    assert saved.position.epoch * 4 + saved.position.step == steps
    train(resume=broken, device="cpu")
    assert_same_run(unbroken, broken)


def test_an_apple_gpu_draws_on_where_it_stopped(monkeypatch):
    state = torch.tensor([7, 8, 9], dtype=torch.uint8)
    given = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state)
    monkeypatch.setattr(torch.mps, "set_rng_state", given.append)
    states = generator_states()
    torch.rand(3)
    restore_generators(states)
    assert given == [state]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    restore_generators(states)  # continued elsewhere
    assert given == [state]
    assert torch.equal(torch.get_rng_state(), states["cpu"])


def test_ctrl_c_saves_too(tiny_files, unbroken):
    broken = tiny_files.folder / "broken"
    with pytest.raises(KeyboardInterrupt):
        train(
            tiny_files.dataset,
            model=tiny_files.model,
            output=broken,
            device="cpu",
            watch=Interrupting(3, signal.SIGINT),
        )
    train(resume=broken, device="cpu")
    assert_same_run(unbroken, broken)


def test_a_moving_average_goes_on_too_and_is_what_is_kept_as_the_best(tiny_files):
    overrides = ["train.average.decay=0.6", "train.average.first_epoch=1"]
    words = {"model": tiny_files.model, "device": "cpu", "overrides": overrides}
    whole, broken = tiny_files.folder / "whole", tiny_files.folder / "broken"
    train(tiny_files.dataset, output=whole, **words)
    with pytest.raises(Stopped):
        train(tiny_files.dataset, output=broken, watch=Interrupting(6), **words)
    train(resume=broken, device="cpu")
    assert_same_run(whole, broken)
    one, other = read_last(whole), read_last(broken)
    assert one.average["steps"] == other.average["steps"] == 8  # of three epochs of four steps, the last two
    for name, value in one.average["weights"].items():
        assert torch.equal(value, other.average["weights"][name])
    assert not torch.equal(one.average["weights"]["heads.class_head.weight"], one.weights["heads.class_head.weight"])


@pytest.mark.e2e
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_any_moment_and_resumed_ends_with_equal_bits(tiny_files, workers):
    whole, broken = tiny_files.folder / "whole", tiny_files.folder / "broken"
    words = ["--dataset", tiny_files.dataset, "--model", tiny_files.model, "--workers", str(workers), "--device", "cpu"]
    assert run_command(["train", *words, "-o", str(whole)]).wait(240) == 0
    draw, killed = random.Random(workers), 0
    command = run_command(["train", *words, "-o", str(broken)])
    for _ in range(3):
        seen = writes(broken)
        limit = time.monotonic() + 120
        while command.poll() is None and time.monotonic() < limit and not begun(broken, seen):
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))
        killed += command.poll() is None
        command.send_signal(signal.SIGKILL)
        command.wait()
        command = run_command(["train", "--resume", str(broken), "--device", "cpu"])
    assert command.wait(240) == 0
    assert killed, "nothing was killed: the run was over before"
    assert_same_run(whole, broken)


def run_command(words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "caffdet_cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def begun(run: Path, seen: set[tuple[str, int]]) -> bool:
    """Whether the run has written something, after the settings that make it a run to go on with."""
    return (run / "config.toml").is_file() and writes(run) != seen


def writes(run: Path) -> set[tuple[str, int]]:
    """What the folder holds, so that a change of it shows that the run has gone on."""
    try:
        return {(path.name, path.stat().st_mtime_ns) for path in run.rglob("*")}
    except FileNotFoundError:  # a checkpoint was renamed meanwhile: look again
        return writes(run)


def test_a_checkpoint_interrupted_between_its_renames_is_found(tiny_files, unbroken):
    checkpoints = unbroken / "checkpoints"
    (checkpoints / "last").rename(checkpoints / ".last.before")
    (checkpoints / ".last.part").mkdir()
    saved = read_last(unbroken)
    assert saved is not None
    assert saved.position.epoch == 3


def test_metrics_after_the_checkpoint_are_cut_off(tiny_files, unbroken):
    before = (unbroken / "metrics.jsonl").read_text()
    with (unbroken / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epoch", "half a li')
    train(resume=unbroken, device="cpu")
    assert (unbroken / "metrics.jsonl").read_text() == before


def test_changed_data_is_refused(tiny_files, unbroken):
    annotations = Path(tiny_files.dataset).with_name("train.json")
    annotations.write_text(
        annotations.read_text().replace('"car"', '"kar"').replace('"person"', '"car"').replace('"kar"', '"person"')
    )
    with pytest.raises(WeightsError, match="has changed"):
        train(resume=unbroken, device="cpu")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"config\.toml"):
        train(resume=tmp_path, device="cpu")
