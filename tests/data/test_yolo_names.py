"""Class names of YOLO data sets: data.yaml and classes.txt."""

from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from caffdet_cli.data.formats.yolo_names import (
    LARGEST_YAML,
    parse_classes_txt,
    parse_data_yaml,
    read_classes_txt,
    read_data_yaml,
)
from caffdet_cli.errors import DatasetError


@pytest.mark.parametrize(
    "text",
    [
        "names: [person, 'car', \"no\"]",
        "names:\n  - person\n  - car\n  - no  # a class, not false\n",
        "names:\n  0: person\n  1: car\n  2: no\n",
        "names: {1: car, 0: person, 2: no}",
        "# by hand\r\npath: ../sets/mine\r\ntrain: images/train\r\nnc: 3\r\nnames: ['person', 'car', 'no']\r\n",
        "download: |\n  import os\n  names: [a]\nnames: [person, car, no]",
        "\ufeffnames: [person, car, no]",
    ],
)
def test_names_are_a_list_or_a_table_in_every_spelling(text):
    names = parse_data_yaml(text.encode(), "data.yaml").names
    assert list(names.items()) == [(0, "person"), (1, "car"), (2, "no")]


def test_numbers_may_have_gaps_and_are_sorted_as_numbers():
    names = parse_data_yaml(b"names: {10: ten, 2: two, 0: 0}", "data.yaml").names
    assert list(names.items()) == [(0, "0"), (2, "two"), (10, "ten")]


def test_paths_are_told_as_they_are_written():
    text = b"train: images/train\nval: [a/val, b/val]\ntest:\nnames: [a]\npath: /etc"
    assert parse_data_yaml(text, "data.yaml").splits == {
        "train": ("images/train",),
        "val": ("a/val", "b/val"),
        "test": (),
    }


def test_a_file_without_names_has_none():
    assert parse_data_yaml(b"train: images/train", "data.yaml").names == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "is no table"),
        ("just words", "is no table"),
        ("", "is no table"),
        ("names: person", "a list, or a table"),
        ("names: [person, person]", "name of two classes"),
        ("names: [person, ' person']", "name of two classes"),
        ("names: [person, '']", "class 1 is called ''"),
        ("names: [[person]]", "class 0 is called"),
        ('names: ["per\\nson"]', "class 0 is called"),
        ("names: {person: 0}", "the number of a class is needed"),
        ("names: {-1: person}", "the number of a class is needed"),
        ("names: {01: person}", "have no zeros before"),
        ("names: {12345678901234567890: person}", "have no zeros before"),
        ("nc: 2\nnames: [person]", "make them agree"),
        ("nc: [2]\nnames: [person]", "make them agree"),
        ("kpt_shape: [17, 3]\nnames: [person]", "poses"),
        ("names: [person\nnc: 1", "line 2: broken YAML"),
        ("a: *b", "broken YAML"),
        ("a: &a [*a]\nnames: [b]", "broken YAML"),
        ("names: [a]\n---\nnames: [b]", "broken YAML"),
        ("? [a]\n: b", "broken YAML"),
        ("a: \x07", "broken YAML"),
        ("a:\n  " + "- " * 5000, "nested too deeply"),
    ],
)
def test_what_is_broken_is_refused_with_its_place(text, message):
    with pytest.raises(DatasetError, match=r"^data\.yaml") as caught:
        parse_data_yaml(text.encode(), "data.yaml")
    assert message in str(caught.value)


def test_tags_run_nothing():
    text = b"names: !!python/object/apply:os.system ['exit 1']"
    assert parse_data_yaml(text, "data.yaml").names == {0: "exit 1"}


def test_aliases_that_double_do_not_grow():
    lines = ["a0: &a0 [x]", *(f"a{at}: &a{at} [*a{at - 1}, *a{at - 1}]" for at in range(1, 60)), "names: *a59"]
    with pytest.raises(DatasetError, match="class 0 is called"):
        parse_data_yaml("\n".join(lines).encode(), "data.yaml")


def test_classes_txt_has_one_name_a_line():
    assert parse_classes_txt(b"person\r\ntraffic light\r\n\r\n", "classes.txt") == {
        0: "person",
        1: "traffic light",
    }
    assert parse_classes_txt(b"", "classes.txt") == {}


def test_classes_txt_may_have_numbers_only_if_they_count_from_zero():
    assert parse_classes_txt(b"0 person\n1 bicycle\n2 car\n", "classes.txt") == {0: "person", 1: "bicycle", 2: "car"}
    assert parse_classes_txt(b"1 person\n2 bicycle\n", "classes.txt") == {0: "1 person", 1: "2 bicycle"}


@pytest.mark.parametrize("content", [b"a\n\nb", b"a\na", b"\xff", b"a\x00"])
def test_a_broken_classes_txt_is_refused(content):
    with pytest.raises(DatasetError, match=r"^classes\.txt"):
        parse_classes_txt(content, "classes.txt")


def test_files_are_found_by_their_usual_names_and_bounded(tmp_path):
    assert read_data_yaml(tmp_path) is None
    assert read_classes_txt([tmp_path]) is None
    (tmp_path / "dataset.yml").write_text("names: [a]")
    assert read_data_yaml(tmp_path)[1].names == {0: "a"}
    (tmp_path / "data.yaml").write_bytes(b"#" * (LARGEST_YAML + 1))
    with pytest.raises(DatasetError, match="larger than 128 KiB"):
        read_data_yaml(tmp_path)


NAMES = st.lists(
    st.text(min_size=1, max_size=8).map(str.strip).filter(lambda name: name.isprintable() and name),
    unique=True,
    max_size=5,
)


@given(NAMES, st.booleans())
@settings(max_examples=40)
def test_names_that_a_library_writes_come_back(names, table):
    written = yaml.safe_dump(
        {"nc": len(names), "names": dict(enumerate(names)) if table else names}, allow_unicode=True
    )
    assert parse_data_yaml(written.encode(), "data.yaml").names == dict(enumerate(names))


PIECES = st.sampled_from(
    [
        "names:",
        "nc:",
        " ",
        "\n",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "a",
        "0",
        ":",
        "&a",
        "*a",
        "!!int",
        "'",
        '"',
        "|",
        "\t",
        "%YAML 1.1",
        "---",
        "<<:",
    ]
)


@given(
    st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=60),
    st.sampled_from([parse_data_yaml, parse_classes_txt]),
)
@settings(max_examples=200)
def test_any_text_is_read_or_refused(text, parse):
    with suppress(DatasetError):
        parse(text.encode(errors="surrogatepass"), "place")
