"""What a run writes beside its checkpoints: its settings, how it was started, and one line of figures per event."""

import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import torchvision

from caffdet_cli import __version__
from caffdet_cli.data.fingerprint import fingerprint
from caffdet_cli.engine.job import Job
from caffdet_cli.paths import friendly_writes, write_text
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import to_toml


def write_start(job: Job) -> None:
    """`config.toml` (resolved) and `run.json`; what a run that is overwritten left in the folder goes."""
    _clear(job.folder)
    write_text(job.folder / "config.toml", to_toml(job.config))
    facts = {
        "schema": 1,
        "command": sys.argv,
        "seed": job.config.train.seed,
        "data": {"train": fingerprint(job.train), job.val_split: fingerprint(job.val)},
        "versions": {
            "caffdet": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
        "threads": torch.get_num_threads(),
    }
    write_text(job.folder / "run.json", json.dumps(facts, indent=2) + "\n")


def check_threads(folder: Path, progress: Progress) -> None:
    """Warn where a run on the CPU goes on with another number of threads: sums then differ in their last bits."""
    try:
        threads = json.loads((folder / "run.json").read_text(encoding="utf-8"))["threads"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # the run goes on without it
        return
    if threads != torch.get_num_threads():
        progress.warn(
            f"{folder} was started with {threads} threads, here are {torch.get_num_threads()}: its numbers will differ "
            f"a little from those of an unbroken run; OMP_NUM_THREADS={threads} keeps them the same"
        )


def _clear(folder: Path) -> None:
    """Remove what a run and its evaluation write, and nothing else; first what makes it a run folder."""
    for pattern in ("config.toml", "run.json", "metrics.jsonl", "report.json", "detections-*.json"):
        for path in folder.glob(pattern):
            path.unlink()
    for name in ("checkpoints", "diverged"):
        shutil.rmtree(folder / name, ignore_errors=True)


class Metrics:
    """`metrics.jsonl`: one JSON object per line, appended as the run goes on.

    Args:
        size: bytes that belong to the checkpoint the run goes on from; what was written after it is cut off.
    """

    def __init__(self, folder: Path, size: int = 0):
        self.path = folder / "metrics.jsonl"
        with friendly_writes(self.path):
            self.path.touch()
            if self.path.stat().st_size > size:
                os.truncate(self.path, size)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size

    def write(self, event: str, **figures: Any) -> None:
        """Append one line."""
        with friendly_writes(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **figures}) + "\n")
            file.flush()
            os.fsync(file.fileno())
