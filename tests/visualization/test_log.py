"""Logs of training: what is read of them, and the picture of them."""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.engine.records import Metrics
from caffdet_cli.errors import ConfigError, DatasetError, OutputError
from caffdet_cli.visualization import text
from caffdet_cli.visualization.axes import axis_for, epoch_axis
from caffdet_cli.visualization.curves import draw_log, draw_logs, visualize_logs
from caffdet_cli.visualization.log import Log, Point, read_log, read_logs, to_json
from caffdet_cli.visualization.palette import PAPER
from caffdet_cli.visualization.panel import LINES, Panel, draw_panel


def published(epoch: int, ap: float = 0.5, **more: Any) -> dict[str, Any]:
    """A line of `log.txt`."""
    losses = {"loss": 9.0, "loss_ce": 0.4, "loss_bbox": 0.5, "loss_giou": 0.6}
    unscaled = {"loss_ce_unscaled": 0.4, "loss_bbox_unscaled": 0.1, "loss_giou_unscaled": 0.3}
    figures = {f"{part}_{name}": value for part in ("train", "test") for name, value in (losses | unscaled).items()}
    aps = {"test_coco_eval_bbox": [ap, 0.8, 0.6, -1.0, *[0.5] * 8]}
    return {"train_lr": 1e-4, **figures, **aps, "epoch": epoch, "epoch_time": "0:10:00", **more}


def written(path: Path, *lines: dict[str, Any], end: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + end)
    return path


def values(log: Log, series: str) -> list[float | None]:
    return [point.value for point in log.series[series]]


# reading


def test_a_published_log_has_ap_and_losses_of_training_and_validation(tmp_path: Path):
    log = read_log(written(tmp_path / "log.txt", published(0, 0.3), published(1, 0.5), published(2, 0.4)))
    assert log.epochs == (0, 1, 2)
    assert values(log, "AP") == [0.3, 0.5, 0.4]
    assert (values(log, "AP50"), values(log, "AP75")) == ([0.8] * 3, [0.6] * 3)
    parts = {"loss": 9.0, "classification": 0.4, "box": 0.1, "giou": 0.3}
    for name, value in parts.items():
        assert (values(log, f"train_{name}"), values(log, f"val_{name}")) == ([value] * 3, [value] * 3)
    assert log.best() == Point(1, 0.5)
    assert log.notes == ()


def test_averaged_weights_have_their_own_curve_and_best_epoch(tmp_path: Path):
    first = published(0, 0.5, ema_test_coco_eval_bbox=[0.2] * 12, regular_best_res=0.5, regular_best_ep=0)
    second = published(1, 0.4, ema_test_coco_eval_bbox=[0.6] * 12, regular_best_res=0.5, regular_best_ep=0)
    log = read_log(written(tmp_path / "log.txt", first, second))
    assert (log.best(), log.best("AP_ema"), log.notes) == (Point(0, 0.5), Point(1, 0.6), ())


def test_what_our_own_run_writes_is_read(tmp_path: Path):
    metrics = Metrics(tmp_path)
    for epoch in (1, 2, 3):
        metrics.write("epoch", epoch=epoch, loss=10.0 - epoch, classification=1.0, box=0.1, giou=0.5, class_error=3.0)
        if epoch != 2:
            metrics.write("validation", epoch=epoch, split="val", AP=epoch / 10, AP50=0.5, AP75=0.4, APs=-1.0)
    log = read_log(tmp_path)
    assert log.path == tmp_path / "metrics.jsonl"
    assert log.name == tmp_path.name
    assert log.epochs == (1, 2, 3)
    assert log.series["AP"] == (Point(1, 0.1), Point(3, 0.3))
    assert values(log, "train_loss") == [9.0, 8.0, 7.0]
    assert to_json(log)["series"]["AP"] == [0.1, None, 0.3]


def test_the_first_of_equal_epochs_is_the_best(tmp_path: Path):
    assert read_log(written(tmp_path / "log.txt", published(0), published(1))).best() == Point(0, 0.5)


def test_a_last_line_that_is_cut_off_is_told_once_and_left_out(tmp_path: Path):
    log = read_log(written(tmp_path / "log.txt", published(0), end=json.dumps(published(1))[:200]))
    assert log.epochs == (0,)
    assert ["line 2, the last one, is cut off" in note for note in log.notes] == [True]


def test_a_line_that_the_next_was_written_behind_is_told_and_left_out(tmp_path: Path):
    whole = [json.dumps(published(epoch, epoch / 10)) for epoch in range(8)]
    lines = [whole[0], whole[1][:150] + whole[1], whole[2], "{" + whole[3], whole[4]]
    (tmp_path / "log.txt").write_text("\n".join(lines) + "\n")
    log = read_log(tmp_path / "log.txt")
    assert values(log, "AP") == [0.0, 0.2, 0.4]
    assert log.notes == ("cut off, as of a run that was killed and went on, and left out: lines 2, 4",)


def test_numbers_without_a_value_are_gaps_and_told(tmp_path: Path):
    lines = [published(0, -1.0), published(1, train_loss=math.nan), published(2, test_loss=math.inf)]
    lines += [published(3, train_loss=10**400, test_loss=None)]
    log = read_log(written(tmp_path / "log.txt", *lines))
    assert values(log, "AP") == [None, 0.5, 0.5, 0.5]
    assert values(log, "train_loss") == [9.0, None, 9.0, None]
    assert values(log, "val_loss") == [9.0, 9.0, None, None]
    assert log.notes == (
        "AP undefined (-1), drawn as gaps: AP (epoch 0)",
        "losses not finite, drawn as gaps: train_loss (epochs 1, 3), val_loss (epochs 2, 3)",
    )


def test_a_run_that_went_on_counts_from_where_it_went_on(tmp_path: Path):
    lines = [published(epoch, 0.1 * epoch) for epoch in (0, 1, 2, 3)]
    log = read_log(written(tmp_path / "log.txt", *lines, published(2, 0.9)))
    assert values(log, "AP") == [0.0, 0.1, 0.9]
    assert len(log.notes) == 1
    assert "epoch 2 came again" in log.notes[0]


def test_a_line_of_an_evaluation_alone_is_left_out(tmp_path: Path):
    alone = {"test_loss": 1.0, "test_coco_eval_bbox": [0.9] * 12}
    log = read_log(written(tmp_path / "log.txt", published(0), alone))
    assert (log.epochs, log.best()) == ((0,), Point(0, 0.5))
    assert "lines without an epoch" in log.notes[0]


def test_a_best_epoch_that_the_log_names_and_lacks_is_told(tmp_path: Path):
    whole = read_log(written(tmp_path / "a.txt", published(0, best_res=0.5, best_ep=0)))
    rest = read_log(written(tmp_path / "b.txt", published(9, best_res=0.7, best_ep=4)))
    assert whole.notes == ()
    assert "names epoch 4 with AP 0.700 as the best" in rest.notes[0]


def test_logs_that_are_compared_have_different_names(tmp_path: Path):
    files = [written(tmp_path / place, published(0)) for place in ("a/run/log.txt", "b/run/log.txt")]
    assert [log.name for log in read_logs(files)] == ["a/run", "b/run"]
    assert [log.name for log in read_logs([files[0], files[0].parent])] == ["run", "run (2)"]
    assert read_log(written(tmp_path / "log_LLVIP.txt", published(0))).name == "log_LLVIP"


WRONG = {
    "empty": ("", "empty"),
    "blank": ("\n \n", "empty"),
    "text": ("epoch,AP\n1,0.5\n", "line 1 is not JSON"),
    "one broken line": ('{"epoch": 0, ', "line 1 is not JSON"),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xff", "line 1 is not JSON"),
    "deep": ("[" * 100_000 + "\n{}", "line 1 is not JSON"),
    "huge number": ('{"epoch": ' + "9" * 5000 + "}\n{}", "line 1 is not JSON"),
    "text in the middle": (f"{json.dumps(published(0))}\nepoch\n{json.dumps(published(1))}\n", "line 2 is not JSON"),
    "no object": (f"{json.dumps(published(0))}\n[1, 2]\n", r"line 2 is \[1, 2\]"),
    "another file": ('{"images": [], "annotations": []}', "no epochs"),
    "other events": ('{"event": "start", "epoch": 1}', "no epochs"),
    "no figures": ('{"epoch": 1}', "neither AP nor losses"),
    "epoch of text": ('{"epoch": "1", "train_loss": 1.0}', "line 1: epoch = '1'"),
    "negative epoch": ('{"epoch": -1, "train_loss": 1.0}', "line 1: epoch = -1"),
    "epoch of a truth value": ('{"epoch": true, "train_loss": 1.0}', "epoch = True"),
    "absurd epoch": ('{"epoch": 9999999999, "train_loss": 1.0}', "epoch = 9999999999"),
    "loss of text": ('{"epoch": 1, "train_loss": "low"}', "line 1: train_loss = 'low'"),
    "AP in percent": ('{"epoch": 1, "test_coco_eval_bbox": [50.3, 60, 70]}', "between 0 and 1"),
    "no APs": (
        '{"epoch": 1, "test_coco_eval_bbox": []}',
        r"line 1: test_coco_eval_bbox = \[\]; a log has 12 numbers there, the first three of them AP, AP50, AP75$",
    ),
    "too few APs": ('{"epoch": 1, "test_coco_eval_bbox": [0.5]}', r"test_coco_eval_bbox = \[0\.5\]; a log has 12"),
    "AP without a list": ('{"epoch": 1, "ema_test_coco_eval_bbox": {}}', r"ema_test_coco_eval_bbox = \{\}; a log has"),
    "long line": ('{"epoch": 1, "x": "' + "x" * (1 << 20) + '"}', "line 1 is longer than 1 MiB"),
    "many lines": ("\n" * 100_000, "more than 100000 lines"),
}


@pytest.mark.parametrize(("content", "said"), WRONG.values(), ids=WRONG)
def test_what_is_no_log_is_one_sentence_with_its_place(content: str | bytes, said: str, tmp_path: Path):
    (tmp_path / "log.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=said) as caught:
        read_log(tmp_path / "log.txt")
    assert str(tmp_path / "log.txt") in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_file_or_folder_without_a_log_is_told(tmp_path: Path):
    with pytest.raises(DatasetError, match="there is no file"):
        read_log(tmp_path / "nowhere.txt")
    with pytest.raises(DatasetError, match=r"no metrics\.jsonl and no log\.txt"):
        read_log(tmp_path)


number = st.one_of(st.floats(), st.integers(), st.none(), st.just(-1.0), st.floats(0, 1))
anything = st.recursive(
    number | st.text() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
figures = st.dictionaries(
    st.sampled_from(
        ["train_loss", "test_loss", "train_loss_ce", "loss", "AP", "best_res", "best_ep", "event", "epoch"]
    ),
    number | anything,
)
lists = st.fixed_dictionaries({}, optional={"test_coco_eval_bbox": st.lists(number, min_size=0, max_size=12)})
epochs = st.fixed_dictionaries({}, optional={"epoch": st.integers(0, 40) | anything})
events = st.fixed_dictionaries({}, optional={"event": st.sampled_from(["epoch", "validation"])})
lines = st.tuples(figures, lists, epochs, events).map(lambda parts: {k: v for part in parts for k, v in part.items()})


@given(st.lists(lines, max_size=8), st.binary(max_size=20))
def test_a_log_is_read_whole_or_refused_whatever_is_in_it(tmp_path_factory: Any, lines: list[Any], rest: bytes):
    path = tmp_path_factory.getbasetemp() / "any" / "log.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode() + rest)
    try:
        log = read_log(path)
    except DatasetError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    assert list(log.epochs) == sorted(set(log.epochs))
    for name, points in log.series.items():
        assert [point.epoch for point in points] == sorted({point.epoch for point in points})
        known = [point.value for point in points if point.value is not None]
        assert all(math.isfinite(value) for value in known)
        assert not name.startswith("AP") or all(0 <= value <= 1 for value in known)
    json.dumps(to_json(log), allow_nan=False)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e6)), min_size=1, max_size=12))
def test_what_was_written_is_what_is_read(tmp_path_factory: Any, rows: list[tuple[float, float]]):
    lines = [published(epoch, ap, train_loss=loss) for epoch, (ap, loss) in enumerate(rows)]
    log = read_log(written(tmp_path_factory.getbasetemp() / "round" / "log.txt", *lines))
    assert list(zip(values(log, "AP"), values(log, "train_loss"), strict=True)) == rows
    best = log.best()
    assert best is not None
    assert (best.value, best.epoch) == (max(ap for ap, _ in rows), [ap for ap, _ in rows].index(best.value))


# axes


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8))
def test_an_axis_holds_its_values_and_has_few_ticks(values: list[float]):
    axis = axis_for(values)
    assert all(-0.01 <= axis.share(value) <= 1.01 for value in values)
    assert 2 <= len(axis.ticks) <= 14
    assert all(axis.low <= tick <= axis.high for tick, _ in axis.ticks)


@given(st.integers(0, 1_000_000), st.integers(0, 1_000_000))
def test_epochs_have_ticks_at_whole_numbers(first: int, last: int):
    axis = epoch_axis([first, last])
    assert 1 <= len(axis.ticks) <= 15
    assert all(min(first, last) <= tick <= max(first, last) for tick, _ in axis.ticks)


def test_far_values_are_shown_logarithmically_and_ap_never():
    assert axis_for([0.05, 30.0]).logarithmic
    assert not axis_for([9.0, 12.0]).logarithmic
    assert not axis_for([0.0, 30.0]).logarithmic
    assert not axis_for([0.01, 0.9], within=(0, 1)).logarithmic
    assert axis_for([0.99], within=(0, 1)).high == 1.0


# drawing


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


def long_log(tmp_path: Path, name: str = "run", epochs: int = 36) -> Path:
    lines = [published(epoch, 0.6 * (1 - 0.9**epoch), train_loss=30 * 0.9**epoch + 8) for epoch in range(epochs)]
    return written(tmp_path / name / "log.txt", *lines)


@pytest.mark.parametrize("letters", ["font", "line letters"])
@pytest.mark.parametrize("width", [600, 1200, 2400])
def test_a_log_is_two_diagrams_on_white_with_nothing_at_the_edges(
    tmp_path: Path, width: int, letters: str, monkeypatch: pytest.MonkeyPatch
):
    if letters == "line letters":
        monkeypatch.setattr(text, "_face", lambda: None)
    picture = draw_log(read_log(long_log(tmp_path)), width)
    assert picture.shape[1:] == (width, 3)
    assert count(picture, PAPER) > 0.8 * picture[:, :, 0].size
    assert all(count(picture, colour) > 100 for colour in LINES[:4])  # AP and total, AP50 and classification, ...
    for edge in (picture[:3], picture[-3:], picture[:, :3], picture[:, -3:]):
        assert (edge == PAPER).all()


def test_the_horizontal_axis_has_the_name_it_is_given(monkeypatch: pytest.MonkeyPatch):
    written_words: list[str] = []
    write = text.write
    monkeypatch.setattr(text, "write", lambda *given: [written_words.append(given[1]), write(*given)])
    axis = axis_for([0.0, 1.0])
    panel = Panel("title", "up", axis, axis, [], [], "nothing")
    draw_panel(panel, 600, 60)
    assert written_words.count("epoch") == 1
    draw_panel(panel._replace(x_label="false alarms"), 600, 60)
    assert (written_words.count("epoch"), written_words.count("false alarms")) == (1, 1)
    picture = draw_panel(panel._replace(x_label="long " * 100), 600, 60)
    assert (picture[:, -3:] == PAPER).all()


def test_each_log_of_a_comparison_has_its_colour(tmp_path: Path):
    logs = read_logs([long_log(tmp_path, f"run-{number}", 9 + number) for number in range(len(LINES))])
    picture = draw_logs(logs)
    assert all(count(picture, colour) > 100 for colour in LINES)


def test_a_gap_is_not_bridged(tmp_path: Path):
    with_gap = [published(epoch, -1.0 if 3 <= epoch < 9 else 0.5) for epoch in range(12)]
    gap = draw_log(read_log(written(tmp_path / "a" / "log.txt", *with_gap)))
    full = draw_log(read_log(written(tmp_path / "b" / "log.txt", *[published(epoch) for epoch in range(12)])))
    middle = slice(full.shape[0] // 12, full.shape[0] * 23 // 50), slice(500, 700)
    assert count(full[middle], LINES[0]) > 200
    assert count(gap[middle], LINES[0]) == 0


@pytest.mark.parametrize(
    "line",
    [
        {"epoch": 5, "train_loss": 3.0},
        {"epoch": 0, "test_coco_eval_bbox": [-1.0] * 12},
        {"epoch": 7, "test_coco_eval_bbox": [0.0] * 12, "train_loss": 0.0, "test_loss": -4.0},
        {"epoch": 1_000_000, "train_loss": 1e29, "test_loss": 1e-300},
    ],
)
def test_what_little_there_is_is_drawn(line: dict[str, Any], tmp_path: Path):
    log = read_log(written(tmp_path / "log.txt", line))
    assert draw_log(log).shape[1] == 1200
    assert draw_logs([log, log]).shape[1] == 1200


def test_a_name_cannot_spoil_the_picture(tmp_path: Path):
    picture = draw_log(read_log(long_log(tmp_path, "a\x1b[31m\n" + "very-long-" * 20, 3)))
    assert (picture[:, -3:] == PAPER).all()


# files


def test_the_picture_is_written_whole_and_once(tmp_path: Path):
    drawn = visualize_logs([long_log(tmp_path)], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["curves.png"]
    assert cv2.imread(str(drawn.picture)).shape[1] == 1200
    with pytest.raises(OutputError, match="--overwrite"):
        visualize_logs([long_log(tmp_path)], tmp_path / "out")
    visualize_logs([long_log(tmp_path)], tmp_path / "out", overwrite=True)


def test_too_many_logs_and_a_name_of_a_picture_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="9 logs"):
        visualize_logs([long_log(tmp_path)] * 9, tmp_path / "out")
    with pytest.raises(OutputError, match=r"curves\.png is written to"):
        visualize_logs([long_log(tmp_path)], tmp_path / "out.png")
    with pytest.raises(DatasetError, match="there is no file"):
        visualize_logs([long_log(tmp_path), tmp_path / "nowhere"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
