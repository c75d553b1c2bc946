"""Rig files: written and read back, and hostile ones told apart."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffdet_cli.data.rig import LARGEST, read_rig, write_rig
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.rig import Rig

RIG = Rig(
    moved="rgb",
    homography=((0.35, 0.01, 12.5), (-0.01, 0.36, -3.25), (1e-5, -2e-6, 1.0)),
    moved_size=(1800, 1600),
    fixed_size=(640, 512),
    residual=0.75,
    pairs=8,
    made_by="a test",
)


def test_a_written_rig_reads_back_and_gives_the_same_bytes(tmp_path):
    write_rig(RIG, tmp_path / "rig.toml")
    assert read_rig(tmp_path / "rig.toml") == RIG
    write_rig(read_rig(tmp_path / "rig.toml"), tmp_path / "again.toml")
    assert (tmp_path / "again.toml").read_bytes() == (tmp_path / "rig.toml").read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("moved = ", "moved_by = "), "moved is missing"),
        (('moved = "rgb"', 'moved = "uv"'), "moved = 'uv': must be 'rgb' or 'ir'"),
        (("pairs = 8", "pears = 8"), "there is no 'pears' in a rig file"),
        (("0.35", "0.0"), "homography"),
        (("0.35", "nan"), "homography.0.0"),
        (("[", "{"), "this is not TOML"),
        (("made_by", "\x00made_by"), "this is not TOML"),
    ],
)
def test_a_broken_file_is_told_with_its_name_and_key(tmp_path, change, reason):
    path = tmp_path / "rig.toml"
    write_rig(RIG, path)
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(DatasetError) as raised:
        read_rig(path)
    assert str(path) in str(raised.value)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"x = " + b"[" * 5000, b"moved = " + b"9" * 5000, b"#" * (LARGEST + 1), b""]
)
def test_hostile_files_are_one_sentence(tmp_path, content):
    (tmp_path / "rig.toml").write_bytes(content)
    with pytest.raises(DatasetError, match=r"rig\.toml"):
        read_rig(tmp_path / "rig.toml")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DatasetError, match="there is no file"):
        read_rig(tmp_path / "rig.toml")


def read_or_refused(content: bytes) -> Rig | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rig.toml"
        path.write_bytes(content)
        try:
            return read_rig(path)
        except DatasetError as error:
            said = str(error)
    assert said.startswith(str(path))
    assert "\n" not in said
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_rig_or_one_sentence(content):
    read_or_refused(content)


@settings(max_examples=200)
@given(st.randoms(use_true_random=False), st.sampled_from("0123456789.-+e[]\"'={}_\n\0 abn"))
def test_a_damaged_rig_is_a_valid_rig_or_one_sentence(chance: random.Random, sign: str):
    with tempfile.TemporaryDirectory() as folder:
        write_rig(RIG, Path(folder) / "rig.toml")
        text = (Path(folder) / "rig.toml").read_text()
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(text))
        text = text[:place] + sign * chance.randint(0, 2) + text[place + chance.randint(0, 3) :]
    found = read_or_refused(text.encode())
    if found is not None:
        assert Rig.model_validate(found.model_dump()) == found


sides = st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3) | st.just(0.0)


@settings(max_examples=200)
@given(st.lists(sides, min_size=9, max_size=9), st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_every_valid_rig_comes_back_to_a_thousandth_of_a_pixel(numbers, size):
    rows = [numbers[:3], numbers[3:6], [number * 1e-6 for number in numbers[6:8]] + [1.0]]
    try:
        rig = Rig(moved="ir", homography=rows, moved_size=size, fixed_size=size)
    except ValueError:
        return
    with tempfile.TemporaryDirectory() as folder:
        write_rig(rig, Path(folder) / "rig.toml")
        back = read_rig(Path(folder) / "rig.toml")
    for first, second in zip(rig.homography, back.homography, strict=True):
        assert second == pytest.approx(first, rel=1e-11)
