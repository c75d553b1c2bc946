"""What hostile archives put into annotation files and lists, by the kind of the file and what is wrong."""

from collections.abc import Mapping

from kaist_sets import HEAD


def _xml(inside: str) -> bytes:
    size = "<size><width>40</width><height>30</height></size>"
    return f"<annotation><filename>x.jpg</filename>{size}{inside}</annotation>".encode()


def _object(*sides: object, name: str = "person") -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True)
    told = "".join(f"<{tag}>{side}</{tag}>" for tag, side in corners)
    return f"<object><name>{name}</name><bndbox>{told}</bndbox></object>"


def _document(images: str = "", annotations: str = "", categories: str = '{"id": 1, "name": "person"}') -> bytes:
    plain = '{"id": 1, "width": 40, "height": 30, "file_name": "1.jpg"}'
    info = '{"caffdet": {"version": 1, "label_spectrum": "ir"}}'
    return (
        f'{{\n"info": {info},\n"images": [{images or plain}], "annotations": [{annotations}],'
        f' "categories": [{categories}]}}'
    ).encode()


def _box(box: str, more: str = "") -> bytes:
    return _document(annotations=f'{{"id": 1, "image_id": 1, "category_id": 1, "bbox": {box}{more}}}')


def _image(**values: str) -> bytes:
    record = {"id": "1", "width": "40", "height": "30", "file_name": '"1.jpg"', **values}
    return _document(images="{" + ", ".join(f'"{key}": {value}' for key, value in record.items()) + "}")


def _rows(rows: Mapping[str, str], head: str = "") -> dict[str, bytes]:
    return {name: f"{head}{row}\n".encode() for name, row in rows.items()}


_ANY = {
    "empty": b"",
    "blanks": b" \n\t\r\n  ",
    "binary": bytes(range(256)) * 40,
    "NUL": bytes(3000),
    "half a character": b"person \xc3\x28 \xf0\x28",
    "UTF-16": "<annotation/> 0 0.5".encode("utf-16"),
    "one long line": b"9" * 900_000,
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "escape codes": b"\x1b[2J\x1b[31m\x07 0 0 0 0",
}
_NUMBERS = ("nan", "inf", "-1e400", "1e308", "9" * 2000, "0x1f", "1_0", "\u0661", "", "-0.0", "1e-320")

ANNOTATIONS: Mapping[str, Mapping[str, bytes]] = {
    "xml": {
        **_ANY,
        "entities": b'<!DOCTYPE a [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>',
        "a file as entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        "deep": b"<annotation>" + b"<a>" * 50_000,
        "unknown encoding": b'<?xml version="1.0" encoding="idna"?><annotation/>',
        "other root": b"<html/>",
        "many attributes": b"<annotation " + b" ".join(b'a%d="1"' % at for at in range(20_000)) + b"/>",
        "many objects": _xml(_object(1, 2, 9, 9) * 2000),
        "size of nothing": b"<annotation><size><width>0</width><height>-3</height></size></annotation>",
        "huge size": b"<annotation><size><width>1e300</width><height>nan</height></size>"
        + _object(1, 2, 9, 9).encode()
        + b"</annotation>",
        "class of control characters": _xml(_object(1, 2, 9, 9, name="per&#10;son")),
        "class of markup": _xml(_object(1, 2, 9, 9, name="&lt;b&gt;[red]")),
        "long class": _xml(_object(1, 2, 9, 9, name="x" * 100_000)),
        "far away": _xml(_object(1e8, 1e8, 2e8, 2e8)),
        "tiny box": _xml(_object("-1e-200", "-1e-200", "1e-200", "1e-200")),
        "inside out": _xml(_object(9, 9, 1, 1)),
        **{f"number {number[:9]}": _xml(_object(number, 2, 9, 9)) for number in _NUMBERS},
    },
    "yolo": {
        **_ANY,
        **_rows(
            {
                "four columns": "0 0.5 0.5 0.1",
                "class of a million digits": f"{'9' * 100_000} 0.5 0.5 0.1 0.1",
                "class below 0": "-1 0.5 0.5 0.1 0.1",
                "class that is none": "person 0.5 0.5 0.1 0.1",
                "unknown class": "77 0.5 0.5 0.1 0.1",
                "pixels": "0 20 15 5 5",
                "tiny box": "0 0 0 1e-200 1e-200",
                "many objects": "0 0.5 0.5 0.1 0.1\n" * 2000,
            }
        ),
        **_rows({f"number {number[:9]}": f"0 0.5 0.5 {number} 0.1" for number in _NUMBERS}),
    },
    "kaist": {
        **_ANY,
        "other head": b"% bbGt version=2\n",
        **_rows(
            {
                "few columns": "person 1 2 3",
                "many objects": "person 100 200 30 80 0 0 0 0 0 0 0\n" * 2000,
                "occlusion 7": "person 100 200 30 80 7 0 0 0 0 0 0",
                "unknown class": "tree 100 200 30 80 0 0 0 0 0 0 0",
                "tiny box": "person -1e-200 0 2e-200 2e-200 0 0 0 0 0 0 0",
                **{f"number {number[:9]}": f"person 100 {number} 30 80 0 0 0 0 0 0 0" for number in _NUMBERS},
            },
            HEAD + "\n",
        ),
    },
    "cvc14": {
        **_ANY,
        **_rows(
            {
                "ten columns": "20 15 6 10 1 0 0 0 0 1",
                "many objects": "20 15 6 10 1 0 0 0 0 1 0\n" * 2000,
                "perhaps": "20 15 6 10 maybe 0 0 0 0 1 0",
                "tiny box": "0 0 1e-200 1e-200 1 0 0 0 0 1 0",
                **{f"number {number[:9]}": f"20 {number} 6 10 1 0 0 0 0 1 0" for number in _NUMBERS},
            }
        ),
    },
    "vedai": {
        **_ANY,
        **_rows(
            {
                "few columns": "00000001 30 20 0",
                "a path": "../../1 30.5 20.0 -0.5 20 40 41 21 15 10 25 30 1 1 0",
                "long name": f"{'1' * 50_000} 30.5 20.0 -0.5 20 40 41 21 15 10 25 30 1 1 0",
                "long class": f"00000001 30.5 20.0 -0.5 20 40 41 21 15 10 25 30 {'1' * 5000} 1 0",
                "unknown class": "00000001 30.5 20.0 -0.5 20 40 41 21 15 10 25 30 77 1 0",
                "many objects": "00000001 30.5 20.0 -0.5 20 40 41 21 15 10 25 30 1 1 0\n" * 2000,
                "tiny box": "00000001 0 0 0 0 1e-200 1e-200 0 0 0 1e-200 1e-200 1 1 0",
                **{
                    f"number {number[:9]}": f"00000001 30.5 20.0 -0.5 {number} 40 41 21 15 10 25 30 1 1 0"
                    for number in _NUMBERS
                },
            }
        ),
    },
    "json": {
        **_ANY,
        "deep": b"[" * 200_000,
        "deep inside": b'{"images": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
        "a list": b"[]",
        "cut off": _document()[:-30],
        "no lists": b'{"images": {}, "annotations": 3, "categories": null}',
        "number of 9000 digits": _image(id="9" * 9000),
        "id of 4000 digits": _image(id="9" * 4000),
        "object of 4300 digits": _box("[1, 2, 3, 4]", f', "id": {"9" * 4300}'),
        "id NaN": _image(id="NaN"),
        "id true": _image(id="true"),
        "width Infinity": _image(width="Infinity"),
        "width 1e300": _image(width="1e300"),
        "width 0": _image(width="0"),
        "half a surrogate in a name": _image(file_name='"\\ud800.jpg"'),
        "NUL in a name": _image(file_name='"a\\u0000.jpg"'),
        "long name": _image(file_name=f'"{"a" * 5000}.jpg"'),
        "name over 255 bytes": _image(file_name=f'"{"a" * 300}.jpg"'),
        "name with a newline": _image(file_name='"a\\n\\u001b[31m.jpg"'),
        "name that leaves": _image(file_name='"../../etc/passwd"'),
        "absolute name": _image(file_name='"/etc/passwd"'),
        "name of Windows": _image(file_name='"C:\\\\x.jpg"'),
        "name is a folder": _image(file_name='"."'),
        "name is a list": _image(file_name='["a"]'),
        "ids that clash": _document(
            images=", ".join(['{"id": 1, "width": 40, "height": 30, "file_name": "1.jpg"}'] * 2)
        ),
        "box of NaN": _box("[NaN, 1, 2, 3]"),
        "huge box": _box("[1e308, 1, 1e308, 3]"),
        "tiny box": _box("[-1e-200, -1e-200, 2e-200, 2e-200]"),
        "box of text": _box('["1", 2, 3, 4]'),
        "area of Infinity": _box("[1, 2, 3, 4]", ', "area": Infinity'),
        "crowd of a list": _box("[1, 2, 3, 4]", ', "iscrowd": [1], "segmentation": {"counts": 3}, "occlusion": 1e99'),
        "class of half a surrogate": _document(categories='{"id": 1, "name": "\\ud800"}'),
        "class of control characters": _document(categories='{"id": 1, "name": "a\\u001b[31m\\nb"}'),
        "class of blanks": _document(categories='{"id": 1, "name": " "}'),
        "two classes of one id": _document(categories='{"id": 1, "name": "a"}, {"id": 1, "name": "b"}'),
        "class id of 4000 digits": _document(categories=f'{{"id": {"9" * 4000}, "name": "a"}}'),
        "many objects": _document(
            annotations=", ".join(
                f'{{"id": {at}, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}}' for at in range(2000)
            )
        ),
        "a file of a newer caffdet": _document().replace(b'"version": 1', b'"version": 99'),
    },
}
"""Contents of an annotation file, by its kind and what is wrong."""

LISTS: Mapping[str, bytes] = {
    **_ANY,
    "names that leave": b"../../../etc/passwd\n/etc/passwd\nC:\\x\n",
    "a name twice": b"00001\n00001\n1\n1\n",
    "signs that split lines": "a\x0bb\x1cc\u2028d\x85e\n".encode(),
    "many names": b"".join(b"%06d\n" % at for at in range(20_000)),
    "names with blanks": b"  a b  \n\xc3\xa9\n-rf\n",
}
"""Contents of a list of frames."""
