"""Whatever a file, a name or a number is, its parser gives what it promises or one sentence; nothing else."""

import json
import os
import re
from pathlib import Path

import pytest
from hostile_sets import SETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_sets import picture

from caffdet_cli.data.convert import convert
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.coco_write import write_coco
from caffdet_cli.data.formats.hostile import BrokenXml, inside, parse_xml, read_json, short
from caffdet_cli.data.formats.layout import Request, read_list, subfolder
from caffdet_cli.data.formats.records import number
from caffdet_cli.data.formats.yolo_names import parse_data_yaml
from caffdet_cli.errors import CaffdetError, DatasetError
from caffdet_cli.progress import Progress

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
names = st.text(min_size=1, max_size=12).filter(lambda name: name == name.strip() and len(name.splitlines()) == 1)


def request(source):
    return Request(source, None, None, 0, FindingLog(), Progress())


@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
@quick
def test_any_list_is_names_or_one_sentence(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    asked = request(tmp_path)
    try:
        found = read_list(path, asked)
    except DatasetError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    assert all(name.strip() for name in found)
    assert len(set(found)) == len(found)
    assert asked.findings.pictures == asked.findings.lost_pictures


@given(st.lists(names.filter(lambda name: "." not in name), unique=True, max_size=6))
@quick
def test_a_list_that_was_written_is_read(tmp_path, listed):
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{name}.jpg\n" for name in listed), encoding="utf-8", newline="\n")
    asked = request(tmp_path)
    assert read_list(path, asked) == [name.removeprefix("\ufeff") if not at else name for at, name in enumerate(listed)]
    assert [one.kind for one in asked.findings] == ([] if listed else ["empty list"])


@given(
    st.sampled_from(
        ["", "utf-8", "utf-16", "utf-7", "idna", "punycode", "undefined", "rot13", "base64", "cp037", "\udc80"]
    ),
    st.binary(max_size=60) | st.text(st.sampled_from("<>/&;a! \n"), max_size=40).map(str.encode),
)
@quick
def test_any_xml_is_a_tree_or_broken(encoding, body):
    head = f'<?xml version="1.0" encoding="{encoding}"?>'.encode("utf-8", "surrogateescape") if encoding else b""
    try:
        root = parse_xml(head + body)
    except BrokenXml as error:
        assert 0 < len(str(error)) < 300  # noqa: PT017
        return
    assert root.tag


@given(st.text(max_size=30) | st.from_regex(r"[./\\a:\x00]{0,9}", fullmatch=True) | st.integers() | st.none())
@quick
def test_no_name_leaves_its_folder(name):
    folder = Path("/data/pictures")
    try:
        path = inside(folder, name, "a.json: images[0].file_name")
    except DatasetError as error:
        assert "images[0].file_name" in str(error)  # noqa: PT017
        return
    assert Path(os.path.normpath(path)).is_relative_to(folder)
    assert os.fsencode(path)


@given(st.text(max_size=20))
def test_a_text_is_a_sane_number_or_none(text):
    value = number(text)
    assert value is None or abs(value) < 1e9


@given(st.floats(-1e8, 1e8))
def test_a_number_that_was_written_is_read(value):
    assert number(repr(value)) == number(f" {value!r}\t") == value


@pytest.mark.parametrize("text", ["1_0", "\u0661\u0662", "\uff11", "1e400", "nan", "-inf", "0x10", "", "1,5", "1 2"])
def test_what_only_looks_like_a_number_is_none(text):
    assert number(text) is None


@given(st.lists(st.integers(-(2**60), 2**60) | st.integers(2**53 - 3, 2**53) | st.none() | st.just("a"), max_size=6))
@quick
def test_ids_are_kept_where_they_can_be_and_all_others_stay_apart(tmp_path, ids):
    records = [{"id": key, "image_id": 1, "category_id": 1, "bbox": [at, 0, 1, 1]} for at, key in enumerate(ids)]
    image = {"id": 1, "width": 40, "height": 30, "file_name": "1.jpg"}
    document = {"images": [image], "annotations": records, "categories": [{"id": 1, "name": "person"}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    annotations = read_coco(path, rgb=tmp_path)
    given_ids = annotations.examples[0].objects.ids
    assert len(set(given_ids)) == len(given_ids) == len(ids)
    write_coco(annotations, tmp_path / "b.json", root=tmp_path, made_by="test")
    findings = FindingLog()
    assert read_coco(tmp_path / "b.json", findings=findings).examples[0].objects.ids == given_ids
    assert not findings.items


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"<html>", "web page"),
        (b"\xff\xfe{", "no text in UTF-8|broken JSON"),
        (b"9" * 5000, "a number of thousands of digits"),
        (b'{"a": [1, 2', "seems cut off"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_broken_json_is_told_in_plain_words(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"a.json: .*({words})"):
        read_json(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[[[",
        b"\0",
        bytes(range(256)),
        b"x = " + b"[" * 50_000,
        b".".join([b"a"] * 2000) + b" = 1",
        b"[data]\nname = 3\n",
        b'[data]\nname = "../../x"\nroot = "/"\n',
        b'[model]\nbackbone = "evil"\n',
        b"a = " + b"9" * 5000,
    ],
)
def test_any_dataset_toml_is_read_or_one_sentence(tmp_path, content):
    raw = SETS["paired"].build(tmp_path / "raw")
    (raw / "dataset.toml").write_bytes(content)
    try:
        report = convert("coco", raw, tmp_path / "out", progress=Progress())
    except CaffdetError as error:
        assert "dataset.toml" in str(error)  # noqa: PT017
        assert not (tmp_path / "out").exists()
    else:
        assert report.findings.faults == 0


def test_of_two_folders_the_one_that_is_called_just_so_is_taken(tmp_path):
    for name in ("Visible", "VISIBLE", "visible", "Infrared"):
        picture(tmp_path / name / "a.jpg")
    assert subfolder(tmp_path, "visible") == tmp_path / "visible"
    assert subfolder(tmp_path, "VISIBLE") == tmp_path / "VISIBLE"
    assert subfolder(tmp_path, "none", "infrared") == tmp_path / "Infrared"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("names: {0: person, 0: car}\n", "line 1: broken YAML: '0' is there twice"),
        ("names: [a]\nnames: [b]\n", "line 2: broken YAML: 'names' is there twice"),
        ("a: &a [x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nnames: [*c, *c]\n", "class 0 is called"),
        ("names: &a [*a]\n", "broken YAML"),
        ("[" * 20_000, "nested too deeply"),
        ('names: !!python/object/apply:os.system ["true"]\n', "class 0 is called|names"),
        ("names: [a\n", "broken YAML"),
    ],
)
def test_hostile_yaml_is_refused_in_few_words(content, words):
    try:
        names_in = parse_data_yaml(content.encode(), "data.yaml").names
    except DatasetError as error:
        assert re.search(words, str(error))  # noqa: PT017
        assert len(str(error)) < 600  # noqa: PT017
    else:
        assert names_in == {0: "true"}  # a tag means nothing, and runs nothing


@given(
    st.recursive(
        st.none() | st.text(max_size=50) | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@quick
def test_any_value_is_short_in_a_message(value):
    assert len(short([[[value] * 9] * 9] * 9)) < 320
