"""Folders that may not be read, and links where results would go."""

import json
import os
import subprocess
import sys

import pytest
from hostile_sets import SETS, snapshot
from privileges import without_privileges
from raw_sets import llvip

from caffdet_cli.data.convert import convert
from caffdet_cli.errors import OutputError

CONVERT = """
import json, os, sys
from pathlib import Path
from caffdet_cli.data.convert import convert
from caffdet_cli.errors import CaffdetError
from caffdet_cli.progress import Progress

def attempt(form, raw, place, mode):
    path = os.path.normpath(os.path.join(raw, place))
    before = os.stat(path).st_mode
    os.chmod(path, mode)
    try:
        report = convert(form, Path(raw), Path(raw + "-out"), overwrite=True, progress=Progress())
        return "done: " + report.findings.told()
    except CaffdetError as error:
        return str(error)
    finally:
        os.chmod(path, before)

print(json.dumps([attempt(*one) for one in json.load(sys.stdin)]))
"""


def test_what_may_not_be_read_is_told_by_its_name_and_the_output_is_not_blamed(tmp_path):
    jobs = []
    for name, one in SETS.items():
        raw = one.build(tmp_path / name)
        files = [one.path(one.annotation), *one.pictures()]
        for place in {place for file in files for place in (file, file.parent)}:
            jobs += [
                (one.format, str(raw), str(place), mode) for mode in ((0, 0o444) if (raw / place).is_dir() else (0,))
            ]
    done = subprocess.run(
        [sys.executable, "-c", CONVERT],
        input=json.dumps(jobs),
        preexec_fn=without_privileges,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for job, said in zip(jobs, json.loads(done.stdout), strict=True):
        assert "-out" not in said, job
        assert "--output" not in said, job
        name = os.path.basename(os.path.normpath(os.path.join(*job[1:3])))
        assert name in said or "no picture" in said or "done: " in said, (job, said)
        assert said != "done: ", job


@pytest.mark.parametrize("inside", ["pictures", "pictures/visible"])
def test_pictures_are_not_copied_through_a_link_in_the_output(tmp_path, inside):
    raw, out, elsewhere = llvip(tmp_path / "raw"), tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.jpg").write_bytes(b"mine")
    link = out / inside
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    before = snapshot(out)
    with pytest.raises(OutputError, match=f"{inside} is a link to another folder"):
        convert("llvip", raw, out, copy=True, overwrite=True)
    assert snapshot(elsewhere) == {"precious.jpg": b"mine"}
    assert snapshot(out) == before


def test_a_link_in_place_of_a_result_is_replaced_and_its_target_stays(tmp_path):
    raw, out = llvip(tmp_path / "raw"), tmp_path / "out"
    precious = tmp_path / "precious.json"
    precious.write_text("mine")
    out.mkdir()
    (out / "train.json").symlink_to(precious)
    convert("llvip", raw, out, overwrite=True)
    assert precious.read_text() == "mine"
    assert not (out / "train.json").is_symlink()


def test_labels_in_fractions_stay_where_their_own_picture_is_broken(tmp_path):
    one = SETS["yolo"]
    raw = one.build(tmp_path / "raw")
    (raw / one.path(one.ir)).write_bytes(b"")
    report = convert("yolo", raw, tmp_path / "out")
    assert [(finding.kind, finding.action) for finding in report.findings] == [("unreadable picture", "kept")]
    assert report.splits["train"].boxes == 2
