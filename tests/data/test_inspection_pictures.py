"""Facts of single pictures: one look at each file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from inspection_set import scene

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, no_objects
from caffdet_cli.data.images import decode, picture_bytes, read_picture
from caffdet_cli.data.inspection.leakage import NEAR
from caffdet_cli.data.inspection.pictures import PairFacts, PictureFacts, dhash, look_at
from caffdet_cli.data.inspection.survey import survey
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress


def example(rgb: Path | None = None, ir: Path | None = None) -> Example:
    return Example(1, rgb, ir, 64, 48, no_objects())


def look(rgb: Path | None = None, ir: Path | None = None) -> PairFacts:
    return look_at(example(rgb, ir), "ir")


def facts(path: Path, pixels: np.ndarray) -> PictureFacts:
    assert cv2.imwrite(str(path), pixels)
    found = look(ir=path).ir
    assert found is not None
    return found


def test_facts_of_a_whole_picture(tmp_path):
    found = facts(tmp_path / "a.png", scene(1)[0][..., ::-1])
    assert (found.problem, found.width, found.height, found.depth, found.channels) == ("", 160, 128, "uint8", 3)
    assert found.whole
    assert not found.flat
    assert found.colour > 6
    assert found.warmth > 0


def test_sixteen_bits_keep_their_depth_and_largest_value_and_look_like_their_eight(tmp_path):
    ir = scene(2)[1]
    eight = facts(tmp_path / "8.png", ir)
    sixteen = facts(tmp_path / "16.png", ir.astype(np.uint16) * 20 + 7000)
    assert (sixteen.depth, sixteen.largest) == ("uint16", 20 * int(ir.max()) + 7000)
    assert bin(sixteen.hash ^ eight.hash).count("1") <= 4
    assert sixteen.contrast > 20


def test_floating_point_with_holes_is_looked_at(tmp_path):
    pixels = scene(3)[1].astype(np.float32) + 273
    pixels[:5, :5], pixels[6, 6] = np.nan, np.inf
    found = facts(tmp_path / "a.tiff", pixels)
    assert (found.depth, found.flat) == ("float32", False)
    assert 0 <= found.brightness <= 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_picture_without_a_number_in_it_is_flat(tmp_path, value):
    found = facts(tmp_path / "a.tiff", np.full((40, 60), value, np.float32))
    assert found.flat
    assert 0 <= found.brightness <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (5000, 2)])
def test_pictures_of_any_shape_are_looked_at(tmp_path, size):
    pixels = np.random.default_rng(0).integers(0, 255, size, np.uint8)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        cv2.imwrite(str(path), pixels)
    found = look(*paths)
    assert (found.ir.height, found.ir.width) == size
    assert found.shift is None


def test_three_equal_channels_have_no_colour_and_a_palette_has(tmp_path):
    ir = scene(4)[1]
    assert facts(tmp_path / "grey.png", cv2.cvtColor(ir, cv2.COLOR_GRAY2BGR)).colour == 0
    assert facts(tmp_path / "palette.png", cv2.applyColorMap(ir, cv2.COLORMAP_JET)).colour > 20


@pytest.mark.parametrize("value", [0, 128, 255])
def test_one_level_everywhere_is_flat(tmp_path, value):
    assert facts(tmp_path / "a.png", np.full((40, 60), value, np.uint8)).flat


def test_what_cannot_be_read_is_said_and_a_missing_file_is_told_from_a_broken_one(tmp_path):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), scene(5)[0])
    path.write_bytes(path.read_bytes()[:-500])
    found = look(rgb=path, ir=tmp_path / "none.png")
    assert "a.jpg is truncated" in found.rgb.problem
    assert (found.rgb.missing, found.rgb.whole, found.ir.missing) == (False, False, True)
    assert found.shift is None


@pytest.mark.parametrize(("side", "shrunk"), [(2048, 8), (1024, 4), (512, 2), (511, 1), (100, 1)])
def test_a_jpeg_is_decoded_as_small_as_is_enough(tmp_path, side, shrunk):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.full((side, side + 64, 3), (200, 100, 0), np.uint8))
    found = decode(picture_bytes(path), path, 256)
    assert (found.height, found.width) == (side, side + 64)
    assert found.pixels.shape == (-(-side // shrunk), -(-(side + 64) // shrunk), 3)
    assert np.abs(found.pixels.reshape(-1, 3).mean(axis=0) - (0, 100, 200)).max() < 4


def test_a_turned_jpeg_has_the_size_after_turning(tmp_path):
    from PIL import Image

    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(6, 640, 512)[0]).save(path, exif=exif)
    found = decode(picture_bytes(path), path, 256)
    assert (found.height, found.width) == (640, 512) == read_picture(path).shape[:2]
    assert found.pixels.shape == (320, 256, 3)


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.98])
def test_a_cut_jpeg_is_refused_also_where_a_smaller_one_is_enough(tmp_path, keep):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), scene(7, 640, 512)[0])
    data = path.read_bytes()
    with pytest.raises(DatasetError, match="truncated"):
        decode(data[: int(keep * len(data))], path, 256)


def test_the_hash_survives_another_size_brightness_and_quality(tmp_path):
    rgb = cv2.resize(scene(8)[0], (640, 512))
    cv2.imwrite(str(tmp_path / "a.jpg"), cv2.convertScaleAbs(rgb, alpha=0.8), [cv2.IMWRITE_JPEG_QUALITY, 40])
    other = cv2.resize(read_picture(tmp_path / "a.jpg"), (333, 266), interpolation=cv2.INTER_AREA)
    grey, again = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in (rgb, other))
    assert bin(dhash(grey) ^ dhash(again)).count("1") <= NEAR
    assert bin(dhash(grey) ^ dhash(grey[:, ::-1].copy())).count("1") > 10


@settings(max_examples=40)
@given(arrays.arrays(np.float32, (8, 9), elements=st.floats(0, 255, width=16)))
def test_the_hash_compares_neighbours(grey):
    bits = [grey[row, column + 1] - grey[row, column] > 0.5 for row in range(8) for column in range(8)]
    assert dhash(grey) == int("".join("01"[bool(bit)] for bit in bits), 2)


def picture_set(folder: Path, count: int) -> AnnotationSet:
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((20 + number, 30), 7, np.uint8))
    return AnnotationSet(tuple(example(ir=path) for path in paths), (Category(0, "a"),), "ir", folder / "a.json")


@pytest.mark.parametrize("workers", [0, 1, 3, None])
def test_facts_come_in_the_order_of_the_split_whatever_the_threads(tmp_path, workers):
    found = survey(picture_set(tmp_path, 60), "looking", Progress(), workers)
    assert [pair.ir.height for pair in found] == list(range(20, 80))


def test_an_interruption_ends_the_survey_before_the_rest_is_read(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(
        "caffdet_cli.data.inspection.survey.look_at",
        lambda one, **how: looked.append(one) or PairFacts(None, None),
    )

    class Interrupted(Progress):
        def track(self, items, label, total=None):
            yield next(iter(items))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey(picture_set(tmp_path, 100), "looking", Interrupted(), 2)
    assert len(looked) <= 20
