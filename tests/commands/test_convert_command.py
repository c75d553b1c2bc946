"""`caffdet convert` as typed: streams, exit codes, real faults of the system."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from privileges import without_privileges

from caffdet_cli.main import main

CAFFDET = [sys.executable, "-m", "caffdet_cli", "convert"]
XML = """<annotation><filename>{name}.png</filename><size><width>40</width><height>30</height></size><object>
<name>person</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>{right}</xmax><ymax>12</ymax></bndbox></object></annotation>"""


def raw(root: Path, count: int = 3) -> Path:
    """LLVIP's layout; the box of the first pair reaches out of the picture."""
    for spectrum in ("visible", "infrared"):
        (root / spectrum / "train").mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / spectrum / "train" / f"{number}.png"), np.full((30, 40), 9 * number % 256, np.uint8))
    (root / "Annotations").mkdir()
    for number in range(count):
        (root / "Annotations" / f"{number}.xml").write_text(XML.format(name=number, right=10 if number else 50))
    return root


@pytest.fixture
def words(tmp_path) -> list[str]:
    return ["convert", "llvip", str(raw(tmp_path / "raw")), "-o", str(tmp_path / "out")]


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_summary_on_standard_output_and_findings_on_standard_error(words, capsys):
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "train      3      3" in out
    assert "3 pairs and 3 boxes read, 0 and 0 left out" in out
    assert "box outside" in err
    assert "repaired" in err


def test_every_finding_is_listed_where_that_is_asked_for(words, tmp_path, capsys):
    """One example of each kind is shown, and what shows the others; names cannot steer the terminal."""
    for number in (1, 2):
        (tmp_path / f"raw/visible/train/{number}.png").write_bytes(b"<html>")
    (tmp_path / "raw/visible/train/\x1b[31m\n.png").write_bytes(b"")
    assert main([*words, "--dry-run"]) == 0
    err = capsys.readouterr().err
    assert "findings (--verbose lists every one)" in err
    assert ("visible/train/1.png: cannot be read: it is a web page" in err, "visible/train/2.png" in err) == (
        True,
        False,
    )
    assert main([*words, "--dry-run", "--verbose"]) == 0
    err = capsys.readouterr().err
    assert err.count("it is a web page") == 2
    assert "box outside" in err
    assert "\\x1b[31m\\n: no annotation" in err
    assert "\x1b" not in err
    assert "--verbose" not in err


def test_json_is_one_object_with_a_schema_and_the_findings(words, tmp_path, capsys):
    assert main([*words, "--json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == 1
    assert report["splits"] == {"train": {"pictures": 3, "boxes": 3}}
    assert [(row["kind"], row["number"], row["done"]) for row in report["findings"]] == [("box outside", 1, "repaired")]
    assert (report["output"], report["written"]) == (str(tmp_path / "out"), True)


def test_strict_shows_the_findings_exits_1_and_leaves_standard_output_empty(words, tmp_path, capsys):
    assert main([*words, "--strict", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Annotations/0.xml" in err or "infrared/train/0.png" in err
    assert "error: 1 findings" in err
    assert left(tmp_path) == ["raw"]


def test_a_dry_run_writes_nothing(words, tmp_path, capsys):
    assert main([*words, "--dry-run"]) == 0
    assert "--dry-run" in capsys.readouterr().out
    assert left(tmp_path) == ["raw"]


def test_classes_are_separated_by_commas(words, tmp_path):
    assert main([*words, "--classes", "dog, person", "--first-category-id", "1"]) == 0
    assert json.loads((tmp_path / "out/train.json").read_text())["categories"] == [
        {"id": 1, "name": "dog"},
        {"id": 2, "name": "person"},
    ]


@pytest.mark.parametrize("given", [[], ["llvip"], ["llvip", "raw"]])
def test_what_is_missing_is_told_with_the_formats_and_an_example(given, capsys):
    assert main(["convert", *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for expected in ("caffdet convert llvip LLVIP -o", "voc", "align_train.txt"):
        assert expected in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: "lvip"}, "did you mean llvip"),
        ({1: "flir"}, "looks like llvip: caffdet convert llvip"),
        ({2: "/no/such/folder"}, "there is no folder /no/such/folder"),
        ({4: "/dev/null"}, "is a file"),
        ({4: "/dev/null/below"}, "cannot write"),
        ({4: "."}, "holds the source"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(words, tmp_path, monkeypatch, change, message, capsys):
    monkeypatch.chdir(tmp_path)
    changed = [change.get(place, word) for place, word in enumerate(words)]
    assert main([*changed, "--overwrite"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert left(tmp_path) == ["raw"]


def test_an_existing_output_needs_overwrite(words, tmp_path, capsys):
    assert main(words) == 0
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert left(tmp_path / "out") == ["dataset.toml", "train.json"]


def test_hostile_names_do_not_steer_the_terminal(words, tmp_path, capsys):
    (tmp_path / "raw/Annotations/1.xml").write_text(
        XML.format(name="a\n\u001b[31mred".replace("\u001b", "&#x9b;"), right=10)
    )
    assert main(words) == 0
    assert "\x9b" not in capsys.readouterr().err


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CAFFDET, *words], capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.e2e
def test_without_write_permission_it_says_so_and_exits_2(words, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    done = run(*words[1:4], str(locked / "out"), preexec_fn=without_privileges)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot write {locked / 'out'}" in done.stderr
    assert left(locked) == []


@pytest.mark.e2e
def test_a_source_that_cannot_be_read_exits_2_and_a_picture_is_a_finding(words, tmp_path):
    picture = tmp_path / "raw/visible/train/1.png"
    picture.chmod(0)
    done = run(*words[1:], preexec_fn=without_privileges)
    assert done.returncode == 0
    assert "unreadable picture" in done.stderr
    (tmp_path / "raw").chmod(0)
    done = run(*words[1:], "--overwrite", preexec_fn=without_privileges)
    (tmp_path / "raw").chmod(0o755)
    assert done.returncode == 2
    assert f"cannot read the folder {tmp_path / 'raw'}" in done.stderr


@pytest.mark.e2e
def test_a_full_disk_exits_1_and_leaves_nothing(words, tmp_path):
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    done = run(*words[1:], preexec_fn=small_files)
    assert done.returncode == 1
    assert "no room to write" in done.stderr
    assert left(tmp_path) == ["raw"]


@pytest.mark.e2e
def test_ctrl_c_exits_130_and_leaves_nothing(tmp_path):
    source = raw(tmp_path / "raw", count=1500)
    command = subprocess.Popen(
        [*CAFFDET, "llvip", str(source), "--copy", "-o", str(tmp_path / "out")],  # copying takes a while
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 30
    while left(tmp_path) == ["raw"] and time.monotonic() < limit:
        time.sleep(0.01)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (130, "")
    assert err.strip().endswith("interrupted")
    assert left(tmp_path) == ["raw"]
