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
