"""Pascal VOC files: tolerant where it is harmless, closed where it is not."""

import json
import shutil
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_sets import voc, voc_object

from caffdet_cli.data.formats.hostile import LARGEST_XML, BrokenXml
from caffdet_cli.data.formats.voc_upstream import voc_to_coco_as_upstream
from caffdet_cli.data.formats.voc_xml import parse_voc, read_voc
from caffdet_cli.errors import DatasetError


def parse(inner: str):
    return parse_voc(f"<annotation>{inner}</annotation>".encode())


def test_the_order_of_tags_is_free_and_parts_are_passed_over():
    record = parse(
        "<object><bndbox><ymax>4</ymax><xmax>3</xmax><ymin>2</ymin><xmin>1</xmin></bndbox>"
        "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part><name> person </name></object>"
        "<size><height>30</height><width>40</width></size><filename>a.jpg</filename>"
    )
    assert (record.filename, record.size) == ("a.jpg", (40, 30))
    assert [(one.name, one.box, one.problem) for one in record.objects] == [("person", (1, 2, 3, 4), "")]


def test_missing_tags_leave_gaps():
    record = parse("<object></object>")
    assert (record.filename, record.size) == ("", None)
    assert record.objects[0].name == ""
    assert record.objects[0].box is None


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), (" 7.50\n", 7.5), ("1e2", 100), ("-3", -3), ("+4", 4), ("0007", 7)]
)
def test_numbers_of_any_spelling_are_read(text, value):
    assert parse(voc_object("a", (text, 0, 1000, 1))).objects[0].box == (value, 0, 1000, 1)


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-Infinity", "1,5", "1e300", "0x10", "1 2"])
def test_what_is_no_number_in_range_is_said(text):
    found = parse(voc_object("a", (0, text, 1, 1))).objects[0]
    assert found.box is None
    assert "<ymin>" in found.problem


@given(st.tuples(*[st.floats(-1e8, 1e8)] * 4))
@settings(deadline=None)
def test_coordinates_are_read_to_the_last_digit(corners):
    assert parse(voc_object("a", tuple(map(repr, corners)))).objects[0].box == corners


@pytest.mark.parametrize("size", [("0", "30"), ("-4", "30"), ("nan", "30"), ("40", ""), ("40", "1e9"), ("wide", "30")])
def test_a_size_without_two_lengths_is_none(size):
    assert parse(f"<size><width>{size[0]}</width><height>{size[1]}</height></size>").size is None


def test_a_declaration_on_the_line_of_the_root_and_leading_blanks_are_read():
    assert parse_voc(b'\n <?xml version="1.0" ?><annotation><filename>a</filename></annotation>').filename == "a"


def test_another_root_is_refused():
    with pytest.raises(BrokenXml, match="<doc>, not <annotation>"):
        parse_voc(b"<doc/>")


BOMB = b"""<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]><annotation><filename>&y;</filename></annotation>"""
OUTSIDE = b"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>"""
DTD = b"""<!DOCTYPE annotation SYSTEM "http://example.org/voc.dtd"><annotation/>"""


@pytest.mark.parametrize("content", [BOMB, OUTSIDE, DTD])
def test_document_types_and_entities_are_refused(content):
    with pytest.raises(BrokenXml, match="document type or entity"):
        parse_voc(content)


def test_an_undeclared_entity_deep_nesting_and_a_huge_file_are_refused():
    with pytest.raises(BrokenXml):
        parse("<filename>&x;</filename>")
    with pytest.raises(BrokenXml, match="inside each other"):
        parse_voc(b"<annotation>" + b"<a>" * 200_000)
    with pytest.raises(BrokenXml, match="larger than"):
        parse_voc(b"<annotation>" + b" " * LARGEST_XML + b"</annotation>")


@pytest.mark.parametrize("encoding", ["no-such-encoding", "idna", "utf-7", "gbk"])
def test_an_encoding_that_is_not_known_is_refused(encoding):
    with pytest.raises(BrokenXml):
        parse_voc(f'<?xml version="1.0" encoding="{encoding}"?><annotation/>'.encode() + b"\xff\xff")


def test_a_file_cut_at_any_byte_is_refused(tmp_path):
    whole = voc(tmp_path / "a.xml").read_bytes()
    assert read_voc(tmp_path / "a.xml").filename == "a.jpg"
    for length in range(len(whole)):
        with pytest.raises(BrokenXml):
            parse_voc(whole[:length])


@given(st.binary(max_size=60), st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_damage_ends_in_a_record_or_in_brokenxml(garbage, position):
    size = "<size><width>4</width><height>3</height></size>"
    whole = f"<annotation>{size}{voc_object('a', (1, 2, 3, 4))}</annotation>".encode()
    for content in (garbage, whole[:position] + garbage + whole[position:]):
        with suppress(BrokenXml):
            parse_voc(content)


# Upstream's own way; the recorded cases are run by tests/parity


def test_upstreams_way_counts_from_0_in_order_of_appearance_with_text_ids(tmp_path):
    voc(tmp_path / "b.xml", [("car", (1, 2, 4, 6)), ("person", (0, 0, 2, 2))], extra="<segmented>0</segmented>")
    voc(tmp_path / "a.xml", [("person", (5, 5, 5, 9))], extra="<segmented>0</segmented>")
    found = voc_to_coco_as_upstream(tmp_path)
    assert [image["id"] for image in found["images"]] == ["a", "b"]
    assert [category["name"] for category in found["categories"]] == ["person", "car"]
    assert [(one["image_id"], one["category_id"], one["bbox"], one["area"]) for one in found["annotations"]] == [
        ("a", 0, [5, 5, 0, 4], 0),
        ("b", 1, [1, 2, 3, 4], 12),
        ("b", 0, [0, 0, 2, 2], 4),
    ]


def test_upstreams_way_loses_a_picture_whose_last_tag_is_size(tmp_path):
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>4</width><height>3</height></size></annotation>"
    )
    assert voc_to_coco_as_upstream(tmp_path)["images"] == []


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation><size><width>4.5</width></size></annotation>", "ValueError: invalid literal for int"),
        (f"<annotation><filename>a</filename>{voc_object('a', (1, 2, 3, 4))}</annotation>", "broken at bndbox"),
        ("<annotation><filename>", "xml.etree.ElementTree.ParseError"),
        ("<x/>", "rather than x"),
    ],
)
def test_upstreams_way_ends_at_the_first_odd_file(tmp_path, xml, message):
    (tmp_path / "a.xml").write_text(xml)
    with pytest.raises(DatasetError, match=message):
        voc_to_coco_as_upstream(tmp_path)


def test_upstreams_way_reproduces_the_published_llvip_form(tmp_path, shared):
    """llvip_mini's coco_annotations follow the public conversion."""
    mini = shared / "data/llvip_mini"
    recorded = json.loads((mini / "coco_annotations/LLVIP_test.json").read_text())
    for image in recorded["images"]:
        shutil.copy(mini / "Annotations" / f"{image['id']}.xml", tmp_path)
    found = voc_to_coco_as_upstream(tmp_path)
    assert found["images"] == recorded["images"]
    assert found["annotations"] == recorded["annotations"]
