"""`caffdet convert --to` as typed: what is printed, exit codes, the command that reads it back."""

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffdet_cli.main import main

XML = """<annotation><size><width>40</width><height>30</height></size><object><name>person</name><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>12</ymax></bndbox></object></annotation>"""


@pytest.fixture
def raw(tmp_path) -> Path:
    """Two pairs, in a folder whose name has a blank."""
    root = tmp_path / "my set"
    (root / "Annotations").mkdir(parents=True)
    for spectrum in ("visible", "infrared"):
        (root / spectrum).mkdir()
        for name in ("a", "b"):
            cv2.imwrite(str(root / spectrum / f"{name}.png"), np.full((30, 40), 7, np.uint8))
            (root / f"Annotations/{name}.xml").write_text(XML)
    return root


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
@pytest.mark.parametrize("spectrum", ["rgb", "ir"])
def test_the_printed_command_reads_it_back(raw, tmp_path, monkeypatch, capsys, to, spectrum):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "voc", str(raw), "-o", "out dir", "--to", to, "--label-spectrum", spectrum]) == 0
    out, err = capsys.readouterr()
    assert "train      2      2" in out
    assert f"cannot be said in {to}" in err
    words = shlex.split(out.splitlines()[-1].partition("Read it back: ")[2])
    assert words[0] == "caffdet"
    assert main([*words[1:], "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["splits"], report["label_spectrum"]) == ({"train": {"pictures": 2, "boxes": 2}}, spectrum)


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_the_printed_command_brings_back_classes_in_their_order(raw, tmp_path, capsys, to):
    for name, label in (("a", "car"), ("b", "ant")):
        (raw / f"Annotations/{name}.xml").write_text(XML.replace("person", label))
    words = ["convert", "voc", str(raw), "-o", str(tmp_path / "out"), "--classes", "grey zebra,car,ant"]
    assert main([*words, "--to", to]) == 0
    said = shlex.split(capsys.readouterr().out.splitlines()[-1].partition("Read it back: ")[2])
    assert main([str(tmp_path / "back") if word == "DIR" else word for word in said[1:]]) == 0
    categories = json.loads((tmp_path / "back/train.json").read_text())["categories"]
    assert categories == [{"id": at, "name": name} for at, name in enumerate(["grey zebra", "car", "ant"])]


@pytest.mark.parametrize("names", [[f"kind {at}" for at in range(11)] + ["person"], ["one, two", "person"]])
def test_classes_that_fit_no_command_are_those_of_export_json(raw, tmp_path, capsys, names):
    converted = tmp_path / "converted"
    assert main(["convert", "voc", str(raw), "-o", str(converted)]) == 0
    document = json.loads((converted / "train.json").read_text())
    document["categories"] = [{"id": at, "name": name} for at, name in enumerate(names)]
    document["annotations"] = [{**one, "category_id": len(names) - 1} for one in document["annotations"]]
    (converted / "train.json").write_text(json.dumps(document))
    assert main(["convert", "coco", str(converted), "-o", str(tmp_path / "out"), "--to", "voc"]) == 0
    assert capsys.readouterr().out.endswith(" -o DIR --classes A,B,.. (those of export.json)\n")


def test_json_says_the_form_and_dry_run_writes_nothing(raw, tmp_path, capsys):
    words = ["convert", "voc", str(raw), "-o", str(tmp_path / "out"), "--json", "--quiet"]
    assert main([*words, "--to", "yolo", "--dry-run"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["to"], report["written"]) == (1, "yolo", False)
    assert not (tmp_path / "out").exists()
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["to"] is None


def test_what_exists_is_not_replaced_and_an_unknown_form_is_refused(raw, tmp_path, capsys):
    words = ["convert", "voc", str(raw), "-o", str(tmp_path / "out"), "--to", "voc"]
    assert main(words) == 0
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert main([*words[:-1], "tfrecord"]) == 2


def test_a_full_disk_leaves_nothing(raw, tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    assert main(["convert", "voc", str(raw), "-o", str(tmp_path / "out"), "--to", "yolo"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["my set"]
