"""The built-in data set: the same bytes for a seed, honest boxes, and objects that one spectrum does not show."""

import hashlib
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from caffdet_cli.data.demo_canvas import FINE, Canvas
from caffdet_cli.data.demo_scenes import CLASSES, KINDS, MOST_OBJECTS, Kind, Place, Scene, draw_object, scene
from caffdet_cli.data.demo_set import SIZE, TRAIN, VAL, demo_root, make_demo, place_of
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.images import read_picture
from caffdet_cli.errors import DiskFull, OutputError
from caffdet_cli.progress import Item, Progress
from caffdet_cli.settings.data import Data
from caffdet_cli.settings.load import load_config


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene((0, 0, number), SIZE) for number in range(150)]


# ------------------------------------------------------------------------------------------------------ scenes


def test_one_seed_gives_one_scene():
    first, second = (scene((7, 0, 3), SIZE) for _ in range(2))
    assert first.rgb.tobytes() == second.rgb.tobytes()
    assert first.ir.tobytes() == second.ir.tobytes()
    assert first.boxes.tolist() == second.boxes.tolist()
    assert first.names == second.names


def test_each_part_of_the_seed_counts():
    pictures = {scene(seed, SIZE).rgb.tobytes() for seed in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}
    assert len(pictures) == 4


def test_pictures_have_the_size_and_depth_that_was_asked_for():
    drawn = scene((0, 0, 0), (96, 192))
    assert (drawn.rgb.shape, drawn.rgb.dtype) == ((96, 192, 3), np.uint8)
    assert (drawn.ir.shape, drawn.ir.dtype) == ((96, 192), np.uint8)


def test_boxes_are_inside_and_of_a_size_that_can_be_learned(scenes: list[Scene]):
    boxes = np.concatenate([one.boxes for one in scenes])
    sides = boxes[:, 2:] - boxes[:, :2]
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= SIZE[::-1]).all()
    assert sides.min() >= 12
    assert sides.max() <= 72


def test_objects_do_not_cover_each_other(scenes: list[Scene]):
    for one in scenes:
        taken = np.zeros(SIZE, int)
        for left, top, right, bottom in one.boxes:
            taken[top:bottom, left:right] += 1
        assert taken.max() == 1


def test_day_night_and_every_class_are_about_as_frequent(scenes: list[Scene]):
    names = [name for one in scenes for name in one.names]
    assert {1, MOST_OBJECTS} <= {len(one.names) for one in scenes}
    assert 0.35 < np.mean([one.night for one in scenes]) < 0.65
    for name in CLASSES:
        assert 0.17 < names.count(name) / len(names) < 0.33


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("night", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("roll", range(4))
def test_a_box_goes_tightly_around_what_is_drawn(kind: Kind, night: bool, roll: int):
    canvas = Canvas.blank(SIZE)
    for layer in (canvas.colour, canvas.heat):
        layer[:] = 7  # the colour of no object
    x, y, height = 80 * FINE + roll, 90 * FINE + roll, 40 * FINE
    box = draw_object(canvas, Place(kind, x, y, height, (0, 0, 0, y)), np.random.default_rng(roll), night)
    changed = (canvas.colour != 7).any(axis=2) | (canvas.heat != 7) if kind.name != "dog" else canvas.heat != 7
    if kind.name == "sign":
        changed[y + 1 :] = False  # its post is not part of it
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) // FINE for axis in (1, 0))
    assert box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


# ---------------------------------------------------------------------------------------- what each spectrum shows


def contrast(picture: np.ndarray, box: np.ndarray) -> float:
    """Difference between the middle of an object and what is beside it: grey levels, the strongest channel."""
    left, top, right, bottom = box.tolist()
    wide, tall = right - left, bottom - top
    rows = picture.reshape(*picture.shape[:2], -1).astype(float)[top + tall // 5 : bottom - tall // 5]
    middle = rows[:, left + wide * 3 // 10 : right - wide * 3 // 10]
    beside = np.concatenate([rows[:, max(0, left - 6) : max(0, left - 1)], rows[:, right + 1 : right + 6]], axis=1)
    return float(np.abs(middle.mean(axis=(0, 1)) - beside.mean(axis=(0, 1))).max())


@pytest.fixture(scope="module")
def contrasts(scenes: list[Scene]) -> dict[tuple[str, bool], np.ndarray]:
    """(n, 2) contrasts in RGB and IR of the objects of a class by day or night."""
    found = defaultdict(list)
    for one in scenes:
        for name, box in zip(one.names, one.boxes, strict=True):
            found[name, one.night].append((contrast(one.rgb, box), contrast(one.ir, box)))
    return {key: np.array(values) for key, values in found.items()}


@pytest.mark.parametrize(
    ("name", "night", "shown_in"),
    [
        ("person", True, "ir"),
        ("person", False, "rgb"),
        ("dog", True, "ir"),
        ("dog", False, "ir"),
        ("sign", True, "rgb"),
        ("sign", False, "rgb"),
    ],
)
def test_one_spectrum_shows_it_and_the_other_hardly_does(
    contrasts: dict[tuple[str, bool], np.ndarray], name: str, night: bool, shown_in: str
):
    rgb, ir = contrasts[name, night].T
    seen, hidden = (rgb, ir) if shown_in == "rgb" else (ir, rgb)
    assert seen.min() > 25  # grey levels; the noise has about 2
    assert np.median(hidden) < 10
    assert np.median(hidden) < np.median(seen) / 5


def test_a_person_at_night_is_bright_in_ir_and_lost_in_the_noise_of_rgb(
    contrasts: dict[tuple[str, bool], np.ndarray],
):
    rgb, ir = contrasts["person", True].T
    assert ir.min() > 80
    assert np.median(rgb) < 2.5


def test_some_cars_need_rgb_by_day_and_some_need_ir_by_night(contrasts: dict[tuple[str, bool], np.ndarray]):
    day, night = contrasts["car", False], contrasts["car", True]
    assert day[:, 0].min() > 15
    assert 0.25 < np.mean(day[:, 1] < 20) < 0.75  # parked ones; what is left is the ground's own contrast
    assert night[:, 1].min() > 15
    assert np.median(night[:, 0]) < 5


# ------------------------------------------------------------------------------------------------------- files


def digest(folder: Path) -> str:
    """Of the names and bytes of all files."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        make_demo(tmp_path / name, train=5, val=2)
    make_demo(tmp_path / "other", train=5, val=2, seed=1)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "other")


def test_more_pairs_leave_the_first_ones_as_they_are(tmp_path: Path):
    make_demo(tmp_path / "few", train=2, val=1)
    make_demo(tmp_path / "many", train=4, val=3)
    for path in (tmp_path / "few").glob("*/*.png"):
        assert path.read_bytes() == (tmp_path / "many" / path.relative_to(tmp_path / "few")).read_bytes()


def test_files_say_what_was_drawn(tmp_path: Path):
    make_demo(tmp_path / "demo", train=4, val=2, seed=3, size=(64, 96))
    for split, part, count in (("train", 0, 4), ("val", 1, 2)):
        annotations = read_coco(tmp_path / "demo" / f"{split}.json")
        assert [category.name for category in annotations.categories] == list(CLASSES)
        assert len(annotations.examples) == count
        for number, example in enumerate(annotations.examples):
            drawn = scene((3, part, number), (64, 96))
            assert (example.width, example.height) == (96, 64)
            np.testing.assert_array_equal(read_picture(example.rgb), drawn.rgb)
            np.testing.assert_array_equal(read_picture(example.ir), drawn.ir)
            np.testing.assert_array_equal(example.objects.boxes, drawn.boxes)
            assert tuple(CLASSES[label] for label in example.objects.labels) == drawn.names


def test_the_shipped_settings_describe_it(tmp_path: Path):
    make_demo(tmp_path / "demo", train=1, val=1)
    data = load_config(dataset="demo").config.data
    assert data.classes == CLASSES
    assert data.label_spectrum == "ir"
    for split in data.splits.values():
        assert (tmp_path / "demo" / split.annotations[0]).is_file()


@pytest.mark.parametrize("size", [(32, 160), (160, 128)])
def test_a_size_that_objects_do_not_fit_in_is_refused(tmp_path: Path, size: tuple[int, int]):
    with pytest.raises(ValueError, match="size"):
        make_demo(tmp_path / "demo", train=1, val=1, size=size)


class Interrupt(Progress):
    """Ctrl-C after the second pair."""

    def track(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item


def test_an_interruption_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "demo", train=5, val=1, progress=Interrupt())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_kept(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        make_demo(tmp_path, train=1, val=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(os.name == "nt", reason="limits on file sizes need POSIX")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # an RGB picture has more
    try:
        with pytest.raises(DiskFull, match="no room"):
            make_demo(tmp_path / "demo", train=2, val=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- in the cache


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set as two processes made it at the same time."""
    cache = tmp_path_factory.mktemp("cache")
    script = "from caffdet_cli.data.demo_set import demo_root; print(demo_root())"
    environment = {**os.environ, "CAFFDET_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    assert [path.name for path in cache.iterdir()] == [Path(said[0]).name]  # no half-made folder beside it
    return Path(said[0])


def test_two_processes_at_once_make_one_whole_data_set(made: Path):
    assert len(list((made / "rgb").iterdir())) == len(list((made / "ir").iterdir())) == TRAIN + VAL
    assert sorted(path.name for path in made.iterdir()) == ["ir", "rgb", "train.json", "val.json"]
    for split, count in (("train", TRAIN), ("val", VAL)):
        annotations = read_coco(made / f"{split}.json")
        assert len(annotations.examples) == count
        labels = np.concatenate([example.objects.labels for example in annotations.examples])
        assert np.bincount(labels).min() > count // 2


def test_a_damaged_data_set_is_made_again(made: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAFFDET_CACHE", str(made.parent))
    before = digest(made)
    (made / "rgb" / "train_0003.png").unlink()
    (made / "ir" / "val_0001.png").write_bytes(b"")
    assert demo_root() == made
    assert digest(made) == before


def test_a_whole_data_set_is_left_alone(made: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAFFDET_CACHE", str(made.parent))
    times = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert demo_root() == made
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == times


def test_a_cache_that_cannot_be_written_is_told_with_the_variable_that_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="set CAFFDET_CACHE"):
        demo_root()


def test_only_the_demo_without_a_place_of_its_own_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CAFFDET_DATA", str(tmp_path))
    (tmp_path / "demo").mkdir()
    assert place_of(Data(name="demo"), tmp_path) == tmp_path
    assert place_of(Data(name="demo", root="here")) is None
    assert place_of(Data(name="llvip")) is None
    assert place_of(Data(name="demo")) is None  # it is in $CAFFDET_DATA
    assert not (tmp_path / "cache").exists()
