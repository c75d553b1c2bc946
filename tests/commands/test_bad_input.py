"""Wrong requests: names, settings, places. Every command x every fault that applies to it, one cell each.

Wrong content of files is in test_bad_input_files.py, faults of the system in test_bad_input_process.py.
"""

from pathlib import Path

import pytest
from bad_input import Cell, both, check_here, lose, put, replace

CELLS: list[Cell] = []

PAIR = "--weights weights/pair.safetensors"
OUT = "-o out"
TRAIN = f"train --device cpu {OUT}"
EVAL = f"eval {PAIR} --device cpu --workers 0 {OUT}"
DRAW = f"visualize {OUT}"
PREDICT = f"predict {PAIR} --device cpu {OUT}"
FILES = "eval --predictions data/found.json --annotations data/val.json"
BROKEN = "[data]\nname = \n"

# words that do not exist

for base in (TRAIN, EVAL, DRAW):
    CELLS += [
        Cell(f"{base} --dataset lvip", "unknown data set", "'lvip' | did you mean 'llvip'"),
        Cell(
            f"{base} --dataset data --set train.epoch=3", "unknown key in --set", "command line | did you mean 'epochs'"
        ),
        Cell(f"{base} --dataset data --set epochs", "--set without value", "--set epochs | KEY=VALUE"),
        Cell(f"{base} --dataset data --set data.splits.vall.annotations=[]", "unknown split in --set", "vall | 'val'"),
        Cell(f"{base} --dataset data --sett x=1", "unknown option", "--sett | --set"),
    ]
for base in (EVAL, DRAW):
    CELLS += [
        Cell(f"{base} --dataset data --split validation", "unknown split", "--split | 'validation' | 'val'"),
        Cell(f"{base} --dataset data --split test", "split that it lacks", "no split 'test' | train, val"),
    ]
for base in (f"{TRAIN} --dataset data", f"{EVAL} --dataset data", f"{PREDICT} --rgb data/rgb", f"demo {OUT}"):
    short = base.replace("--device cpu ", "")
    CELLS += [
        Cell(f"{short} --device gpu", "unknown device", "--device gpu | auto, cpu, cuda"),
        Cell(f"{short} --device cuda:99", "absent device", "--device cuda:99 | caffdet doctor"),
    ]
for base in (f"{TRAIN} --dataset data", f"{EVAL} --dataset data", f"{PREDICT} --rgb data/rgb"):
    CELLS += [
        Cell(f"{base} --precision fp8", "unknown precision", "--precision | 'fp8' | 'fp32', 'bf16'"),
        Cell(f"{base} --batch 0", "batch of nothing", "--batch"),
        Cell(f"{base} --workers -1", "negative workers", "--workers"),
    ]
CELLS += [
    Cell("convert lvip raw/llvip -o out", "unknown format", "'lvip' | did you mean llvip"),
    Cell("convert pascal raw/voc -o out", "unknown format far from all", "'pascal' | llvip | flir | voc"),
    Cell("convert llvip raw/llvip -o out --label-spectrum thermal", "unknown spectrum", "'thermal' | 'rgb', 'ir'"),
    Cell("convert llvip raw/llvip -o out --classes dog", "unknown class", "person"),
    Cell("convert voc raw/voc -o out --classes dog", "unknown class", "person"),
    Cell("convert flir raw/caff -o out --classes dog", "unknown class", "'dog' | person, car, bicycle"),
    Cell("convert voc raw/voc -o out --classes person,person", "class twice", "person, person | once"),
    Cell(f"{TRAIN} --dataset data --model caff-lite-dino-r51", "unknown model", "did you mean 'caff-lite-dino-r50'"),
    Cell(
        f"{TRAIN} --dataset data --set train.precision=fp8",
        "unknown precision in --set",
        "train.precision | 'fp8' | bf16",
    ),
    Cell(
        f"{TRAIN} --dataset data --set \"model.spectra=['ir','uv']\"", "unknown spectrum in --set", "model.spectra | uv"
    ),
    Cell(f"{TRAIN} --dataset data --seed x", "seed that is no number", "--seed | integer"),
    Cell(f"demo {OUT} --seed x", "seed that is no number", "--seed | integer"),
    Cell(f"{EVAL} --dataset data --spectrum infrared", "unknown spectrum", "'infrared' | 'pair', 'rgb', 'ir'"),
    Cell(
        "eval --weights weights/rgb.safetensors --device cpu --workers 0 --dataset data --spectrum ir",
        "spectrum that the model lacks",
        "--spectrum ir | rgb alone",
    ),
    Cell(f"{EVAL} --dataset data --metric speed", "unknown metric", "--metric | 'speed' | coco"),
    Cell(f"{PREDICT} --rgb data/rgb --score 2", "score above 1", "--score"),
    Cell("config show caff-lite-dino-r51", "unknown name", "did you mean 'caff-lite-dino-r50'"),
    Cell("config show --model caff-lite-dino-r51", "unknown model", "no model | did you mean 'caff-lite-dino-r50'"),
    Cell("config show --dataset lvip", "unknown data set", "no data set | did you mean 'llvip'"),
    Cell("config show --recipe caf-lite", "unknown recipe", "no recipe | did you mean 'caff-lite'"),
    Cell("config show llvip --set train.epoch=3", "unknown key in --set", "train.epoch | did you mean 'epochs'"),
    Cell("config show llvip --set train.epochs=many", "wrong type in --set", "train.epochs = 'many' | a whole number"),
    Cell("config list models", "word too many", "models | Try 'caffdet config list --help'"),
    Cell("doctor cuda", "word too many", "cuda | Try 'caffdet doctor --help'"),
    Cell("demo quickly", "word too many", "quickly | Try 'caffdet demo --help'"),
]

# the place of a data set

for base in (TRAIN, EVAL, DRAW):
    CELLS += [
        Cell(f"{base} --dataset nowhere.toml", "missing TOML", "nowhere.toml"),
        Cell(f"{base} --dataset nowhere/", "missing folder", "nowhere"),
        Cell(f"{base} --dataset data/dataset.tml", "misspelt file", "data/dataset.tml | dataset.toml"),
        Cell(f"{base} --dataset empty", "empty folder", "empty has no dataset.toml"),
        Cell(f"{base} --dataset data/rgb", "wrong layout", "data/rgb has no dataset.toml | caffdet convert"),
        Cell(f"{base} --dataset raw/llvip", "raw LLVIP", "caffdet convert llvip raw/llvip -o"),
        Cell(f"{base} --dataset raw/flir", "raw FLIR", "caffdet convert flir raw/flir -o"),
        Cell(f"{base} --dataset raw/caff", "raw FLIR as CAFF has it", "caffdet convert flir raw/caff -o"),
        Cell(f"{base} --dataset raw/voc", "raw VOC", "caffdet convert voc raw/voc -o"),
        Cell(f"{base} --dataset llvip", "no place", "'llvip' | --data-root"),
        Cell(f"{base} --dataset llvip --data-root nowhere", "missing root", "nowhere is not there | --data-root"),
        Cell(f"{base} --dataset llvip --data-root file", "root is a file", "file is a file | --data-root"),
        Cell(f"{base} --dataset llvip --data-root empty", "empty root", "empty is empty"),
        Cell(f"{base} --dataset llvip --data-root data/rgb", "root of another layout", "in data/rgb | --data-root"),
        Cell(f"{base} --dataset llvip --data-root raw/llvip", "raw root", "caffdet convert llvip raw/llvip -o"),
        Cell(f"{base} --dataset flir --data-root raw/flir", "raw FLIR root", "caffdet convert flir raw/flir -o"),
        Cell(
            f"{base} --dataset data",
            "annotation file gone",
            ".json | data",
            both(lose("data/train.json"), lose("data/val.json")),
        ),
    ]
for format in ("llvip", "flir", "voc"):
    base = f"convert {format}"
    CELLS += [
        Cell(f"{base} nowhere -o out", "missing folder", "there is no folder | nowhere"),
        Cell(f"{base} empty -o out", "empty folder", "empty is empty"),
        Cell(f"{base} file -o out", "source is a file", "file is a file"),
        Cell(f"{base} data -o out", "converted already", f"not the layout of {format} | converted already | --dataset"),
        Cell(f"{base} data/rgb -o out", "wrong layout", f"data/rgb has not the layout of {format} | 0000.png"),
        Cell(f"{base} raw -o out", "folder above", "A folder inside it fits: caffdet convert"),
        Cell(f"{base} raw/{format} -o full", "output not empty", "full | --overwrite"),
        Cell(f"{base} raw/{format} -o file", "output is a file", "file is a file | --output"),
        Cell(f"{base} raw/{format} -o file/below", "output below a file", "cannot write | file/below"),
        Cell(f"{base} raw/{format} -o raw --overwrite", "output holds the source", "holds the source | --output"),
    ]
CELLS += [
    Cell("convert llvip raw/flir -o out", "another layout", "looks like flir: caffdet convert flir"),
    Cell("convert flir raw/llvip -o out", "another layout", "looks like llvip: caffdet convert llvip"),
    Cell("convert flir raw/flir -o out", "no list of frames", "align_train.txt", lose("raw/flir/align_train.txt")),
    Cell(
        "convert llvip raw/llvip -o out",
        "one spectrum's split",
        "infrared/test is missing",
        put("raw/llvip/visible/test/9.jpg", b""),
    ),
]

# the place of results

for base in (
    f"{TRAIN} --dataset data",
    f"{EVAL} --dataset data",
    f"{DRAW} --dataset data",
    f"{PREDICT} --ir data/ir",
    f"demo --device cpu {OUT}",
):
    CELLS += [
        Cell(base.replace("-o out", "-o full"), "output not empty", "full | --overwrite"),
        Cell(base.replace("-o out", "-o file"), "output is a file", "file is a file | --output"),
        Cell(base.replace("-o out", "-o file/below"), "output below a file", "cannot write | file/below | --output"),
    ]

# settings

for base, kind in (
    (TRAIN, "dataset"),
    (EVAL, "dataset"),
    (DRAW, "dataset"),
    (f"{TRAIN} --dataset data", "model"),
    ("config show", ""),
    ("config show", "dataset"),
    ("config show", "model"),
):
    option, also = (f"--{kind}", f" of --{kind}") if kind else ("", "")
    unknown = "[data]\nname = 'x'\nclases = ['a']\n" if kind == "dataset" else "[model]\nwidth = 64\nquerys = 4\n"
    near = "line 3: data.clases | 'classes'" if kind == "dataset" else "line 3: model.querys | 'queries'"
    line = f"{base} {option} mine.toml".replace("  ", " ")
    CELLS += [
        Cell(line, f"broken TOML{also}", "mine.toml: line 2: this is not TOML", put("mine.toml", BROKEN)),
        Cell(line, f"unknown key in the TOML{also}", f"mine.toml: {near}", put("mine.toml", unknown)),
        Cell(line, f"binary file{also}", "mine.toml is not a text file", put("mine.toml", b"\x00\xff\xfe" * 99)),
        Cell(line, f"deep nesting{also}", "mine.toml: this is not TOML", put("mine.toml", "a = " + "[" * 100_000)),
        Cell(line, f"extends itself{also}", "mine.toml extends itself", put("mine.toml", "extends = 'mine.toml'")),
        Cell(line, f"huge number{also}", "mine.toml", put("mine.toml", f"[train]\nepochs = {'9' * 5000}")),
        Cell(line.replace("mine.toml", "empty"), f"folder without TOML{also}", "empty"),
        Cell(line.replace("mine.toml", "file/mine.toml"), f"below a file{also}", "file/mine.toml"),
    ]
CELLS += [
    Cell(
        f"{TRAIN} --dataset data",
        "wrong type in the TOML",
        "data/dataset.toml: line 4: data.label_spectrum = 'uv' | 'ir'",
        replace("data/dataset.toml", 'm = "ir"', 'm = "uv"'),
    ),
    Cell(
        f"{TRAIN} --dataset data",
        "model that the TOML names is gone",
        "data/dataset.toml: data.model | tiny.toml",
        lose("tiny.toml"),
    ),
    Cell(f"{TRAIN} --dataset data --set train.lr=nan", "learning rate that is no number", "train.lr = nan"),
    Cell(f"{TRAIN} --dataset data --set model.queries=99999999999999999999", "huge size", "model.queries"),
]

# train --resume

RESUME = "train --resume run --device cpu"
CELLS += [
    Cell("train --resume nowhere", "missing run", "nowhere is no run folder | config.toml"),
    Cell("train --resume empty", "empty folder as a run", "empty is no run folder | config.toml"),
    Cell("train --resume data", "data set as a run", "data is no run folder | config.toml"),
    Cell("train --resume file", "file as a run", "file is no run folder"),
    Cell("train --resume run --dataset data", "--resume and --dataset", "--resume | --dataset"),
    Cell(
        f"{RESUME} --set model.queries=9", "setting that may not change", "model.queries cannot change | train.epochs"
    ),
    Cell(f"{RESUME} --set train.epoch=9", "unknown key in --set", "did you mean 'epochs'"),
    Cell(f"{RESUME} --precision fp8", "unknown precision", "--precision | 'fp8'"),
    Cell("train --resume run --device gpu", "unknown device", "--device gpu | auto, cpu, cuda"),
    Cell(
        RESUME, "broken configuration", "run/config.toml: line 1: this is not TOML", put("run/config.toml", "[train\n")
    ),
    Cell(RESUME, "binary configuration", "run/config.toml is not a text file", put("run/config.toml", b"\xff\xfe")),
    Cell(
        RESUME,
        "unknown key in the configuration",
        "run/config.toml: line 2: train.epoch | 'epochs'",
        put("run/config.toml", "[train]\nepoch = 3\n"),
    ),
    Cell(RESUME, "annotation file gone", "train.json", lose("data/train.json")),
    Cell(
        RESUME,
        "other data",
        "run has changed since its last checkpoint",
        replace("data/train.json", "[2, 3, 18, 22]", "[1, 3, 18, 22]"),
    ),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_wrong_request_is_one_sentence_and_changes_nothing(
    cell: Cell, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_here(cell, here, capsys)
