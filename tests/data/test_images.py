"""Reading pictures of every depth, turned as EXIF says, and refusing what is no whole picture."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from caffdet_cli.data import images
from caffdet_cli.data.images import picture_size, read_picture
from caffdet_cli.errors import DatasetError

RANDOM = np.random.default_rng(0)
COLOUR = cv2.resize(RANDOM.integers(0, 255, (6, 8, 3), np.uint8), (64, 48))  # BGR, as OpenCV writes it
GREY = COLOUR[..., 0]
DEEP = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20

LOSSLESS = {
    "colour.png": COLOUR,
    "colour.bmp": COLOUR,
    "colour.tiff": COLOUR,
    "grey.png": GREY,
    "grey.bmp": GREY,
    "deep.png": DEEP,
    "deep.tiff": DEEP,
    "deep_colour.png": np.dstack([DEEP, DEEP // 2, DEEP // 3]),
    "float.tiff": DEEP.astype(np.float32) / 7,
    "double.tiff": DEEP.astype(np.float64) / 7,
    "signed.tiff": DEEP.astype(np.int16) - 100,
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_depth_comes_back_as_it_was_written_in_rgb_order(tmp_path, name):
    written = LOSSLESS[name]
    cv2.imwrite(str(tmp_path / name), written)
    read = read_picture(tmp_path / name)
    assert read.dtype == written.dtype
    np.testing.assert_array_equal(read, written[..., ::-1] if written.ndim == 3 else written)
    assert picture_size(tmp_path / name) == (48, 64)


def test_sixteen_bits_keep_more_than_256_levels(tmp_path):
    cv2.imwrite(str(tmp_path / "t.png"), DEEP)
    assert len(np.unique(read_picture(tmp_path / "t.png"))) == DEEP.size


def test_alpha_is_dropped(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([COLOUR, GREY]))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), COLOUR[..., ::-1])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda a: a), (3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1)), (8, lambda a: np.rot90(a, 1))],
)
def test_the_exif_rotation_is_applied(tmp_path, suffix, orientation, turn):
    path, stored = tmp_path / f"o.{suffix}", np.zeros((48, 64, 3), np.uint8)
    stored[:16, :16] = 255  # a white corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(path, exif=exif)
    read, expected = read_picture(path), turn(stored)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 3  # JPEG
    assert picture_size(path) == expected.shape[:2]


@pytest.mark.parametrize(
    "name", ["colour.jpg", "grey.jpg", "colour.png", "deep.png", "deep.tiff", "grey.bmp", "colour.webp"]
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_a_truncated_picture_is_an_error_that_names_the_file(tmp_path, name, share):
    kinds = {"colour": COLOUR, "grey": GREY, "deep": DEEP}
    cv2.imwrite(str(tmp_path / name), kinds[name.split(".")[0]])
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DatasetError, match=name):
        read_picture(tmp_path / name)


def test_a_jpeg_without_its_end_is_found_behind_a_thumbnail(tmp_path):
    path = tmp_path / "thumb.jpg"
    cv2.imwrite(str(path), COLOUR)
    whole = path.read_bytes()
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(whole)) + whole  # a header segment with an end marker in it
    path.write_bytes(whole[:2] + thumbnail + whole[2:])
    assert read_picture(path).shape == (48, 64, 3)
    assert not images._jpeg_ends(path.read_bytes()[:-2])


def test_what_follows_the_end_of_a_jpeg_does_no_harm(tmp_path):
    path = tmp_path / "tail.jpg"
    cv2.imwrite(str(path), COLOUR)
    path.write_bytes(path.read_bytes() + b"vendor data" * 50)
    assert read_picture(path).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0\xff\xff\xff\xff", b"MM\0+"]
)
def test_what_is_no_picture_is_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad\.png"):
        read_picture(path)
    with pytest.raises(DatasetError, match=r"bad\.png"):
        picture_size(path)


def test_a_missing_file_and_a_folder_are_errors_that_name_them(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DatasetError, match=str(path)):
            read_picture(path)
        with pytest.raises(DatasetError, match=str(path)):
            picture_size(path)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b""))
    with pytest.raises(DatasetError, match=r"bomb\.png has more than"):
        read_picture(path)


def test_real_infrared_pictures_have_the_size_of_their_annotations(shared):
    path = next((shared / "data" / "llvip_mini").rglob("infrared/*/*.jpg"))
    assert read_picture(path).shape[:2] == picture_size(path) == (1024, 1280)
