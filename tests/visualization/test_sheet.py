"""Contact sheets and picture files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from caffdet_cli.errors import OutputError
from caffdet_cli.visualization.sheet import contact_sheet, save_picture


def tile(height: int, width: int, colour: tuple[int, int, int] = (200, 10, 10)) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("shape", [(300, 700), (700, 300), (10, 10)])
def test_a_sheet_keeps_within_its_bound(count: int, shape: tuple[int, int]):
    sheet = contact_sheet([tile(*shape)] * count, [f"picture {number}" for number in range(count)], max_side=1200)
    assert max(sheet.shape[:2]) <= 1200


def test_every_tile_is_there():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    sheet = contact_sheet([tile(40, 60, colour) for colour in colours], list("abcde"), columns=2)
    shown = [int((sheet == colour).all(axis=2).sum()) for colour in colours]
    assert shown == [40 * 60] * 5


def test_tiles_of_different_size_keep_their_shape():
    sheet = contact_sheet([tile(100, 400), tile(400, 100, (0, 255, 0))], ["wide", "high"], columns=2, max_side=500)
    rows, columns = np.nonzero((sheet == (0, 255, 0)).all(axis=2))
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(4, rel=0.05)


def test_the_number_of_columns_can_be_said():
    wide, high = (contact_sheet([tile(50, 50)] * 4, list("abcd"), columns=columns) for columns in (4, 1))
    assert wide.shape[1] > wide.shape[0]
    assert high.shape[0] > high.shape[1]


def test_grey_tiles_and_long_captions_are_taken():
    sheet = contact_sheet([np.full((40, 60), 99, np.uint8)], ["a very long name of a picture file.png"])
    assert (sheet == 99).all(axis=2).sum() == 40 * 60


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.JPEG", "größe.PNG"])
def test_a_saved_picture_has_its_colours(tmp_path: Path, name: str):
    save_picture(tile(20, 30), tmp_path / "sub" / name)
    stored = cv2.imdecode(np.fromfile(tmp_path / "sub" / name, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(stored.astype(int) - tile(20, 30)).max() <= 4
    assert [path.name for path in (tmp_path / "sub").iterdir()] == [name]


def test_grey_pictures_are_saved_with_one_channel(tmp_path: Path):
    save_picture(np.full((20, 30), 77, np.uint8), tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED).shape == (20, 30)


def test_an_unknown_ending_is_refused(tmp_path: Path):
    with pytest.raises(OutputError, match=r"\.png or \.jpg"):
        save_picture(tile(2, 2), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_picture(tile(2, 2), tmp_path / "file" / "a.png")
