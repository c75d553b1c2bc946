"""The demo from end to end, on a few pairs and with one epoch."""

import json
from pathlib import Path

from caffdet_cli.data.demo_set import make_demo
from caffdet_cli.demo import run_demo
from caffdet_cli.engine.watch import Watch
from caffdet_cli.paths import numbered_folder

SHORT = ["train.epochs=1", "train.batch=4", "train.warmup=0", "train.augment.scales=[64]", "model.input.short_side=64"]


def test_the_demo_trains_evaluates_draws_and_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_demo(tmp_path / "data", train=8, val=4, size=(64, 80))
    titles: list[str] = []

    folder, figures = run_demo(
        data_root=tmp_path / "data",
        overrides=SHORT,
        device="cpu",
        watches=lambda title: titles.append(title) or Watch(),
    )

    assert str(folder) == "runs/demo-1"
    assert len(titles) == 3
    written = json.loads((folder / "report.json").read_text())
    assert written["pair"] == figures.pair
    assert written.keys() == {
        "schema",
        "pair",
        "rgb_alone",
        "ir_alone",
        "pair_without_rgb",
        "pair_without_ir",
        "seconds",
    }
    assert (folder / "pictures" / "sheet.jpg").is_file()
    assert str(numbered_folder(Path("runs"), "demo", make=False)) == "runs/demo-2"
