"""Hostile data sets of every format: one sentence or a finding, nothing lost, nothing touched, no waiting."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile_contents import ANNOTATIONS, LISTS
from hostile_sets import NAMES, SETS, SPECIAL, Set, annotation, snapshot, special
from raw_sets import assert_books_balance, picture

from caffdet_cli.data.convert import ConvertReport, convert
from caffdet_cli.errors import CaffdetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import load_config

SECONDS = 4  # of a busy machine


def attempt(one: Set, raw: Path, **words) -> ConvertReport | str:
    """Convert what somebody made of a data set: the report of what is whole, or the one sentence."""
    before, out = snapshot(raw), raw.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    start = time.process_time()
    try:
        result: ConvertReport | str = convert(one.format, raw, out, progress=Progress(), **words)
    except CaffdetError as error:
        result = str(error)
    assert time.process_time() - start < SECONDS
    assert snapshot(raw) == before
    if isinstance(result, str):
        assert_sentence(result, raw)
        assert not out.exists()
    elif words.get("to") is None:
        assert_whole(result)
    for finding in () if isinstance(result, str) else result.findings:
        assert finding.place
        assert 0 < len(finding.what) < 1300
    assert [path.name for path in raw.parent.iterdir() if path.name.endswith(".part")] == []
    return result


def assert_sentence(message: str, raw: Path) -> None:
    assert str(raw) in message or any(part in message for part in ("train", "images", "annotations", "id"))
    assert "\n" not in message.replace("a\nb", "")
    assert 20 < len(message) < 2000, message
    assert "object at 0x" not in message


def assert_whole(report: ConvertReport) -> None:
    assert_books_balance(report)
    data = load_config(dataset=str(report.output)).config.data
    assert list(data.classes) == list(report.classes)
    for split in report.splits:
        for record in json.loads((report.output / f"{split}.json").read_text())["annotations"]:
            assert min(record["bbox"][2:]) > 0


@contextmanager
def noted(fault: str) -> Iterator[None]:
    """Errors say which cell of the table they are of."""
    try:
        yield
    except BaseException as error:
        error.add_note(fault)
        raise


@pytest.fixture
def build(tmp_path):
    return lambda one: one.build(tmp_path / "raw")


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_whole_without_faults(build, name):
    report = attempt(SETS[name], build(SETS[name]))
    assert isinstance(report, ConvertReport)
    assert report.findings.faults == 0


@pytest.mark.parametrize("name", SETS)
def test_contents_of_annotations(build, name):
    one = SETS[name]
    raw = build(one)
    for fault, content in chosen(name):
        (raw / one.path(one.annotation)).write_bytes(annotation(one, content))
        with noted(fault):
            attempt(one, raw)


def chosen(name: str) -> list[tuple[str, bytes]]:
    """All faults of a kind of files for the first set that has it, and every fourth for each of the others."""
    alike = [other for other, one in SETS.items() if one.kind == SETS[name].kind]
    step, place = (1, 0) if alike[0] == name else (4, alike.index(name) % 4)
    return list(ANNOTATIONS[SETS[name].kind].items())[place::step]


@pytest.mark.parametrize("name", [name for name, one in SETS.items() if one.lists])
def test_contents_of_lists(build, name):
    one = SETS[name]
    raw = build(one)
    for fault, content in LISTS.items():
        (raw / one.lists).write_bytes(content)
        with noted(fault):
            attempt(one, raw)


@pytest.mark.parametrize("name", SETS)
def test_something_else_than_a_file_under_its_name(build, name):
    one = SETS[name]
    raw = build(one)
    rgb, ir = (one.path(place) for place in (one.rgb, one.ir))
    places = {rgb: SPECIAL[::2], ir: SPECIAL[1::2], one.path(one.annotation): SPECIAL}
    for place, faults in {**places, **({Path(one.lists): SPECIAL} if one.lists else {})}.items():
        path = raw / place
        whole = path.read_bytes()
        for what in faults:
            special(path, what)
            with noted(f"{place}: {what}"):
                attempt(one, raw)
            shutil.rmtree(path) if what == "a folder" else path.unlink(missing_ok=True)
        path.write_bytes(whole)


FREE = ("llvip", "m3fd-archive", "cvc14", "dronevehicle", "msrs", "yolo")
"""Sets without lists, that take any name."""


@pytest.mark.parametrize("name", [name for name, one in SETS.items() if one.kind != "json"])
def test_names_of_frames(build, name):
    one = SETS[name]
    raw = build(one)
    plain = attempt(one, raw)
    for new in NAMES:
        renamed = list(zip(files(one), files(one, new), strict=True))
        for before, after in renamed:
            (raw / before).rename(raw / after)
        listed = (raw / one.lists).read_bytes() if one.lists else b""
        if listed:
            (raw / one.lists).write_bytes(listed.replace(os.fsencode(one.frame), os.fsencode(new)))
        with noted(repr(new)):
            report = attempt(one, raw)
            if name in FREE:
                assert counts(report) == counts(plain)
        for before, after in renamed:
            (raw / after).rename(raw / before)
        if listed:
            (raw / one.lists).write_bytes(listed)


def files(one: Set, name: str = "") -> list[Path]:
    """All files of the frame, were it called `name`."""
    places = (one.rgb, one.ir, one.annotation, *one.more)
    return [one.path(place, name) for place in places if "{}" in place]


def counts(report: ConvertReport | str) -> list[tuple[str, int, int]]:
    assert isinstance(report, ConvertReport), report
    return [(split, one.pictures, one.boxes) for split, one in report.splits.items()]


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_any_name_survives_every_writer(tmp_path, to):
    one = SETS["yolo"]
    raw = one.build(tmp_path / "raw")
    for at, new in enumerate((*NAMES, "A", "a", "train")):
        for folder, suffix in (("visible/train", ".png"), ("infrared/train", ".PNG"), ("labels/train", ".txt")):
            source = raw / folder / f"01{suffix.lower()}"
            shutil.copy(source, raw / folder / f"{new}{suffix}")
        assert picture(raw / "visible/val" / f"x{at}.png").is_file()
    report = attempt(one, raw, to=to)
    assert isinstance(report, ConvertReport)
    back = convert(to, report.output, tmp_path / "back", progress=Progress())
    assert counts(back) == counts(report)
    assert back.findings.faults == 0


def test_folders_that_differ_in_capitals_are_told(tmp_path):
    raw = SETS["llvip"].build(tmp_path / "raw")
    picture(raw / "Visible/train/010009.jpg")
    report = attempt(SETS["llvip"], raw)
    assert isinstance(report, ConvertReport)
    assert [(finding.kind, finding.place) for finding in report.findings] == [("folders of one name", ".")]


@pytest.mark.parametrize("name", SETS)
def test_links_in_a_circle(build, name):
    one = SETS[name]
    raw = build(one)
    plain = attempt(one, raw)
    for place in {path.parent for path in files(one)}:
        for link in ("again", "set00", "V000", "visible"):
            if not (raw / place / link).exists():
                (raw / place / link).symlink_to(raw)
    report = attempt(one, raw)
    assert counts(report) == counts(plain)


def test_many_links_in_a_circle_do_not_multiply(tmp_path):
    raw = SETS["kaist"].build(tmp_path / "raw")
    for number in range(12, 100):
        (raw / f"images/set{number}").symlink_to(".")
    for number in range(1, 200):
        (raw / f"images/set06/v{number:03}").symlink_to("..")
    assert isinstance(attempt(SETS["kaist"], raw), ConvertReport)


@pytest.mark.parametrize("name", ["llvip", "yolo", "coco"])
def test_pictures_may_be_links_to_elsewhere(tmp_path, name):
    one = SETS[name]
    raw = one.build(tmp_path / "raw")
    plain = attempt(one, raw)
    store = tmp_path / "store"
    store.mkdir()
    for number, place in enumerate(one.pictures()):
        elsewhere = store / f"{number}{place.suffix}"
        (raw / place).rename(elsewhere)
        (raw / place).symlink_to(elsewhere)
    before = snapshot(store)
    report = attempt(one, raw, copy=True)
    assert counts(report) == counts(plain)
    assert snapshot(store) == before
    assert not any(path.is_symlink() for path in report.output.rglob("*"))


def test_objects_too_small_for_numbers_in_both_spectra(tmp_path):
    raw = SETS["msrs"].build(tmp_path / "raw")
    for folder in ("visible", "infrared"):
        (raw / f"labels/{folder}/train/0D.txt").write_text("0 0 0 1e-200 1e-200\n" * 3)
    report = attempt(SETS["msrs"], raw)
    assert isinstance(report, ConvertReport)
    assert {finding.kind for finding in report.findings} == {"labelled twice", "box without area"}


def test_too_many_objects_in_both_spectra_are_not_compared(tmp_path):
    raw = SETS["msrs"].build(tmp_path / "raw")
    for folder in ("visible", "infrared"):
        (raw / f"labels/{folder}/train/0D.txt").write_text("0 0.5 0.5 0.1 0.1\n" * 50_000)
    report = attempt(SETS["msrs"], raw)
    assert isinstance(report, ConvertReport)
    assert "more than 2,000 objects" in next(one.what for one in report.findings if one.action == "dropped")
