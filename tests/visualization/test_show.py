"""A data set as pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.detections import DetectionArrays, read_detections, write_detections
from caffdet_cli.errors import DatasetError, OutputError
from caffdet_cli.settings.data import RangeRule
from caffdet_cli.visualization.palette import colour_of
from caffdet_cli.visualization.show import visualize, visualize_set


@pytest.fixture
def pairs(make_pairs: Callable[..., object]) -> AnnotationSet:
    return read_coco(make_pairs(count=5).annotations)  # type: ignore[attr-defined]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def near(picture: Path, colour: tuple[int, int, int]) -> int:
    """Pixels of about this colour; JPEG changes them a little."""
    shown = cv2.imread(str(picture))[..., ::-1].astype(int)
    return int((np.abs(shown - colour).max(axis=2) < 40).sum())


def test_every_pair_and_a_sheet_are_drawn(pairs: AnnotationSet, tmp_path: Path):
    drawn = visualize_set(pairs, tmp_path / "out")
    assert names(tmp_path / "out") == ["000.jpg", "001.jpg", "002.jpg", "003.jpg", "004.jpg", "sheet.jpg"]
    assert [path.name for path in drawn.pictures] == names(tmp_path / "out")[:-1]
    assert drawn.sheet == tmp_path / "out" / "sheet.jpg"
    assert near(drawn.pictures[0], colour_of("person")) > 50
    assert cv2.imread(str(drawn.sheet)) is not None


def test_the_first_pairs_are_drawn_or_those_of_a_seed(pairs: AnnotationSet, tmp_path: Path):
    first = visualize_set(pairs, tmp_path / "a", limit=2, sheet=False)
    assert names(tmp_path / "a") == ["000.jpg", "001.jpg"]
    assert (first.examples, first.sheet) == (5, None)
    chosen = {
        tuple(path.name for path in visualize_set(pairs, tmp_path / f"{seed}", limit=2, seed=seed).pictures)
        for seed in range(6)
    }
    assert len(chosen) > 1
    again = visualize_set(pairs, tmp_path / "again", limit=2, seed=3)
    assert names(tmp_path / "again") == names(tmp_path / "3")
    assert list(again.pictures) == sorted(again.pictures)


def test_predictions_below_the_score_are_left_out(pairs: AnnotationSet, tmp_path: Path):
    found = {1: DetectionArrays(np.array([[2.0, 2, 30, 30], [30, 2, 60, 30]]), np.array([0, 1]), np.array([0.9, 0.2]))}
    one = replace(pairs, examples=pairs.examples[1:2])  # it has no objects
    both = visualize_set(one, tmp_path / "both", predictions=found, score=0.1).pictures[0]
    best = visualize_set(one, tmp_path / "best", predictions=found, score=0.5).pictures[0]
    assert near(both, colour_of("car")) > 50
    assert near(best, colour_of("person")) > 50
    assert near(best, colour_of("car")) == 0


def test_a_missing_spectrum_is_shown_as_missing(pairs: AnnotationSet, tmp_path: Path):
    lost = replace(pairs, examples=(replace(pairs.examples[0], ir=None), *pairs.examples[1:2]))
    visualize_set(lost, tmp_path / "out")
    shapes = {cv2.imread(str(tmp_path / "out" / name)).shape[1] for name in ("000.jpg", "001.jpg")}
    assert len(shapes) == 1


def test_a_data_set_of_one_spectrum_has_one_panel(pairs: AnnotationSet, tmp_path: Path):
    alone = replace(pairs, examples=tuple(replace(example, ir=None) for example in pairs.examples))
    one = visualize_set(alone, tmp_path / "one", limit=1).pictures[0]
    two = visualize_set(pairs, tmp_path / "two", limit=1).pictures[0]
    assert cv2.imread(str(one)).shape[1] < cv2.imread(str(two)).shape[1] / 1.9


def test_pictures_of_one_name_do_not_replace_each_other(pairs: AnnotationSet, tmp_path: Path):
    twice = replace(pairs, examples=(pairs.examples[0],) * 3)
    visualize_set(twice, tmp_path / "out")
    assert names(tmp_path / "out") == ["000-2.jpg", "000-3.jpg", "000.jpg", "sheet.jpg"]


def test_sixteen_bit_heat_is_shown_by_the_rule(pairs: AnnotationSet, tmp_path: Path):
    counts = np.full((48, 64), 30_000, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), counts)
    deep = replace(pairs, examples=(replace(pairs.examples[1], rgb=None, ir=tmp_path / "deep.png"),))
    for name, rule, level in (
        ("dark", RangeRule(low=30_000, high=40_000), 0),
        ("bright", RangeRule(low=0, high=30_000), 255),
    ):
        picture = visualize_set(deep, tmp_path / name, thermal=rule).pictures[0]
        shown = cv2.imread(str(picture))
        assert abs(int(np.median(shown[50:-50, 10:-10])) - level) < 6


def test_nothing_is_overwritten_unless_it_is_said(pairs: AnnotationSet, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        visualize_set(pairs, tmp_path / "out")
    visualize_set(pairs, tmp_path / "out", limit=1, overwrite=True)
    assert names(tmp_path / "out") == ["000.jpg", "mine.txt", "sheet.jpg"]


def test_a_broken_picture_is_named_and_nothing_is_left(pairs: AnnotationSet, tmp_path: Path):
    ir = pairs.examples[3].ir
    assert ir is not None
    ir.write_bytes(ir.read_bytes()[:200])
    with pytest.raises(DatasetError, match=r"003\.png"):
        visualize_set(pairs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_an_empty_data_set_is_told(pairs: AnnotationSet, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"train\.json has no pictures"):
        visualize_set(replace(pairs, examples=()), tmp_path / "out")


def test_real_pairs_are_drawn_with_their_detections(shared: Path, tmp_path: Path):
    root = shared / "data" / "llvip_mini"
    pairs = read_coco(
        root / "coco_annotations" / "LLVIP_test.json", rgb=root / "visible" / "test", ir=root / "infrared" / "test"
    )
    found = read_detections(shared / "data" / "coco_eval" / "llvip_mini_test_detections.json", pairs)
    drawn = visualize_set(pairs, tmp_path / "out", predictions=found)
    assert [path.stem for path in drawn.pictures] == ["190001", "190002", "190003"]
    assert cv2.imread(str(drawn.pictures[0])).shape[1] > 2 * 1280


def test_a_data_set_by_name_and_a_file_of_detections(make_pairs: Callable[..., object], tmp_path: Path):
    files = make_pairs(count=3)
    settings = tmp_path / "mine.toml"
    settings.write_text('[data]\nname = "mine"\nroot = "pairs"\n[data.splits.val]\nannotations = ["train.json"]\n')
    found = {1: DetectionArrays(np.array([[2.0, 2, 30, 30]]), np.array([2]), np.array([0.9]))}
    write_detections(tmp_path / "found.json", found, [0, 1, 2])
    drawn = visualize(str(settings), tmp_path / "out", predictions=tmp_path / "found.json")
    assert files.root == tmp_path / "pairs"  # type: ignore[attr-defined]
    assert near(drawn.pictures[1], colour_of("bicycle")) > 50


def test_an_occupied_folder_is_told_before_anything_is_read(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        visualize("no such data set", tmp_path)
