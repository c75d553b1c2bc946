"""`convert --val`: whole scenes, never neighbouring frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_sets import HEIGHT, WIDTH, llvip, read, voc

from caffdet_cli.data.annotations import AnnotationSet, Example, Objects
from caffdet_cli.data.convert import convert
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.holding_out import hold_out
from caffdet_cli.data.splits import load_split
from caffdet_cli.errors import DatasetError
from caffdet_cli.main import main
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import load_config


class Heard(Progress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def stems(file: Path) -> set[str]:
    return {Path(image["file_name"]).stem for image in read(file)["images"]}


def view(path: Path, seed: int, moment: int = 0) -> None:
    """A picture of a place; the moment changes it a little."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).uniform(0, 255, (6, 8)).astype(np.float32)
    pixels = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(moment).normal(0, 2, pixels.shape)
    assert cv2.imwrite(str(path), np.clip(pixels + noise, 0, 255).astype(np.uint8))


def of_places(root: Path, lengths: list[int], prefix: str = "") -> Path:
    """One long count of frames, from one place after the other; Pascal VOC without lists."""
    number = 0
    for place, length in enumerate(lengths):
        for _ in range(length):
            view(root / f"visible/{prefix}{number}.png", place, number)
            view(root / f"infrared/{prefix}{number}.png", place, number)
            voc(root / f"Annotations/{prefix}{number}.xml")
            number += 1
    return root


def test_scenes_that_names_say_stay_whole(tmp_path):
    names = [f"{scene:02d}{frame:04d}" for scene, count in ((1, 10), (2, 6), (3, 4), (4, 2)) for frame in range(count)]
    raw = llvip(tmp_path / "raw", train=names)
    report = convert("llvip", raw, tmp_path / "out", val=0.25)
    train, val = (stems(tmp_path / f"out/{split}.json") for split in ("train", "val"))
    assert train | val == set(names)
    assert not {name[:2] for name in train} & {name[:2] for name in val}
    assert 3 <= len(val) <= 9
    assert set(report.splits) == {"train", "val", "test"}
    (told,) = [finding for finding in report.findings if finding.kind == "held out for val"]
    assert f"{len(val)} of 22 pictures are val: the scenes 0" in told.what
    data = load_config(dataset=str(tmp_path / "out")).config.data
    assert len(load_split(data)[1].examples) == len(val)


def test_without_scenes_it_is_the_end_from_where_the_view_changes(tmp_path):
    raw = of_places(tmp_path / "raw", [20, 9, 8])  # 37 pictures; a fifth would begin in the middle of the last place
    heard = Heard()
    report = convert("voc", raw, tmp_path / "out", val=0.2, progress=heard)
    assert stems(tmp_path / "out/val.json") == {str(number) for number in range(29, 37)}
    assert "from infrared/29.png on" in next(iter(report.findings)).what
    assert not [text for text in heard.warnings if "look alike" in text]


def test_one_view_all_the_time_is_told(tmp_path):
    heard = Heard()
    convert("voc", of_places(tmp_path / "raw", [30]), tmp_path / "out", val=0.2, progress=heard)
    assert [text for text in heard.warnings if "look alike" in text]


def split_of(lengths: list[int], share: float) -> tuple[int, list[str]]:
    """How many pictures of such scenes are held out, and what is told."""
    none = Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), ())
    names = [f"scene{place}/{frame}.png" for place, count in enumerate(lengths) for frame in range(count)]
    examples = tuple(
        Example(id=number, rgb=Path("/d") / name, ir=None, width=4, height=4, objects=none)
        for number, name in enumerate(names)
    )
    whole = AnnotationSet(examples=examples, categories=(), label_spectrum="rgb", source=Path("/d/train.json"))
    heard = Heard()
    return len(hold_out({"train": whole}, share, Path("/d"), FindingLog(), heard)["val"].examples), heard.warnings


def test_a_tiny_scene_is_not_all_that_is_held_out():
    held, told = split_of([1, 300, 300, 400], 0.25)
    assert held in (300, 301)
    assert not told


def test_much_too_little_is_told():
    held, told = split_of([1, 300, 300, 400], 0.05)
    assert held == 1
    assert "1 of 1001 are held out" in told[0]


def test_val_is_never_larger_than_train(tmp_path):
    raw = of_places(tmp_path / "raw", [6, 14])
    report = convert("voc", raw, tmp_path / "out", val=0.5)
    assert report.splits["val"].pictures <= report.splits["train"].pictures


def test_names_of_any_script_have_an_order(tmp_path):
    for number in range(12):
        name = f"²{number}" if number % 2 else f"٣{number}"
        view(tmp_path / f"raw/visible/{name}.png", number // 6, number)
        voc(tmp_path / f"raw/Annotations/{name}.xml")
    assert convert("voc", tmp_path / "raw", tmp_path / "out", val=0.3).splits["val"].pictures


def test_twice_gives_the_same(tmp_path):
    raw = of_places(tmp_path / "raw", [8, 8, 8], prefix="walk_")
    for name in ("one", "two"):
        convert("voc", raw, tmp_path / name, val=0.3)
    assert (tmp_path / "one/val.json").read_bytes() == (tmp_path / "two/val.json").read_bytes()


def test_a_described_folder_is_split_too(tmp_path):
    convert("voc", of_places(tmp_path / "raw", [12, 6]), tmp_path / "mine")
    report = convert("coco", tmp_path / "mine", tmp_path / "again", val=0.3)
    assert {split: one.pictures for split, one in report.splits.items()} == {"train": 12, "val": 6}


def test_where_it_makes_no_sense_it_is_refused(tmp_path, capsys):
    few = llvip(tmp_path / "few")
    with pytest.raises(DatasetError, match="2 training pictures are too few"):
        convert("llvip", few, tmp_path / "out", val=0.2)
    convert("voc", of_places(tmp_path / "raw", [6, 6]), tmp_path / "one", val=0.3)
    with pytest.raises(DatasetError, match="has a val split of its own"):
        convert("coco", tmp_path / "one", tmp_path / "out", val=0.3)
    assert main(["convert", "voc", str(tmp_path / "raw"), "-o", str(tmp_path / "out"), "--val", "0.9"]) == 2
    assert "--val" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=12), st.floats(0.01, 0.5))
def test_no_scene_is_ever_on_both_sides(lengths, share):
    names = [f"scene{chr(97 + place)}/{frame:05d}.png" for place, count in enumerate(lengths) for frame in range(count)]
    none = Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), ())
    examples = tuple(
        Example(id=number, rgb=Path("/d") / name, ir=None, width=4, height=4, objects=none)
        for number, name in enumerate(names)
    )
    whole = AnnotationSet(examples=examples, categories=(), label_spectrum="rgb", source=Path("/d/train.json"))
    try:
        parts = hold_out({"train": whole}, share, Path("/d"), FindingLog(), Progress())
    except DatasetError:
        assert len(names) < 10 or min(lengths) > len(names) / 4
        return
    sides = [{one.rgb.parent for one in parts[split].examples} for split in ("train", "val")]
    assert parts["train"].examples
    assert parts["val"].examples
    assert len(parts["train"].examples) + len(parts["val"].examples) == len(names)
    if len(names) * 2 / 3 >= max(lengths):  # else the largest scene says nothing, and is no scene
        assert not sides[0] & sides[1]
