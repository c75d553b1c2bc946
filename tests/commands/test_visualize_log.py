"""`caffdet visualize --log`."""

import json
from pathlib import Path

import cv2
import pytest

from caffdet_cli.main import main

LINES = [
    {"event": "epoch", "epoch": 1, "loss": 12.0, "classification": 1.0, "box": 0.2, "giou": 0.9},
    {"event": "validation", "epoch": 1, "split": "val", "AP": 0.25, "AP50": 0.5, "AP75": 0.2},
    {"event": "epoch", "epoch": 2, "loss": 8.0, "classification": 0.6, "box": 0.1, "giou": 0.6},
    {"event": "validation", "epoch": 2, "split": "val", "AP": 0.5, "AP50": 0.75, "AP75": 0.4},
    {"event": "epoch", "epoch": 3, "loss": 7.0, "classification": 0.5, "box": 0.1, "giou": 0.5},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a run in `runs/mine` and a published log."""
    monkeypatch.chdir(tmp_path)
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    theirs = {"train_loss": 9.0, "test_loss": 10.0, "test_coco_eval_bbox": [0.6] * 12, "epoch": 0}
    averaged = {"ema_test_coco_eval_bbox": [0.7] * 12}
    Path("theirs.txt").write_text(json.dumps(theirs | averaged) + "\n")
    return tmp_path


def words_of(line: str) -> list[list[str]]:
    return [row.split() for row in line.splitlines()]


def test_it_draws_and_says_which_epoch_was_the_best(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", "--log", "runs/mine", "-o", "curves"]) == 0
    shown = capsys.readouterr()
    rows = words_of(shown.out)
    assert rows[0] == ["log", "epochs", "last", "epoch", "best", "epoch", "AP", "AP50", "AP75"]
    assert rows[2:] == [["mine", "3", "3", "2", "0.500", "0.750", "0.400"], ["Curves", "in", "curves/curves.png"]]
    assert shown.err == ""
    assert [path.name for path in Path("curves").iterdir()] == ["curves.png"]
    assert cv2.imread("curves/curves.png").shape[1] == 1200


def test_several_logs_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", "--log", "runs/mine/metrics.jsonl", "--log", "theirs.txt", "-o", "curves"]) == 0
    rows = words_of(capsys.readouterr().out)
    assert rows[2] == ["mine", "3", "3", "2", "0.500", "0.750", "0.400", "-", "-"]
    assert rows[3] == ["theirs", "1", "0", "0", "0.600", "0.600", "0.600", "0", "0.700"]


def test_json_is_one_object_with_the_series(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", "--log", "runs/mine", "-o", "curves", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["picture"]) == (1, "curves/curves.png")
    (log,) = report["logs"]
    assert (log["name"], log["epochs"], log["last_epoch"]) == ("mine", 3, 3)
    assert (log["best"], log["best_ema"]) == ({"epoch": 2, "AP": 0.5}, None)
    assert log["epoch"] == [1, 2, 3]
    assert log["series"]["AP"] == [0.25, 0.5, None]
    assert log["series"]["train_loss"] == [12.0, 8.0, 7.0]


def test_a_killed_run_and_a_diverged_loss_are_told_once_on_standard_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    with Path("runs/mine/metrics.jsonl").open("a") as file:
        file.write('{"event": "epoch", "epoch": 4, "loss": NaN}\n{"event": "epo')
    assert main(["visualize", "--log", "runs/mine", "-o", "curves", "--json"]) == 0
    shown = capsys.readouterr()
    told = shown.err.splitlines()
    assert len(told) == 2
    assert "line 7, the last one, is cut off" in told[0]
    assert "not finite" in told[1]
    assert json.loads(shown.out)["logs"][0]["series"]["train_loss"] == [12.0, 8.0, 7.0, None]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--log nowhere.txt -o out", "there is no file nowhere.txt"),
        ("--log runs -o out", "runs has no metrics.jsonl and no log.txt"),
        ("--log broken.txt -o out", "broken.txt: line 1 is not JSON"),
        ("--log empty.txt -o out", "empty.txt is empty"),
        ("--log theirs.txt --log nowhere.txt -o out", "nowhere.txt"),
        ("--log theirs.txt", "-o DIR is missing"),
        ("--log theirs.txt -o out.png", "out.png: --output is the folder"),
        ("--log theirs.txt -o runs", "--overwrite"),
        ("--log theirs.txt -o theirs.txt", "theirs.txt is a file"),
        ("--log theirs.txt -o theirs.txt/below", "cannot write theirs.txt/below"),
        ("--log theirs.txt --dataset demo -o out", "--dataset: of a data set, not of a log"),
        ("--log theirs.txt --predictions found.json -o out", "--predictions: of a data set"),
        ("--log theirs.txt --limit 50 --data-root x --set a=1 -o out", "--limit, --data-root, --set: of a data set"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_changes_nothing(
    words: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    Path("broken.txt").write_text("epoch 1: AP 0.5\n")
    Path("empty.txt").touch()
    before = sorted(folder.rglob("*"))
    assert main(["visualize", *words.split(), "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("error: ") == 1
    assert said in shown.err
    assert sorted(folder.rglob("*")) == before


def test_results_are_replaced_only_where_it_is_said(folder: Path, capsys: pytest.CaptureFixture[str]):
    words = ["visualize", "--log", "theirs.txt", "-o", "out", "-q"]
    assert [main(words), main(words), main([*words, "--overwrite"])] == [0, 2, 0]
