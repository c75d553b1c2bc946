"""The folder of an export: whole or not there, and nothing of others is touched."""

import json
import shutil

import pytest
from raw_sets import llvip, pairs, picture, tree

from caffdet_cli.data.convert import convert
from caffdet_cli.errors import OutputError

FORMS = pytest.mark.parametrize("to", ["coco", "yolo", "voc"])


@FORMS
def test_twice_gives_the_same_bytes_and_a_dry_run_none(tmp_path, to):
    raw = llvip(tmp_path / "raw")
    dry = convert("llvip", raw, tmp_path / "out", to=to, dry_run=True)
    assert not (tmp_path / "out").exists()
    real = convert("llvip", raw, tmp_path / "out", to=to)
    assert (dry.splits, dry.findings.items) == (real.splits, real.findings.items)
    before = tree(tmp_path / "out")
    with pytest.raises(OutputError, match="--overwrite"):
        convert("llvip", raw, tmp_path / "out", to=to)
    convert("llvip", raw, tmp_path / "out", to=to, overwrite=True)
    assert tree(tmp_path / "out") == before


@FORMS
def test_overwriting_leaves_nothing_of_an_earlier_export_and_all_of_others(tmp_path, to):
    convert("llvip", llvip(tmp_path / "big", train=("1", "2", "3")), tmp_path / "out", to=to, copy=True)
    (tmp_path / "out/notes.txt").write_text("mine")
    small = llvip(tmp_path / "small", train=("1",), test=())
    convert("llvip", small, tmp_path / "out", to=to, copy=True, overwrite=True)
    convert("llvip", small, tmp_path / "fresh", to=to, copy=True)
    assert tree(tmp_path / "out") == {**tree(tmp_path / "fresh"), "notes.txt": b"mine"}


def test_a_folder_that_is_empty_now_is_still_there(tmp_path):
    raw = pairs(tmp_path / "raw")
    picture(raw / "infrared/3.png", grey=True)
    convert("voc", raw, tmp_path / "out", to="yolo")
    (raw / "infrared/3.png").unlink()
    convert("voc", raw, tmp_path / "out", to="yolo", overwrite=True)
    assert not list((tmp_path / "out/images/infrared/test").iterdir())
    assert convert("yolo", tmp_path / "out", tmp_path / "back").spectra == ("rgb", "ir")


def test_another_form_takes_the_place_of_the_one_before(tmp_path):
    raw = llvip(tmp_path / "raw")
    convert("llvip", raw, tmp_path / "out", to="voc")
    convert("llvip", raw, tmp_path / "out", to="yolo", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "data.yaml",
        "export.json",
        "images",
        "labels",
    ]


@pytest.mark.parametrize("book", [None, "{", '{"files": 3}', "[]"])
def test_folders_that_are_not_of_an_export_are_not_mixed_with_one(tmp_path, book):
    (tmp_path / "out/labels").mkdir(parents=True)
    (tmp_path / "out/labels/1.txt").write_text("0 1 1 1 1")
    if book is not None:
        (tmp_path / "out/export.json").write_text(book)
    with pytest.raises(OutputError, match=r"move it|choose another"):
        convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out", to="yolo", overwrite=True)


def test_a_book_that_names_files_elsewhere_removes_none(tmp_path):
    raw = llvip(tmp_path / "raw")
    convert("llvip", raw, tmp_path / "out", to="voc")
    (tmp_path / "precious.txt").write_text("mine")
    names = ["../precious.txt", str(tmp_path / "precious.txt"), "nothing.txt"]
    (tmp_path / "out/export.json").write_text(json.dumps({"files": names}))
    convert("llvip", raw, tmp_path / "out", to="voc", overwrite=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize(("output", "said"), [("sets/raw", "move it"), ("sets", "holds the source")])
def test_the_folder_of_the_pictures_is_never_the_output(tmp_path, output, said):
    raw = llvip(tmp_path / "sets/raw")
    convert("llvip", raw, tmp_path / "converted")
    before = tree(raw)
    with pytest.raises(OutputError, match=said):
        convert("coco", tmp_path / "converted", tmp_path / output, to="voc", overwrite=True)
    assert tree(tmp_path / "sets/raw") == before


def test_a_picture_that_vanishes_meanwhile_leaves_nothing(tmp_path, monkeypatch):
    def gone(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "copyfile", gone)
    with pytest.raises(OutputError):
        convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out", to="yolo")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]
