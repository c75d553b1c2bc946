"""Back to COCO, YOLO and VOC: what is written reads back the same, and what cannot be said is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from raw_sets import HEIGHT, WIDTH, kinds, llvip, pairs, picture, read, tree, voc

from caffdet_cli.data.convert import ConvertReport, convert
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.voc_xml import parse_voc
from caffdet_cli.data.formats.yolo_names import parse_data_yaml
from caffdet_cli.errors import DatasetError, Findings
from caffdet_cli.settings.load import load_config

TARGETS = ("coco", "yolo", "voc")
FORMS = pytest.mark.parametrize("to", TARGETS)


def content(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Of each split: for each picture its bytes, size and objects by class name."""
    found = {}
    for split in ("train", "val", "test"):
        if not (folder / f"{split}.json").is_file():
            continue
        annotations = read_coco(folder / f"{split}.json")
        names = [category.name for category in annotations.categories]
        found[split] = sorted(
            (
                *(None if path is None else path.read_bytes() for path in (one.rgb, one.ir)),
                (one.width, one.height),
                [
                    (names[label], box, bool(crowd), corners)
                    for label, box, crowd, corners in zip(
                        one.objects.labels,
                        one.objects.boxes.round(4).tolist(),
                        one.objects.crowd,
                        one.objects.corners or [None] * len(one.objects),
                        strict=True,
                    )
                ],
            )
            for one in annotations.examples
        )
    return found


def there_and_back(format: str, raw: Path, to: Any, folder: Path, **options: Any) -> ConvertReport:
    """To paired COCO directly, and through `to`: both hold the same; the report is that of the export."""
    convert(format, raw, folder / "direct", **options)
    report = convert(format, raw, folder / to, to=to, **options)
    spectrum = {"label_spectrum": "rgb"} if to == "voc" and options.get("label_spectrum") == "rgb" else {}
    convert(to, folder / to, folder / "back", **spectrum)
    assert content(folder / "back") == content(folder / "direct")
    return report


# Round trips


@pytest.mark.parametrize("to", ["yolo", "voc"])
def test_pairs_come_back_with_splits_classes_boxes_and_pictures(tmp_path, to):
    report = there_and_back("voc", pairs(tmp_path / "raw"), to, tmp_path)
    assert report.to == to
    assert report.written
    assert {name: (one.pictures, one.boxes) for name, one in report.splits.items()} == {
        "train": (1, 2),
        "val": (1, 0),
        "test": (1, 1),
    }
    assert not (tmp_path / to / "dataset.toml").exists()


@pytest.mark.parametrize("spectrum", ["rgb", "ir"])
def test_yolo_programs_find_the_labels_of_the_pictures_that_data_yaml_names(tmp_path, spectrum):
    convert("voc", pairs(tmp_path / "raw"), tmp_path / "yolo", to="yolo", label_spectrum=spectrum)
    splits = parse_data_yaml((tmp_path / "yolo/data.yaml").read_bytes(), "").splits
    folder = {"rgb": "visible", "ir": "infrared"}[spectrum]
    assert splits == {split: (f"images/{folder}/{split}",) for split in ("train", "val", "test")}
    pictures = [path for (place,) in splits.values() for path in (tmp_path / "yolo" / place).iterdir()]
    assert len(pictures) == (3 if spectrum == "rgb" else 2)
    for path in pictures:
        before, _, after = path.with_suffix(".txt").as_posix().rpartition("/images/")
        assert Path(f"{before}/labels/{after}").is_file()
    assert convert("yolo", tmp_path / "yolo", tmp_path / "back").label_spectrum == spectrum


@pytest.mark.parametrize("to", ["yolo", "voc"])
@pytest.mark.parametrize("spectrum", ["rgb", "ir"])
def test_boxes_in_pixels_of_either_spectrum_come_back(tmp_path, to, spectrum):
    raw = tmp_path / "raw"
    picture(raw / "visible/1.jpg", 80, 60)
    picture(raw / "infrared/1.jpg")
    voc(raw / "Annotations/1.xml", [("person", (1, 2, 30, 20))], size=None)
    there_and_back("voc", raw, to, tmp_path, label_spectrum=spectrum)


@FORMS
@pytest.mark.parametrize("folder", ["visible", "infrared"])
def test_pictures_of_one_spectrum_come_back_as_that(tmp_path, to, folder):
    raw = tmp_path / "raw"
    for name in ("1", "2"):
        picture(raw / f"{folder}/{name}.png")
        voc(raw / f"Annotations/{name}.xml", [("person", (1, 2, 30, 20)), ("dog", (1, 1, 5, 5))])
    there_and_back("voc", raw, to, tmp_path)


@pytest.mark.parametrize("copy", [False, True])
def test_coco_of_pairs_has_the_pictures_that_the_boxes_are_drawn_on(tmp_path, copy):
    raw = llvip(tmp_path / "raw")
    report = convert("llvip", raw, tmp_path / "coco", to="coco", copy=copy)
    assert kinds(report) == [("cannot be said in coco: pairs", "noted")]
    train = read(tmp_path / "coco/annotations/instances_train.json")
    name = "010001.jpg" if copy else "infrared/train/010001.jpg"
    assert train["images"][0] == {"id": 10001, "width": WIDTH, "height": HEIGHT, "file_name": name}
    assert (tmp_path / "coco/annotations" / train["info"]["root"] / name).is_file()
    convert("coco", tmp_path / "coco", tmp_path / "back")
    convert("llvip", raw, tmp_path / "direct")
    assert content(tmp_path / "back") == {
        split: [(None, *one[1:]) for one in some] for split, some in content(tmp_path / "direct").items()
    }


@FORMS
def test_the_converted_form_is_a_source_too_and_gives_the_same(tmp_path, to):
    raw = pairs(tmp_path / "raw")
    convert("voc", raw, tmp_path / "converted")
    convert("coco", tmp_path / "converted", tmp_path / "a", to=to, copy=True)
    convert("voc", raw, tmp_path / "b", to=to, copy=True)
    first, second = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert first.keys() == second.keys()
    same = {name for name in first if not name.endswith((".json", ".yaml"))}
    assert {name: first[name] for name in same} == {name: second[name] for name in same}


def test_a_converted_folder_converts_again_with_its_name_and_model(tmp_path):
    raw = llvip(tmp_path / "raw")
    convert("llvip", raw, tmp_path / "one")
    report = convert("coco", tmp_path / "one", tmp_path / "two", copy=True)
    assert (report.spectra, report.label_spectrum) == (("rgb", "ir"), "ir")
    assert content(tmp_path / "two") == content(tmp_path / "one")
    data = load_config(dataset=str(tmp_path / "two")).config.data
    assert (data.name, data.model, data.classes) == ("llvip", "caff-lite-dino-r50", ("person",))
    with pytest.raises(DatasetError, match="boxes are in ir pixels"):
        convert("coco", tmp_path / "one", tmp_path / "three", label_spectrum="rgb")


def test_a_converted_folder_behind_a_link_finds_its_pictures(tmp_path):
    convert("llvip", llvip(tmp_path / "raw"), tmp_path / "one")
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "far/away/link").symlink_to(tmp_path / "one")
    report = convert("coco", tmp_path / "far/away/link", tmp_path / "two", to="voc")
    assert report.splits["train"].pictures == 2


def test_real_pairs_come_back(tmp_path, shared):
    if not (shared / "data/llvip_mini").is_dir():
        pytest.skip("shared/data/llvip_mini is not at hand")
    for to in ("yolo", "voc"):
        there_and_back("llvip", shared / "data/llvip_mini", to, tmp_path / f"of {to}")


# What a form cannot say


def odd(folder: Path) -> Path:
    """A converted folder with an ignored region, occlusion, corners, an area of a mask and a box that reaches out."""
    picture(folder / "a/1.png")
    picture(folder / "b/1.png")
    first = {"id": 7, "image_id": "x", "category_id": 4, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    records = [
        {**first, "segmentation": [[1, 5, 5, 1, 10, 5, 5, 10]], "occlusion": 2},
        {**first, "id": 8, "iscrowd": 1, "bbox": [20, 20, 5, 5], "area": 25, "occlusion": 0},
        {**first, "id": 9, "bbox": [35, 2, 9, 9], "area": 50},
    ]
    document = {
        "info": {"caffdet": {"version": 1, "label_spectrum": "ir"}},
        "images": [{"id": "x", "width": WIDTH, "height": HEIGHT, "file_name": "a/1.png", "file_name_IR": "b/1.png"}],
        "annotations": records,
        "categories": [{"id": 4, "name": "tram"}, {"id": 9, "name": "bus"}],
    }
    (folder / "train.json").write_text(json.dumps(document))
    (folder / "dataset.toml").write_text('[data]\nname = "odd"\nroot = "."\n')
    return folder


def test_yolo_keeps_classes_and_boxes_and_tells_the_rest(tmp_path):
    report = convert("coco", odd(tmp_path / "odd"), tmp_path / "yolo", to="yolo")
    assert [one for one in kinds(report) if one[0].startswith("cannot")] == [
        ("cannot be said in yolo: areas", "noted"),
        ("cannot be said in yolo: boxes that reach out", "repaired"),
        ("cannot be said in yolo: corners", "dropped"),
        ("cannot be said in yolo: ids", "noted"),
        ("cannot be said in yolo: ignored regions", "dropped"),
        ("cannot be said in yolo: occlusion", "dropped"),
    ]
    assert report.splits["train"].boxes == 2
    assert report.findings.boxes == 2 + report.findings.lost_boxes == 3
    lines = (tmp_path / "yolo/labels/infrared/train/1.txt").read_text().splitlines()
    assert lines == [f"0 {5.5 / 40:g} {5.5 / 30:.10f} {9 / 40:g} {9 / 30:g}", "0 0.9375 0.2166666667 0.125 0.3"]
    assert parse_data_yaml((tmp_path / "yolo/data.yaml").read_bytes(), "").names == {0: "tram", 1: "bus"}


def test_voc_keeps_ignored_regions_occlusion_and_corners(tmp_path):
    convert("coco", odd(tmp_path / "odd"), tmp_path / "voc", to="voc")
    objects = parse_voc((tmp_path / "voc/Annotations/1.xml").read_bytes()).objects
    assert [(one.box, one.ignored, one.difficult, one.occlusion) for one in objects] == [
        ((1, 1, 10, 10), False, False, 2),
        ((20, 20, 25, 25), True, False, 0),
        ((35, 2, 44, 11), False, False, 0),
    ]
    assert objects[0].corners == ((1, 5), (5, 1), (10, 5), (5, 10))
    report = convert("voc", tmp_path / "voc", tmp_path / "back", classes=["tram"])
    back = read(tmp_path / "back/train.json")["annotations"]
    assert [(one["iscrowd"], one["occlusion"]) for one in back] == [(0, 2), (1, 0), (0, 0)]
    assert back[0]["segmentation"] == [[1, 5, 5, 1, 10, 5, 5, 10]]
    assert ("box outside", "repaired") in kinds(report)


def test_coco_keeps_ids_areas_regions_occlusion_and_corners(tmp_path):
    convert("coco", odd(tmp_path / "odd"), tmp_path / "coco", to="coco")
    written = read(tmp_path / "coco/annotations/instances_train.json")
    assert written["images"][0]["id"] == "x"
    assert written["categories"] == [{"id": 4, "name": "tram"}, {"id": 9, "name": "bus"}]
    told = [
        (one["id"], one["category_id"], one["area"], one["iscrowd"], one["occlusion"]) for one in written["annotations"]
    ]
    assert told == [(7, 4, 81, 0, 2), (8, 4, 25, 1, 0), (9, 4, 50, 0, 0)]
    assert written["annotations"][0]["segmentation"] == [[1, 5, 5, 1, 10, 5, 5, 10]]


@pytest.mark.parametrize("copy", [False, True])
def test_coco_comes_back_with_corners_occlusion_spectra_and_release(tmp_path, copy):
    folder = odd(tmp_path / "odd")
    document = read(folder / "train.json")
    document["info"]["caffdet"]["release"] = "the second"
    document["annotations"][0]["labelled_in"] = ["ir"]
    (folder / "train.json").write_text("{\n" + json.dumps(document)[1:].replace(', "images"', ',\n"images"'))
    convert("coco", folder, tmp_path / "coco", to="coco", copy=copy)
    report = convert("coco", tmp_path / "coco", tmp_path / "back")
    assert report.release == "the second"
    first, *others = read(tmp_path / "back/train.json")["annotations"]
    assert first["segmentation"] == [[1, 5, 5, 1, 10, 5, 5, 10]]
    assert first["labelled_in"] == ["ir"]
    assert [one["occlusion"] for one in (first, *others)] == [2, 0, 0]


def test_coco_of_others_has_masks_and_not_corners(tmp_path):
    convert("coco", odd(tmp_path / "odd"), tmp_path / "coco", to="coco", copy=True)
    path = tmp_path / "coco/annotations/instances_train.json"
    path.write_text(path.read_text().replace('"made_by": "caffdet ', '"made_by": "another '))
    assert read_coco(path, rgb=tmp_path).examples[0].objects.corners is None


@pytest.mark.parametrize("to", ["yolo", "voc"])
def test_in_which_picture_an_object_was_labelled_is_told_where_it_cannot_be_said(tmp_path, to):
    folder = odd(tmp_path / "odd")
    document = read(folder / "train.json")
    document["annotations"][0]["labelled_in"] = ["ir"]
    document["annotations"][2]["labelled_in"] = ["rgb", "ir"]
    (folder / "train.json").write_text(json.dumps(document))
    report = convert("coco", folder, tmp_path / "out", to=to)
    told = [(one.place, one.what, one.action) for one in report.findings if one.kind.endswith(": spectra")]
    assert told == [("train", "in which pictures of the pair each of 2 objects was labelled", "noted")]
    labelled_as_one = convert("llvip", llvip(tmp_path / "raw"), tmp_path / "of llvip", to=to)
    assert not [one for one in labelled_as_one.findings if one.kind.endswith(": spectra")]


@pytest.mark.parametrize(("spectrum", "place"), [("rgb", "a/1.png"), ("ir", "b/1.png")])
def test_places_are_pictures_that_the_boxes_are_drawn_on(tmp_path, spectrum, place):
    folder = odd(tmp_path / "odd")
    path = folder / "train.json"
    path.write_text(path.read_text().replace('"label_spectrum": "ir"', f'"label_spectrum": "{spectrum}"'))
    report = convert("coco", folder, tmp_path / "yolo", to="yolo")
    told = {one.kind: one.place for one in report.findings}
    assert told["cannot be said in yolo: corners"] == f"{place}: object 7"
    assert told["box outside"] == f"{place}: object 9"


def test_voc_tells_that_it_has_no_list_of_classes(tmp_path):
    report = convert("coco", odd(tmp_path / "odd"), tmp_path / "voc", to="voc")
    told = [one.what for one in report.findings if one.kind == "cannot be said in voc: classes"]
    assert told == ["the list of classes; reading it back takes --classes tram,bus"]
    assert read(tmp_path / "voc/export.json")["classes"] == ["tram", "bus"]


def test_coco_drops_a_pair_without_the_picture_that_was_labelled(tmp_path):
    report = convert("voc", pairs(tmp_path / "raw"), tmp_path / "coco", to="coco")
    assert ("no picture", "dropped") in kinds(report)
    assert report.splits["test"].pictures == 0
    assert report.findings.pictures == 2 + report.findings.lost_pictures


def test_strict_refuses_what_cannot_be_said_and_writes_nothing(tmp_path):
    with pytest.raises(Findings, match="ignored regions"):
        convert("coco", odd(tmp_path / "odd"), tmp_path / "yolo", to="yolo", strict=True)
    assert not (tmp_path / "yolo").exists()
    convert("llvip", llvip(tmp_path / "raw"), tmp_path / "yolo", to="yolo", strict=True)


@pytest.mark.parametrize("to", ["yolo", "voc"])
def test_a_class_name_with_control_characters_is_refused(tmp_path, to):
    folder = odd(tmp_path / "odd")
    (folder / "train.json").write_text((folder / "train.json").read_text().replace("tram", r"a\u0001b"))
    with pytest.raises(DatasetError, match="class name"):
        convert("coco", folder, tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


# Names


@pytest.mark.parametrize("to", ["yolo", "voc"])
def test_pictures_of_one_name_in_several_folders_stay_apart(tmp_path, to):
    folder, images = tmp_path / "set", []
    names = [
        "a/1.png",
        "b/1.png",
        "b/1.JPG",
        "c d/Ä ß.png",
        "c d/ä SS.png",
        "e/line\nbreak.png",
        "e/.png.png",
        "e/x.jpg.png",
    ]
    for number, name in enumerate(names):
        picture(folder / name, WIDTH + number)
        images.append(
            {"id": number, "width": WIDTH + number, "height": HEIGHT, "file_name": name, "file_name_IR": None}
        )
    boxes = [{"id": at, "image_id": at, "category_id": 0, "bbox": [1, 1, 2 + at, 3]} for at in range(len(names))]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 0, "name": "car"}]}
    document["info"] = {"caffdet": {"version": 1, "label_spectrum": "rgb"}}
    (folder / "val.json").write_text(json.dumps(document))
    (folder / "dataset.toml").write_text('[data]\nname = "odd"\nroot = "."\n')
    convert("coco", folder, tmp_path / "out", to=to)
    convert(to, tmp_path / "out", tmp_path / "back")
    assert content(tmp_path / "back") == content(folder)
    book = read(tmp_path / "out/export.json")
    assert [one["rgb"] for one in book["pictures"]] == names
    assert [one["name"] for one in book["pictures"]][:3] == ["a_1", "b_1", "b_1-2"]
