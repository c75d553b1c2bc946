"""A table of wrong requests: what a cell is, the small files it spoils, and what must hold after every one.

A cell is checked by comparing the whole working folder before and after: nothing may be new, changed or gone.
"""

import json
import os
import pickle
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pytest

from caffdet_cli.main import main

Prepare = Callable[[Path], object]

MODEL = """
[model]
spectra = ["ir", "rgb"]
width = 64
levels = 2
queries = 4
detections = 4
backbone = { depth = 10, levels = [1], normalisation = "group", frozen_stages = 0 }
fusion = { name = "caff-lite", stages = 2, reduced = 8 }
encoder = { layers = 2, blocks = 1, high_levels = 1, heads = 2, points = 2, feedforward = 16 }
decoder = { layers = 2, heads = 2, points = 2, feedforward = 16 }
input = { short_side = 32, max_side = 48 }
[train]
weights = ""
epochs = 1
batch = 2
workers = 0
augment = { scales = [32], max_side = 48, crop = 0.0 }
"""
DATA = """[data]
name = "pairs"
root = "."
label_spectrum = "ir"
model = "../tiny.toml"
[data.splits]
train = { annotations = ["train.json"] }
val = { annotations = ["val.json"] }
"""
VOC = """<annotation><filename>{name}</filename><size><width>48</width><height>32</height></size><object>
<name>person</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>25</ymax></bndbox></object></annotation>"""
DEEP = "[" * 100_000


class Cell(NamedTuple):
    """One wrong request."""

    words: str  # as typed after `caffdet`, in the folder that `make_files` fills
    fault: str
    said: str  # parts of the error sentence, separated by " | "
    prepare: Prepare = lambda here: None
    code: int = 2
    also: str = ""  # elsewhere on standard error, for example in the table of findings
    leaves: tuple[str, ...] = ()  # what may be new: a run that has begun keeps its whole files, to be gone on with

    def __str__(self) -> str:
        first, second, *_ = [*self.words.split(), ""]
        return f"{first} {second}: {self.fault}" if first in ("config", "convert") else f"{first}: {self.fault}"


class Outcome(NamedTuple):
    """What a command has done."""

    code: int
    out: str
    err: str


def check(cell: Cell, outcome: Outcome, changed: list[str]) -> None:
    """Everything that must hold after a wrong request, whatever it was."""
    told = outcome.err.splitlines()
    assert "Traceback" not in outcome.err, outcome.err
    assert "this is a bug" not in outcome.err, outcome.err
    assert (outcome.code, outcome.out) == (cell.code, ""), outcome.err
    starts = [number for number, line in enumerate(told) if line.startswith("error: ")]
    assert len(starts) == 1, outcome.err
    sentence = "\n".join(told[starts[0] :])
    assert [part for part in cell.said.split(" | ") if part not in sentence] == [], sentence
    assert [part for part in cell.also.split(" | ") if part not in outcome.err] == [], outcome.err
    assert len(sentence) < 2000
    assert [path for path in changed if path not in cell.leaves] == [], changed


def check_here(cell: Cell, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spoil the files, run the command in this process, and check what it did."""
    cell.prepare(here)
    before = state(here)
    code = main(shlex.split(cell.words))
    out, err = capsys.readouterr()
    check(cell, Outcome(code, out, err), changes(before, state(here)))


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """What every file and folder below `folder` is; folders by their names only."""
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        is_folder = path.is_dir() and not path.is_symlink()
        facts = () if is_folder else (about.st_ino, about.st_size, about.st_mtime_ns)
        found[path.relative_to(folder).as_posix()] = (about.st_mode, *facts)
    return found


def changes(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> list[str]:
    """Paths that are new, changed or gone."""
    return sorted(path for path in before | after if before.get(path) != after.get(path))


# faults


def put(place: str, content: str | bytes, mode: int = 0o644) -> Prepare:
    """Write a file in place of the one that may be there (which other cells share)."""

    def prepare(here: Path) -> None:
        path = here / place
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)

    return prepare


def lock(place: str, mode: int = 0) -> Prepare:
    """A file or folder that may not be read (0) or written (0o555)."""

    def prepare(here: Path) -> None:
        path = here / place
        if path.is_dir():
            path.chmod(mode)
        else:
            put(place, path.read_bytes(), mode)(here)

    return prepare


def cut(place: str, share: float = 0.5) -> Prepare:
    """The first part of a file."""

    def prepare(here: Path) -> None:
        content = (here / place).read_bytes()
        put(place, content[: int(share * len(content))])(here)

    return prepare


def lose(place: str) -> Prepare:
    return lambda here: (here / place).unlink()


def edit(place: str, change: Callable[[Any], object]) -> Prepare:
    """Change what a JSON file says."""

    def prepare(here: Path) -> None:
        content = json.loads((here / place).read_text())
        change(content)
        put(place, json.dumps(content))(here)

    return prepare


def replace(place: str, old: str, new: str) -> Prepare:
    """Change a piece of a text file."""

    def prepare(here: Path) -> None:
        content = (here / place).read_text()
        assert old in content
        put(place, content.replace(old, new))(here)

    return prepare


def both(*steps: Prepare) -> Prepare:
    return lambda here: [step(here) for step in steps]


class RunsCode:
    """A pickle of it makes the file `attacked` when it is loaded carelessly."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch attacked",)


def pickled_code() -> bytes:
    return pickle.dumps({"model": RunsCode()}, protocol=2)


# the files that cells start from


def make_files(root: Path) -> None:
    """Raw data sets, a converted one, detections, a model, its weights and a finished run; all tiny.

    `weights/` and `cache/` are made beside `here/`, because no cell changes them.
    """
    here = root / "here"
    _raw(here / "raw")
    _pairs(here / "data", 2)
    put("tiny.toml", MODEL)(here)
    put("full/note.txt", "mine")(here)
    put("file", "text")(here)
    put("data/text.png", "no picture")(here)
    (here / "empty").mkdir()
    _weights(root, here)
    _demo_cache(root / "cache" / "demo-v1")


def _raw(raw: Path) -> None:
    layouts = {
        "llvip": ("visible/train/{}.jpg", "infrared/train/{}.jpg", "Annotations/{}.xml", "{}.jpg"),
        "voc": ("visible/{}.png", "infrared/{}.png", "Annotations/{}.xml", "{}.png"),
        "flir": (
            "JPEGImages/FLIR_{}_RGB.jpg",
            "JPEGImages/FLIR_{}_PreviewData.jpeg",
            "Annotations/FLIR_{}_PreviewData.xml",
            "FLIR_{}_PreviewData.jpeg",
        ),
    }
    for name, (rgb, ir, annotation, filename) in layouts.items():
        picture(raw / name / rgb.format("00001"))
        picture(raw / name / ir.format("00001"), grey=True)
        put(f"{name}/{annotation.format('00001')}", VOC.format(name=filename.format("00001")))(raw)
    put("flir/align_train.txt", "FLIR_00001_PreviewData\n")(raw)
    picture(raw / "caff" / "train_RGB" / "1_RGB.jpg")
    picture(raw / "caff" / "train_thermal" / "1_PreviewData.jpeg", grey=True)
    image = {"id": 1, "width": 48, "height": 32, "file_name": "1_PreviewData.jpeg"}
    annotations = [annotation_of(1, 1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(("person", "car", "bicycle"), start=1)]
    content = {"images": [image], "annotations": annotations, "categories": categories}
    put("caff/annotations/train.json", json.dumps(content))(raw)


def _pairs(root: Path, count: int) -> None:
    names = [f"{number:04}.png" for number in range(count)]
    for name in names:
        picture(root / "rgb" / name)
        picture(root / "ir" / name, grey=True)
    for split in ("train", "val"):
        put(f"{split}.json", json.dumps(paired(names)))(root)
    put("dataset.toml", DATA)(root)
    found = [{**annotation_of(number, number), "score": 0.5} for number in range(count)]
    put("found.json", json.dumps(found))(root)


def paired(names: list[str]) -> dict[str, Any]:
    """The content of a paired COCO file."""
    sides = [{"width": 48, "height": 32, "file_name": f"rgb/{name}", "file_name_IR": f"ir/{name}"} for name in names]
    return {
        "info": {"caffdet": {"version": 1, "label_spectrum": "ir"}},
        "images": [{"id": number, **one} for number, one in enumerate(sides)],
        "annotations": [annotation_of(number, number) for number in range(len(names))],
        "categories": [{"id": 1, "name": "person"}],
    }


def annotation_of(number: int, image: int) -> dict[str, Any]:
    box = {"bbox": [2, 3, 18, 22], "area": 18 * 22, "iscrowd": 0}
    return {"id": number, "image_id": image, "category_id": 1, **box}


def picture(path: Path, grey: bool = False) -> None:
    """48 x 32 noisy pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (32, 48) if grey else (32, 48, 3)
    cv2.imwrite(str(path), np.random.default_rng(len(path.name)).integers(0, 255, shape, np.uint8))


def _weights(root: Path, here: Path) -> None:
    """A finished run of the pair model; detectors of one spectrum; foreign files."""
    import torch

    from caffdet_cli.engine.job import conventions_of, new_job
    from caffdet_cli.engine.train import train
    from caffdet_cli.models.build import detector
    from caffdet_cli.weights.store import save_weights

    train(str(here / "data"), output=here / "run", device="cpu")
    for spectrum in ("rgb", "ir"):
        single = [f'model.spectra=["{spectrum}"]', "model.fusion={name='none'}"]
        job = new_job(str(here / "data"), output=root / "unused", overrides=single)
        known = conventions_of(job.config, job.train)
        save_weights(
            root / f"weights/{spectrum}.safetensors",
            detector(job.config.model, 1).state_dict(),
            job.config.model,
            known,
        )
    (root / "weights/pair.safetensors").hardlink_to(here / "run/checkpoints/best/model.safetensors")
    resnet = {"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    torch.save(resnet, root / "weights/resnet.pth")
    torch.save({"model": {"model.0.conv.weight": torch.zeros(1)}}, root / "weights/yolo.pth")
    (here / "weights").symlink_to(root / "weights")


def _demo_cache(folder: Path) -> None:
    """As if the demo data set had been made: every file is there, its annotations name a few."""
    from caffdet_cli.data.demo_set import TRAIN, VAL, make_demo

    make_demo(folder, train=4, val=2, size=(64, 80))
    for spectrum in ("rgb", "ir"):
        for split, made, count in (("train", 4, TRAIN), ("val", 2, VAL)):
            for number in range(made, count):
                (folder / spectrum / f"{split}_{number:04}.png").hardlink_to(folder / spectrum / f"{split}_0000.png")


# real processes

_SERVER = """
import ctypes, gc, json, os, resource, sys
import caffdet_cli.demo, caffdet_cli.doctor, caffdet_cli.engine.train, caffdet_cli.visualization.show
from caffdet_cli.main import entry

def without_privileges():
    # tests/privileges.py does it before exec; there is none after a fork
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, data) == 0
    for part in (0, 1, 2):  # effective, permitted, inheritable: not CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        data[part] &= ~0b110
    assert libc.capset(header, data) == 0

def on_a_full_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    words, folder, out, err, cache, fault = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ["CAFFDET_CACHE"] = cache
        os.chdir(folder)
        for path, number in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        if fault:
            globals()[fault]()
        sys.argv = ["caffdet", *words]
        try:
            entry()
        except SystemExit as done:
            os._exit(done.code)  # taking the interpreter down takes longer than most commands
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

Fault = Literal["", "without_privileges", "on_a_full_disk"]


class Processes:
    """Commands as real processes, forked from one that has imported everything: an import takes seconds.

    Args:
        cache: `$CAFFDET_CACHE` of the commands, where nothing else is said.
    """

    def __init__(self, cache: Path):
        self._cache = cache
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("CAFFDET_DATA", None)
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._line() == "ready"

    def start(
        self, words: str, folder: Path, out: Path, err: Path, fault: Fault = "", cache: Path | None = None
    ) -> int:
        """Start a command with its streams in these files; its process id."""
        assert self._server.stdin is not None
        request = [shlex.split(words), str(folder), str(out), str(err), str(cache or self._cache), fault]
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """The exit code of the command that was started."""
        return int(self._line())

    def check(self, cell: Cell, here: Path, fault: Fault) -> None:
        """Spoil the files, run the command to its end with a fault of the system, and check what it did."""
        cell.prepare(here)
        before = state(here)
        out, err = (here.with_name(name) for name in ("stdout", "stderr"))
        self.start(cell.words, here, out, err, fault)
        outcome = Outcome(self.wait(), out.read_text(), err.read_text())
        check(cell, outcome, changes(before, state(here)))

    def close(self) -> None:
        self._server.communicate(timeout=30)

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()
