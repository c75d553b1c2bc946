"""Signals, kills and what may change when a run goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from caffdet_cli.engine.checkpoint import read_last
from caffdet_cli.engine.job import new_job, resumed_job
from caffdet_cli.engine.stopping import StopFlag, stop_flag
from caffdet_cli.engine.train import Trainer, train
from caffdet_cli.engine.watch import Watch
from caffdet_cli.errors import ConfigError, Stopped
from caffdet_cli.progress import Progress

NUMBERS = (signal.SIGTERM, signal.SIGINT)


def same_run(first: Path, second: Path) -> None:
    """Equal bits in both checkpoints, and the same figures."""
    for checkpoint in ("last", "best"):
        one, other = (load_file(run / "checkpoints" / checkpoint / "model.safetensors") for run in (first, second))
        assert one.keys() == other.keys()
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert (first / "metrics.jsonl").read_text() == (second / "metrics.jsonl").read_text()


# the flag


def test_the_first_signal_is_noted_and_the_handlers_come_back():
    before = [signal.getsignal(number) for number in NUMBERS]
    with stop_flag() as flag:
        os.kill(os.getpid(), signal.SIGTERM)
        assert flag.signal == signal.SIGTERM
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_a_second_ctrl_c_interrupts_at_once():
    before = signal.getsignal(signal.SIGINT)
    with stop_flag():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_catches_no_signals():
    seen: list[object] = []

    def work() -> None:
        with stop_flag() as flag:
            seen.extend([flag.signal, signal.getsignal(signal.SIGTERM)])

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None, before]


# stopped and resumed


class StopInValidation(Watch):
    """Sends SIGTERM when the first validation begins."""

    def validating(self) -> Progress:
        os.kill(os.getpid(), signal.SIGTERM)
        return Progress()


def test_a_signal_during_validation_stops_it_and_the_run_goes_on_there(tiny_files, unbroken):
    broken = tiny_files.folder / "broken"
    with pytest.raises(Stopped, match="step 4 of epoch 1"):
        train(tiny_files.dataset, model=tiny_files.model, output=broken, device="cpu", watch=StopInValidation())
    assert (broken / "metrics.jsonl").read_text() == ""
    train(resume=broken, device="cpu")
    same_run(unbroken, broken)


def test_a_run_killed_before_its_first_checkpoint_starts_over_with_the_same_numbers(tiny_files, unbroken):
    broken = shutil.copytree(unbroken, tiny_files.folder / "broken")
    shutil.rmtree(broken / "checkpoints")
    (broken / "checkpoints" / ".last.part").mkdir(parents=True)
    train(resume=broken, device="cpu")
    same_run(unbroken, broken)


def test_a_finished_run_goes_on_to_nothing(tiny_files, unbroken):
    again = shutil.copytree(unbroken, tiny_files.folder / "again")
    assert train(resume=again, device="cpu").best == pytest.approx(read_last(again).position.best)
    same_run(unbroken, again)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGTERM, 143, "--resume"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_to_the_whole_process_group_spares_the_workers_until_the_step_is_saved(
    tiny_files, unbroken, number, code, said
):
    """What `timeout`, Slurm and a terminal do: every process of the run gets the signal."""
    broken = tiny_files.folder / "broken"
    words = ["--dataset", tiny_files.dataset, "--model", tiny_files.model, "--workers", "2", "--device", "cpu"]
    # The run signals its own group when it is about to wait for the first pictures of the second epoch.
    script = (
        "import os, signal, sys\n"
        "from caffdet_cli.data.loading import EpochSampler\n"
        "from caffdet_cli.main import main\n"
        "choose = EpochSampler.set_epoch\n"
        "def set_epoch(self, epoch, start=0):\n"
        "    choose(self, epoch, start)\n"
        f"    if epoch == 1: os.killpg(0, {int(number)})\n"
        "EpochSampler.set_epoch = set_epoch\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, "train", *words, "-o", str(broken)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, start_new_session=True)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    saved = read_last(broken)
    assert saved is not None
    assert (saved.position.epoch, saved.position.step) == (1, 1)
    train(resume=broken, device="cpu", overrides=["train.workers=0"])
    same_run(unbroken, broken)


# what a run needs and what may change


@pytest.mark.parametrize("change", ["model.queries=9", "train.batch=3", "train.lr=0.5", "train.seed=1"])
def test_settings_that_change_the_numbers_are_refused(unbroken, change):
    with pytest.raises(ConfigError, match=rf"{change.split('=')[0]} cannot change.*train\.epochs"):
        resumed_job(unbroken, overrides=[change])


def test_a_run_may_go_on_for_longer(unbroken):
    assert resumed_job(unbroken, overrides=["train.epochs=9", "train.workers=1"]).config.train.epochs == 9


def test_starting_weights_are_found_from_another_folder_and_needed_only_before_the_first_checkpoint(
    tiny_files, unbroken, monkeypatch
):
    monkeypatch.chdir(tiny_files.folder)
    (tiny_files.folder / "else where").mkdir()
    run = tiny_files.folder / "run"
    job = new_job(tiny_files.dataset, model=tiny_files.model, weights="unbroken", output=run)
    trainer = Trainer(job, "cpu", Watch())
    monkeypatch.chdir(tiny_files.folder / "else where")
    assert resumed_job(run).weights == unbroken / "checkpoints" / "best" / "model.safetensors"
    trainer._save()
    shutil.rmtree(unbroken)
    assert resumed_job(run).weights is None


class Listening(Progress):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_another_number_of_threads_is_told(unbroken):
    facts = json.loads((unbroken / "run.json").read_text())
    for threads, told in ((facts["threads"], False), (facts["threads"] + 1, True)):
        (unbroken / "run.json").write_text(json.dumps({**facts, "threads": threads}))
        progress = Listening()
        Trainer(resumed_job(unbroken), "cpu", Watch(progress))
        assert any(f"OMP_NUM_THREADS={threads}" in text for text in progress.warnings) == told


# what is left as it was


def test_validation_draws_no_random_numbers(tiny_files):
    trainer = Trainer(
        new_job(tiny_files.dataset, model=tiny_files.model, output=tiny_files.folder / "run"), "cpu", Watch()
    )
    before = torch.get_rng_state()
    trainer.validate(StopFlag())
    assert torch.equal(torch.get_rng_state(), before)


def test_training_leaves_the_number_of_threads_and_the_handlers(tiny_files):
    before = torch.get_num_threads(), [signal.getsignal(number) for number in NUMBERS]
    words = {"model": tiny_files.model, "output": tiny_files.folder / "run", "device": "cpu"}
    train(tiny_files.dataset, **words, overrides=["train.epochs=1"])
    assert (torch.get_num_threads(), [signal.getsignal(number) for number in NUMBERS]) == before
