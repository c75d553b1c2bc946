"""A detector so small that a run of it takes seconds, on a few small pairs."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from caffdet_cli.engine.train import train

MODEL = """
[model]
spectra = ["ir", "rgb"]
width = 64
levels = 2
queries = 8
detections = 8
backbone = { depth = 10, levels = [1], normalisation = "group", frozen_stages = 0 }
fusion = { name = "caff-lite", stages = 2, reduced = 8 }
encoder = { layers = 2, blocks = 1, high_levels = 1, heads = 2, points = 2, feedforward = 32, dropout = 0.1 }
decoder = { layers = 2, heads = 2, points = 2, feedforward = 32, dropout = 0.1 }
denoising = { number = 50 }
input = { short_side = 48, max_side = 64 }

[train]
weights = ""
epochs = 3
batch = 2
workers = 0
lr = 1e-3
lr_backbone = 1e-4
freeze_backbone = false
warmup = 2
save_every = 2
augment = { scales = [40, 48], max_side = 64, crop_scales = [48], crop_range = [24, 40], photometric = "independent", \
modality_dropout = { rgb = 0.2, ir = 0.2 } }
"""
DATA = """
[data]
name = "tiny"
root = "."
classes = ["person", "car", "bicycle"]
label_spectrum = "ir"
splits = { train = { annotations = ["train.json"] }, val = { annotations = ["train.json"] } }
"""


class Files(NamedTuple):
    """Arguments of a tiny run."""

    model: str
    dataset: str
    folder: Path


@pytest.fixture
def tiny_files(make_pairs: Callable[..., object], tmp_path: Path) -> Files:
    """A model file and a data set of nine pairs."""
    pairs = make_pairs(count=9)
    (tmp_path / "tiny.toml").write_text(MODEL)
    (pairs.root / "dataset.toml").write_text(DATA)  # type: ignore[attr-defined]
    return Files(str(tmp_path / "tiny.toml"), str(pairs.root / "dataset.toml"), tmp_path)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here and in real processes: sums depend on the number in their last bits, and small ones gain nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def kept() -> dict[str, Path]:
    """The unbroken run once it was made, and where its data were."""
    return {}


@pytest.fixture
def unbroken(tiny_files: Files, kept: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `tiny_files`; trained once, each test has its own copy on its own data."""
    root = Path(tiny_files.dataset).parent
    if not kept:
        run = tmp_path_factory.mktemp("kept") / "run"
        train(tiny_files.dataset, model=tiny_files.model, output=run, device="cpu")
        kept |= {"run": run, "root": root}
    copy = shutil.copytree(kept["run"], tiny_files.folder / "unbroken")
    settings = copy / "config.toml"
    settings.write_text(settings.read_text().replace(str(kept["root"]), str(root)))
    return copy
