"""Rig files: written and read back, and hostile ones told apart."""

import pytest

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
