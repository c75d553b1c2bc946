"""Splits that are lists of names, with a hash so that another list is noticed."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_sets import llvip

from caffdet_cli.data.convert import convert
from caffdet_cli.data.named_split import names_hash, read_names
from caffdet_cli.data.splits import load_split
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.data import Data, Split


@pytest.fixture
def root(tmp_path) -> Path:
    convert("llvip", llvip(tmp_path / "raw", train=("010001", "010002", "010003")), tmp_path / "set")
    return tmp_path / "set"


def ids(root: Path, **about: str) -> list[int | str]:
    split = Split(annotations=("train.json",), names="val.txt", **about)
    return [example.id for example in load_split(Data(splits={"val": split}), "val", root)[1].examples]


@pytest.mark.parametrize("called", ["010002", "10002", "010002.jpg"])
def test_a_picture_is_named_by_id_or_file_with_or_without_ending(root, called):
    (root / "val.txt").write_text(f"{called}\n")
    assert ids(root) == [10002]


def test_the_order_is_that_of_the_annotation_file(root):
    (root / "val.txt").write_text("010003\r\n\r\n010001")
    assert ids(root) == [10001, 10003]


def test_a_hash_fits_the_names_in_any_order(root):
    (root / "val.txt").write_text("010003\n010001\n")
    said = hashlib.sha256(b"010001\n010003\n").hexdigest()
    assert ids(root, sha256=said) == [10001, 10003]


def test_another_list_than_the_hash_says_is_refused(root):
    (root / "val.txt").write_text("010003\n")
    with pytest.raises(DatasetError, match=names_hash(["010003"])):
        ids(root, sha256="0" * 64)


def test_names_of_no_picture_are_refused_and_one_is_told(root):
    (root / "val.txt").write_text("010003\n999\n")
    with pytest.raises(DatasetError, match=r"names 1 pictures that .*train\.json does not have, for example '999'"):
        ids(root)


def test_a_name_of_several_pictures_is_refused(root):
    """Where ids count from elsewhere than file names, `1` would be two pictures."""
    document = json.loads((root / "train.json").read_text())
    for number, image in enumerate(document["images"]):
        image["id"] = str(10002 + number)
    document["annotations"] = []
    (root / "train.json").write_text(json.dumps(document).replace("010001.jpg", "10003.jpg"))
    (root / "val.txt").write_text("10003\n")
    with pytest.raises(DatasetError, match="'10003' names several pictures"):
        ids(root)


def test_a_list_without_names_is_refused(root):
    (root / "val.txt").write_text("\n \n")
    with pytest.raises(DatasetError, match="names no picture"):
        ids(root)


def test_a_list_that_is_no_text_is_refused(root):
    (root / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"byte 0: .*UTF-8"):
        ids(root)


def test_a_missing_list_is_told_with_its_place(root):
    with pytest.raises(DatasetError, match=r"there is no file .*val\.txt"):
        ids(root)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,8}(/[A-Za-z0-9_.-]{1,8}x)?", fullmatch=True), min_size=1, unique=True))
def test_every_list_of_names_is_read_as_it_was_written(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("lists") / "names.txt"
    path.write_text("\n".join(f"{name}.png" for name in names))
    assert read_names(path) == names
    assert names_hash(names) == names_hash(reversed(names))
