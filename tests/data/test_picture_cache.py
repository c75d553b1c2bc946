"""Shrunk pictures that are kept: the same picture, smaller; another file is another entry."""

import os

import cv2
import numpy as np
import pytest

from caffdet_cli.data.images import read_picture
from caffdet_cli.data.picture_cache import PictureCache
from caffdet_cli.errors import OutputError
from caffdet_cli.settings.train import Augment


@pytest.fixture
def large(tmp_path):
    ramp = np.linspace(0, 255, 800, dtype=np.uint8)[None, :, None].repeat(600, axis=0).repeat(3, axis=2)
    cv2.imwrite(str(tmp_path / "large.png"), ramp)
    return tmp_path / "large.png"


def entries(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_large_picture_is_kept_small_and_read_from_there(large, tmp_path):
    cache = PictureCache(tmp_path / "cache", 150)
    first = cache.read(large)
    (entry,) = entries(cache.folder)
    second = cache.read(large)
    for found in (first, second):
        assert (found.height, found.width) == (600, 800)
        assert found.pixels.shape == (150, 200, 3)
        assert np.abs(found.pixels[75, :, 0].astype(int) - np.linspace(0, 255, 200)).max() < 4
    assert entries(cache.folder) == [entry]
    entry.write_bytes(cv2.imencode(".jpg", np.full((150, 200, 3), 7, np.uint8))[1].tobytes())
    assert cache.read(large).pixels.max() < 12  # it comes from there


def test_the_first_reading_gives_the_pixels_of_all_later_ones(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    for enough, grey in ((None, False), (150, True), (70, False)):
        cache = PictureCache(tmp_path / f"cache-{enough}-{grey}", 150)
        first, second = (cache.read(tmp_path / "noise.png", enough, grey=grey).pixels for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_another_picture_of_the_same_name_is_another_entry(large, tmp_path):
    cache = PictureCache(tmp_path / "cache", 150)
    cache.read(large)
    cv2.imwrite(str(large), np.zeros((600, 800, 3), np.uint8))
    os.utime(large, ns=(1, 1))
    assert cache.read(large).pixels.max() == 0
    assert len(entries(cache.folder)) == 2


def test_small_pictures_stay_where_they_are(large, tmp_path):
    cache = PictureCache(tmp_path / "cache", 550)
    np.testing.assert_array_equal(cache.read(large).pixels, read_picture(large))
    assert not cache.folder.exists()


def test_sixteen_bits_keep_their_levels(tmp_path):
    counts = np.linspace(7000, 9000, 600 * 800).reshape(600, 800).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "counts.png"), counts)
    cache = PictureCache(tmp_path / "cache", 150)
    for _ in range(2):
        found = cache.read(tmp_path / "counts.png").pixels
        assert found.dtype == np.uint16
        assert found.shape == (150, 200)
        assert len(np.unique(found)) > 500
        assert (int(found.min()), int(found.max())) == pytest.approx((7000, 9000), abs=30)


def test_a_folder_that_cannot_be_is_told(large, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputError, match="cache"):
        PictureCache(tmp_path / "cache", 150).read(large)


def test_exact_pixels_have_no_cache():
    with pytest.raises(ValueError, match="pixels = 'fast'"):
        Augment(cache="somewhere")
