"""Pictures of every odd form have the right colours and sizes, or are refused with one sentence that names the file."""

import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hostile_sets import SPECIAL, special
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from privileges import without_privileges
from raw_sets import assert_books_balance, kinds, llvip, picture, read
from yolo_sets import pairs

from caffdet_cli.data.convert import convert
from caffdet_cli.data.images import MAX_PIXELS, picture_size, read_picture
from caffdet_cli.data.thermal import to_model_range
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.data import PerImageRule

COLOUR, WIDTH, HEIGHT = (200, 30, 60), 24, 16
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def plain(mode="RGB", colour=COLOUR):
    return Image.new(mode, (WIDTH, HEIGHT), colour)


def palette():
    return plain().convert("P", palette=Image.Palette.ADAPTIVE)


def turned(orientation=6):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


COLOURS = {
    "cmyk.jpg": lambda path: plain().convert("CMYK").save(path, quality=95),
    "cmyk.tif": lambda path: plain().convert("CMYK").save(path),
    "palette.png": lambda path: palette().save(path),
    "palette.bmp": lambda path: palette().save(path),
    "palette.tif": lambda path: palette().save(path),
    "clear_palette.png": lambda path: palette().save(path, transparency=0),
    "half_clear_palette.png": lambda path: palette().save(path, transparency=bytes([128])),
    "clear.png": lambda path: plain("RGBA", (*COLOUR, 0)).save(path),
    "clear.tif": lambda path: plain("RGBA", (*COLOUR, 0)).save(path),
    "half_clear.tif": lambda path: plain("RGBA", (*COLOUR, 128)).save(path),
    "clear.webp": lambda path: plain("RGBA", (*COLOUR, 0)).save(path, lossless=True, exact=True),
    "clear.bmp": lambda path: plain("RGBA", (*COLOUR, 0)).save(path),
    "progressive.jpg": lambda path: plain().save(path, progressive=True, quality=95),
    "interlaced_name_lies.png": lambda path: plain().save(path, "JPEG", quality=95),
    "several.tif": lambda path: plain().save(path, save_all=True, append_images=[Image.new("L", (3, 4))]),
    "several.jpg": lambda path: plain().save(path, "MPO", quality=95, save_all=True, append_images=[plain("L", 9)]),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_come_out_right_and_alpha_is_dropped(tmp_path, name):
    COLOURS[name](tmp_path / name)
    read = read_picture(tmp_path / name)
    assert (read.shape, read.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_allclose(read[5, 5], COLOUR, atol=3)
    assert picture_size(tmp_path / name) == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("name", "image", "value"),
    [
        ("one_bit.png", plain("1", 1), 255),
        ("one_bit.tif", plain("1", 1), 255),
        ("grey_and_alpha.png", plain("LA", (90, 0)), 90),
        ("grey_and_alpha.tif", plain("LA", (90, 0)), 90),
        ("deep.png", plain("I;16", 700), 700),
        ("deep.tif", plain("I;16", 700), 700),
        ("float.tif", plain("F", 0.25), 0.25),
    ],
)
def test_grey_comes_out_right(tmp_path, name, image, value):
    image.save(tmp_path / name)
    read = read_picture(tmp_path / name)
    assert read.shape[:2] == picture_size(tmp_path / name) == (HEIGHT, WIDTH)
    assert np.unique(read).tolist() == [value]


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "alpha.png"])
def test_deep_colours_are_scaled_in_their_order(tmp_path, name):
    counts = np.empty((HEIGHT, WIDTH, 4 if "alpha" in name else 3), np.uint16)
    counts[:] = (6553, 32768, 65535, 5)[: counts.shape[2]]  # blue, green, red
    assert cv2.imwrite(str(tmp_path / name), counts)
    seen = to_model_range(read_picture(tmp_path / name), "rgb", PerImageRule())
    np.testing.assert_allclose(seen[0, 0], (1.0, 0.5, 0.1), atol=1e-3)


def test_counts_that_are_no_numbers_do_not_reach_the_model(tmp_path):
    counts = np.full((HEIGHT, WIDTH), 300, np.float32)
    counts[0, :3] = np.nan, np.inf, -np.inf
    counts[1] = 400
    assert cv2.imwrite(str(tmp_path / "counts.tiff"), counts)
    seen = to_model_range(read_picture(tmp_path / "counts.tiff"), "ir", PerImageRule())
    assert seen[0, :4, 0].tolist() == [0, 1, 0, 0]
    assert np.isfinite(seen).all()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (30_000, 1), (30_000, 3), (1, 30_000)])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_extreme_shapes_are_read(tmp_path, width, height, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (width, height), COLOUR).save(path)
    assert read_picture(path).shape == (height, width, 3)
    assert picture_size(path) == (height, width)


TURNED = {
    "exif.jpg": lambda path: plain().save(path, exif=turned()),
    "exif.png": lambda path: plain().save(path, exif=turned()),
    "exif.tif": lambda path: plain().save(path, exif=turned()),
    "exif_alpha.tif": lambda path: plain("RGBA", (*COLOUR, 9)).save(path, exif=turned()),
    "mirrored.jpg": lambda path: plain().save(path, exif=turned(5)),
}
NOT_TURNED = {
    "nonsense.jpg": lambda path: plain().save(path, exif=turned(200)),
    "damaged.jpg": lambda path: plain().save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff"),
    "xmp.jpg": lambda path: plain().save(path, xmp=XMP),
    "xmp.webp": lambda path: plain().save(path, xmp=XMP),
    "xmp.png": lambda path: plain().save(path, pnginfo=xmp_text()),
    "plain.jp2": lambda path: plain().save(path),
}


def xmp_text():
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


@pytest.mark.parametrize("name", [*TURNED, *NOT_TURNED])
def test_sizes_of_headers_are_those_of_pixels(tmp_path, name):
    (TURNED | NOT_TURNED)[name](tmp_path / name)
    size = (WIDTH, HEIGHT) if name in TURNED else (HEIGHT, WIDTH)
    assert picture_size(tmp_path / name) == read_picture(tmp_path / name).shape[:2] == size


def test_a_pair_that_is_turned_on_one_side_only_is_told_by_what_is_seen(tmp_path):
    """One picture is stored upright, the other lies and its EXIF says so: they fit. What EXIF does not say is told."""
    raw = llvip(tmp_path / "raw", train=("010001", "010002"))
    for name, exif in (("010001", turned()), ("010002", Image.Exif())):
        Image.new("L", (30, 40), 9).save(raw / f"visible/train/{name}.jpg", exif=exif)
    report = convert("llvip", raw, tmp_path / "out")
    assert kinds(report) == [("partner of another size", "kept")]
    first, second = read(tmp_path / "out/train.json")["images"]
    assert "width_other" not in first
    assert (second["width"], second["width_other"], second["height_other"]) == (40, 30, 40)


def test_fractions_are_of_the_picture_as_it_is_seen(tmp_path):
    raw = pairs(tmp_path / "raw", splits=("train",))
    for spectrum in ("visible", "infrared"):
        for at, exif in ((1, turned()), (2, Image.Exif())):
            Image.new("L", (30, 40), 9).save(raw / f"{spectrum}/train/0{at}.png", exif=exif)
    convert("yolo", raw, tmp_path / "out")
    document = read(tmp_path / "out/train.json")
    assert [(image["width"], image["height"]) for image in document["images"]] == [(40, 30), (30, 40)]
    boxes = [one["bbox"] for one in document["annotations"]]
    np.testing.assert_allclose(boxes, [[1, 2, 10, 10], [0.75, 2.6667, 7.5, 13.3333]], atol=1e-3)


BAD = {
    "a web page": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "a web page in small letters": (b"\n<html><head>", "web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "an empty file": (b"", "empty"),
    "text": (b"no picture at all", "no picture"),
    "a drawing": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no picture"),
    "a program of PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
    "zeros": (bytes(5000), "no picture"),
    "a header alone": (b"\x89PNG\r\n\x1a\n", "truncated"),
    "a PNG without width": (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 9, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""),
        "",
    ),
    "a huge PNG": (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(9999)))
        + chunk(b"IEND", b""),
        f"more than {MAX_PIXELS:,} pixels",
    ),
    "a wide PNG": (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2_000_000, 1, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(2_000_001)))
        + chunk(b"IEND", b""),
        "side of more than 1,000,000",
    ),
    "a huge comment": (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0))
        + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000)))
        + chunk(b"IEND", b""),
        "",
    ),
    "a TIFF in a circle": (b"II*\0\x08\0\0\0\x00\0\x08\0\0\0", "no picture"),
    "a TIFF of texts": (b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHII", 256, 2, 4, 0) * 2 + bytes(4), "no picture"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_picture_is_one_sentence_at_once(tmp_path, what):
    content, words = BAD[what]
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(DatasetError, match=r"bad\.jpg") as caught:
        read_picture(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("name", ["a.jpg", "p.jpg", "a.png", "a.tif", "a.webp", "a.bmp", "alpha.tif"])
def test_a_truncated_picture_is_refused_wherever_it_ends(tmp_path, name):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (40, 50, 4 if name == "alpha.tif" else 3), np.uint8)
    words = {"progressive": True} if name == "p.jpg" else {"lossless": True} if name == "a.webp" else {}
    Image.fromarray(pixels).save(tmp_path / name, **words)
    whole = (tmp_path / name).read_bytes()
    for length in sorted({*range(0, 60, 7), *(int(len(whole) * share) for share in np.linspace(0.1, 0.98, 14))}):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=name):
            read_picture(tmp_path / name)


@given(data=st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_are_a_picture_or_an_error_of_the_data(tmp_path, data):
    name = data.draw(st.sampled_from(["a.jpg", "a.png", "a.tif", "a.webp", "a.bmp"]))
    if not (tmp_path / name).exists():
        plain().save(tmp_path / name, exif=turned() if name != "a.bmp" else b"")
    content = bytearray((tmp_path / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"damaged_{name}"
    path.write_bytes(content)
    try:
        seen = read_picture(path)
    except DatasetError:
        return
    assert seen.shape[:2] == picture_size(path)


@pytest.mark.parametrize("what", [one for one in SPECIAL if one != "nothing"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path, what):
    path = tmp_path / "x.jpg"
    special(path, what)
    for look in (read_picture, picture_size):
        with pytest.raises(DatasetError, match=r"x\.jpg") as caught:
            look(path)
        assert ("nowhere, which is not there" in str(caught.value)) == (what == "a link to nowhere")


@pytest.mark.parametrize("name", ["\ud800.jpg", "a\0.jpg", "n" * 300 + ".jpg"])
def test_names_that_no_file_can_have_are_refused(tmp_path, name):
    for look in (read_picture, picture_size):
        with pytest.raises(DatasetError, match="cannot be read"):
            look(tmp_path / name)


def test_what_may_not_be_read_is_refused(tmp_path):
    path = picture(tmp_path / "x.jpg")
    path.chmod(0)
    code = (
        "import sys, pathlib; from caffdet_cli.data.images import read_picture; read_picture(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=without_privileges,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"DatasetError: picture {path} cannot be read: Permission denied" in done.stderr


def test_every_bad_picture_of_a_set_is_a_finding_and_the_rest_stays(tmp_path):
    """Each pair loses one picture, and goes on with the other."""
    faults = [*BAD, *SPECIAL]
    names = [f"01{at:04}" for at in range(len(faults))]
    raw = llvip(tmp_path / "raw", train=names)
    for at, (name, fault) in enumerate(zip(names, faults, strict=True)):
        path = raw / ("visible", "infrared")[at % 2] / f"train/{name}.jpg"
        if fault in BAD:
            path.write_bytes(BAD[fault][0])
        else:
            special(path, fault)
    report = convert("llvip", raw, tmp_path / "out")
    assert report.splits["train"].pictures == len(faults)
    assert kinds(report) == [("missing partner", "kept"), *[("unreadable picture", "kept")] * (len(faults) - 1)]
    assert_books_balance(report)
    for finding in report.findings:
        assert finding.what.count(finding.place) <= 1
        assert str(raw) not in finding.what


def test_pictures_whose_suffix_lies_are_read_back_after_an_export(tmp_path):
    """COCO files may call a picture anything; other programs go by the suffix."""
    raw = tmp_path / "raw"
    picture(raw / "train2017/1.jpg")
    names = ["a.jfif", "b", "c.JPG", "d.x\ny", os.fsdecode(b"e.j\xff")]
    for name in names:
        shutil.copy(raw / "train2017/1.jpg", raw / "train2017" / name)
    write_coco(raw / "annotations/instances_train2017.json", names)
    for to in ("yolo", "voc"):
        report = convert("coco", raw, tmp_path / to, to=to)
        back = convert(to, tmp_path / to, tmp_path / f"back_{to}")
        assert back.splits["train"] == report.splits["train"]
        assert report.splits["train"].pictures == len(names)


def write_coco(path: Path, names):
    import json

    images = [{"id": at, "width": 40, "height": 30, "file_name": name} for at, name in enumerate(names)]
    boxes = [{"id": at, "image_id": at, "category_id": 1, "bbox": [1, 2, 9, 10]} for at in range(len(names))]
    path.parent.mkdir()
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "person"}]}))
