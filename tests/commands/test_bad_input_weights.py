"""Spoilt checkpoints: broken, foreign, with code inside; for every command that reads them and for resuming."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_input import DEEP, Cell, check_here, cut, lose, pickled_code, put

from caffdet_cli.main import main

CELLS: list[Cell] = []

PAIR = "--weights weights/pair.safetensors"
TRAIN = "train --device cpu --dataset data -o out"
EVAL = f"eval {PAIR} --device cpu --workers 0 --dataset data -o out"
PREDICT = f"predict {PAIR} --device cpu -o out"


def header(facts: object, length: int | None = None) -> bytes:
    """A safetensors file of a header alone, which may lie about its length."""
    text = (facts if isinstance(facts, str) else json.dumps(facts)).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text


CODE = "posix.system" if Path("/").exists() else "nt.system"
CHECKPOINTS: list[tuple[str, str, Callable[[Path], object] | None, str]] = [
    # fault, what follows --weights, what makes it, what is said
    ("missing checkpoint", "nowhere.safetensors", None, "nowhere.safetensors is not there"),
    ("unknown name", "lite-dino-r50-coc", None, "'lite-dino-r50-coc' | did you mean 'lite-dino-r50-coco'"),
    ("published name, not fetched", "lite-dino-r50-coco", None, "not at hand | caffdet download-weights"),
    ("folder without checkpoint", "data", None, "data has no checkpoint"),
    ("empty checkpoint", "w.safetensors", put("w.safetensors", b""), "w.safetensors"),
    ("empty .pth", "w.pth", put("w.pth", b""), "w.pth | truncated"),
    ("text as checkpoint", "w.safetensors", put("w.safetensors", "no weights " * 99), "w.safetensors"),
    ("text as .pth", "w.pth", put("w.pth", "no weights " * 99), "w.pth"),
    (
        "truncated checkpoint",
        "run",
        cut("run/checkpoints/best/model.safetensors"),
        "best/model.safetensors | truncated",
    ),
    (
        "truncated .pth",
        "weights.pth",
        lambda here: put("weights.pth", (here / "weights/resnet.pth").read_bytes()[:900])(here),
        "weights.pth",
    ),
    ("ResNet", "weights/resnet.pth", None, "weights/resnet.pth"),  # a classifier; training can start from one that fits
    ("YOLO", "weights/yolo.pth", None, "weights/yolo.pth looks like a YOLO"),
    (
        "foreign safetensors",
        "w.safetensors",
        put("w.safetensors", header({})),
        "w.safetensors was not written by caffdet",
    ),
    ("header as long as memory", "w.safetensors", put("w.safetensors", header("{}", 2**63)), "w.safetensors"),
    ("deep header", "w.safetensors", put("w.safetensors", header(DEEP)), "w.safetensors"),
    (
        "deep settings",
        "w.safetensors",
        put("w.safetensors", header({"__metadata__": {"caffdet": DEEP}})),
        "w.safetensors",
    ),
    (
        "settings of another version",
        "w.safetensors",
        put("w.safetensors", header({"__metadata__": {"caffdet": '{"format": 9}'}})),
        "w.safetensors | version",
    ),
    ("code in a .pth", "w.pth", put("w.pth", pickled_code()), f"w.pth carries code ({CODE}) and was not loaded"),
    ("code in a .safetensors", "w.safetensors", put("w.safetensors", pickled_code()), "w.safetensors"),
]
for fault, weights, prepare, said in CHECKPOINTS:
    nothing = prepare or (lambda here: None)
    for words in (TRAIN, EVAL.replace(f"{PAIR} ", ""), f"{PREDICT.replace(f'{PAIR} ', '')} --ir data/ir"):
        CELLS += [Cell(f"{words} --weights {weights}", fault, said, nothing)]
    CELLS.append(Cell(f"{EVAL} --against weights/rgb.safetensors {weights}", f"{fault} in --against", said, nothing))
LAST = "run/checkpoints/last"
RESUME = "train --resume run --set train.epochs=2 --device cpu"
CELLS += [
    Cell(
        f"{EVAL} --against weights/ir.safetensors weights/rgb.safetensors",
        "--against turned round",
        "--against | weights/ir.safetensors",
    ),
    Cell(
        f"{TRAIN} --weights {PAIR.split()[1]} --set \"model.spectra=['rgb']\" --set \"model.fusion={{name='none'}}\"",
        "pair into one spectrum",
        "weights/pair.safetensors | two spectra",
    ),
    Cell(RESUME, "missing weights", f"{LAST}/model.safetensors", lose(f"{LAST}/model.safetensors")),
    Cell(RESUME, "empty weights", f"{LAST}/model.safetensors", put(f"{LAST}/model.safetensors", b"")),
    Cell(RESUME, "truncated weights", f"{LAST}/model.safetensors | truncated", cut(f"{LAST}/model.safetensors")),
    Cell(
        RESUME,
        "weights of another model",
        f"{LAST}/model.safetensors",
        lambda here: put(f"{LAST}/model.safetensors", (here / "weights/rgb.safetensors").read_bytes())(here),
    ),
    Cell(RESUME, "missing state", f"{LAST}/training.pt", lose(f"{LAST}/training.pt")),
    Cell(RESUME, "empty state", f"{LAST}/training.pt", put(f"{LAST}/training.pt", b"")),
    Cell(RESUME, "truncated state", f"{LAST}/training.pt", cut(f"{LAST}/training.pt")),
    Cell(
        RESUME,
        "state of something else",
        f"{LAST}/training.pt",
        lambda here: put(f"{LAST}/training.pt", (here / "weights/yolo.pth").read_bytes())(here),
    ),
    Cell(
        RESUME,
        "code in the state",
        f"{LAST}/training.pt | carries code ({CODE})",
        put(f"{LAST}/training.pt", pickled_code()),
    ),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_spoilt_checkpoint_is_one_sentence_and_changes_nothing(
    cell: Cell, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_here(cell, here, capsys)


@pytest.mark.parametrize("content", ['{"threads": ', DEEP, "[]", "\x00"], ids=["broken", "deep", "a list", "binary"])
def test_a_run_goes_on_without_the_facts_that_only_inform(
    content: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put("run/run.json", content)(here)
    assert main(["train", "--resume", "run", "--set", "train.epochs=2", "--device", "cpu"]) == 0, (
        capsys.readouterr().err
    )
