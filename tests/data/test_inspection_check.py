"""`check` on data sets in which one thing is wrong: it is found, with its place, and nothing else."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from inspection_set import HEIGHT, WIDTH, InspectedSet, scene

import caffdet_cli.data.inspection
from caffdet_cli.data.inspection.advice import ADVICE
from caffdet_cli.data.inspection.check import CheckReport, check
from caffdet_cli.data.inspection.report import check_json, refuse_faults
from caffdet_cli.errors import DatasetError, Findings
from caffdet_cli.settings.load import load_config


@pytest.fixture
def made(tmp_path) -> InspectedSet:
    return InspectedSet(tmp_path / "set")


def checked(made: InspectedSet, split: str | None = None) -> CheckReport:
    return check(load_config(dataset=str(made.save())).config.data, split=split)


def found(made: InspectedSet) -> list[tuple[str, str, str]]:
    report = checked(made)
    assert all(finding.kind in ADVICE for finding in report.findings)
    return [(finding.kind, finding.place, finding.action) for finding in report.findings]


def test_nothing_is_found_where_nothing_is_wrong(made):
    report = checked(made)
    assert list(report.findings) == []
    assert report.splits == {"train": 6, "val": 3}
    assert report.alignment is not None
    assert (report.alignment.pairs, report.alignment.trusted) == (9, 9)
    assert abs(report.alignment.right) < 1
    refuse_faults(report)


@pytest.mark.parametrize(("spectrum", "place"), [("rgb", "train: rgb/001.png"), ("ir", "train: ir/001.png")])
def test_boxes_are_placed_by_the_picture_that_they_are_drawn_on(made, spectrum, place):
    for content in made.splits.values():
        content["info"]["caffdet"]["label_spectrum"] = spectrum
    made.splits["train"]["annotations"][1]["bbox"] = [150, 20, 30, 40]
    assert found(made) == [("box reaches out", f"{place}: object 2", "noted")]


def test_a_missing_partner_and_a_pair_without_any_picture(made):
    (made.root / "ir/001.png").unlink()
    made.splits["train"]["images"][2]["file_name"] = None
    for spectrum in ("rgb", "ir"):
        (made.root / spectrum / "003.png").unlink()
    assert found(made) == [
        ("missing partner", "train: ir/001.png", "kept"),
        ("missing partner", "train: ir/002.png", "kept"),
        ("no picture", "train: rgb/003.png", "kept"),
        ("no picture", "train: ir/003.png", "kept"),
        ("not listed", "rgb", "noted"),
    ]


@pytest.mark.parametrize("data", [b"", b"no picture", None], ids=["empty", "text", "cut"])
def test_an_unreadable_picture(made, data):
    path = made.root / "rgb/001.png"
    path.write_bytes(path.read_bytes()[:-200] if data is None else data)
    assert found(made) == [("unreadable picture", "train: rgb/001.png", "kept")]


def test_sizes_that_do_not_fit(made):
    made.change("rgb", "000.png", lambda pixels: cv2.resize(pixels, (2 * WIDTH, 2 * HEIGHT)))
    made.change("rgb", "001.png", lambda pixels: cv2.resize(pixels, (WIDTH, WIDTH)))
    made.splits["train"]["images"][2]["width"] += 1
    assert found(made) == [
        ("partner of another size", "train: ir/000.png", "noted"),
        ("partner of another aspect", "train: ir/001.png", "kept"),
        ("other size", "train: ir/002.png", "kept"),
    ]


def test_depth_and_channels_that_differ_from_most(made):
    made.change("ir", "000.png", lambda pixels: pixels.astype(np.uint16) * 30 + 7000)
    made.change("ir", "001.png", lambda pixels: pixels.astype(np.uint16))
    made.change("rgb", "002.png", lambda pixels: cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    made.change("ir", "003.png", lambda pixels: cv2.applyColorMap(pixels, cv2.COLORMAP_JET))
    assert found(made) == [
        ("8 bits in 16", "train: ir/001.png", "noted"),
        ("coloured infrared", "train: ir/003.png", "noted"),
        ("another bit depth", "train: ir/000.png", "kept"),
        ("another bit depth", "train: ir/001.png", "kept"),
        ("grey RGB", "train: rgb/002.png", "noted"),
    ]


def test_exchanged_and_equal_spectra(made):
    images = made.splits["train"]["images"]
    images[0]["file_name"], images[0]["file_name_IR"] = images[0]["file_name_IR"], images[0]["file_name"]
    (made.root / "ir/001.png").write_bytes((made.root / "rgb/001.png").read_bytes())
    assert found(made) == [
        ("spectra swapped", "train: rgb/000.png", "noted"),
        ("one picture for both spectra", "train: ir/001.png", "kept"),
        ("grey RGB", "train: ir/000.png", "noted"),
    ]


def test_colours_in_bgr_order_are_suspected_of_the_whole_set(tmp_path):
    made = InspectedSet(tmp_path / "set", train=24, val=2)
    for image in [*made.splits["train"]["images"], *made.splits["val"]["images"]]:
        made.change("rgb", Path(image["file_name"]).name, lambda pixels: pixels[..., ::-1])
    assert found(made) == [("red and blue swapped", "rgb pictures", "noted")]


def test_a_picture_in_which_nothing_is_to_be_seen(made):
    made.change("rgb", "004.png", lambda pixels: np.full_like(pixels, 3))
    assert found(made) == [("blank picture", "train: rgb/004.png", "kept")]


def test_boxes_outside_without_area_and_twice(made):
    boxes = made.splits["val"]["annotations"]
    boxes[0]["bbox"], boxes[1]["bbox"] = [150, 20, 30, 40], [300, 20, 30, 40]
    boxes += [{**boxes[2], "id": 900}, {**boxes[2], "id": 901, "bbox": [4, 4, 0, 9]}]
    assert found(made) == [
        ("box without area", "val.json: annotations[4]", "dropped"),
        ("box reaches out", "val: ir/100.png: object 101", "noted"),
        ("box outside", "val: ir/101.png: object 102", "kept"),
        ("same box twice", "val: ir/102.png: object 900", "kept"),
    ]
    assert [finding.what for finding in checked(made).findings][1:3] == [
        "its box (150, 20, 180, 60) reaches out of the picture, 160x128",
        "its box (300, 20, 330, 60) lies outside the picture, 160x128",
    ]


def test_labels_of_the_spectra_that_differ(made):
    first, *others = made.splits["train"]["annotations"]
    first["labelled_in"] = ["rgb"]
    for box in others:
        box["labelled_in"] = ["ir", "rgb"]
    assert found(made) == [("labels differ", "train: ir/000.png", "noted")]
    (finding,) = checked(made).findings
    assert finding.what == "of 1 objects 1 in rgb only"


def test_pictures_without_objects_and_classes_without_any_are_noted(made):
    made.splits["val"]["annotations"].pop()
    made.splits["val"]["categories"].append({"id": 1, "name": "car"})
    assert found(made) == [
        ("no objects", "val: ir/102.png", "noted"),
        ("class without objects", "val.json", "noted"),
    ]


def test_ids_that_are_taken_or_of_two_kinds_and_classes_that_change_their_name(made):
    train, val = made.splits["train"], made.splits["val"]
    train["images"].append({**train["images"][0]})
    train["images"][1]["id"] = "one"
    train["annotations"][1]["image_id"] = "one"
    val["categories"][0]["name"] = "people"
    assert found(made) == [
        ("duplicate id", "train.json: images[6]", "dropped"),
        ("mixed ids", "train.json", "noted"),
        ("other classes", "val.json", "kept"),
    ]


def test_files_that_nobody_names_are_noted_only_where_all_splits_are_read(made):
    made.pair("999.png", 999)
    assert found(made) == [("not listed", "ir", "noted"), ("not listed", "rgb", "noted")]
    assert len(checked(made, "val").findings) == 0


def test_the_same_picture_within_and_between_splits(made):
    for name in ("001.png", "101.png"):
        (made.root / "rgb" / name).write_bytes((made.root / "rgb/000.png").read_bytes())
    kinds = [one for one in found(made) if "same" in one[0]]
    assert kinds == [
        ("same picture twice", "train: rgb/001.png", "kept"),
        ("same picture in two splits", "val: rgb/101.png", "kept"),
    ]


def test_near_duplicates_are_told_once_for_two_scenes_with_the_closest(made):
    for number, seed in ((0, 0), (1, 1)):
        rgb, ir = scene(seed)
        made.write("rgb", f"10{number}.png", cv2.convertScaleAbs(rgb, alpha=0.97))
        made.write("ir", f"10{number}.png", cv2.GaussianBlur(ir, (3, 3), 0))
    (finding,) = checked(made).findings
    assert (finding.kind, finding.place, finding.action) == ("alike in two splits", "train, val", "noted")
    assert "2 of 3 pictures of val look like one of train" in finding.what


def test_a_scene_in_two_splits_is_noted(made):
    images = made.splits["train"]["images"][:3] + made.splits["val"]["images"][:1]
    for image in images:
        for key, folder in (("file_name", "rgb"), ("file_name_IR", "ir")):
            old = made.root / image[key]
            image[key] = f"{folder}/road_{old.name}"
            old.rename(made.root / image[key])
    assert found(made) == [("same scene in two splits", "scene road", "noted")]


def test_a_pair_that_is_shifted_against_the_others_is_out_of_step_and_shown(made):
    made.change("ir", "002.png", lambda pixels: np.roll(pixels, 20, axis=1))
    report = checked(made)
    (finding,) = report.findings
    assert (finding.kind, finding.place, finding.action) == ("out of step", "train: ir/002.png", "noted")
    assert re.search(r"lies \+(19|20)\.\d, [+-]0\.\d pixels of RGB \(confidence 0\.\d\d\), usually", finding.what)
    assert [case.kind for case in report.worst] == ["out of step"]
    assert report.alignment.doubts == (2,)


def test_a_wrong_partner_has_nothing_in_common(made):
    made.write("ir", "002.png", np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH), np.uint8))
    assert found(made) == [("nothing in common", "train: ir/002.png", "noted")]


def test_a_rig_that_is_not_aligned_is_told_once(made):
    for image in [*made.splits["train"]["images"], *made.splits["val"]["images"]]:
        made.change("ir", Path(image["file_name"]).name, lambda pixels: np.roll(pixels, -9, axis=0))
    (finding,) = checked(made).findings
    assert (finding.kind, finding.place) == ("spectra shifted", "all pairs")
    assert "-9." in finding.what or "-8." in finding.what


def test_strict_refuses_faults_and_lets_notes_pass(made):
    made.splits["val"]["annotations"].pop()
    refuse_faults(checked(made))
    made.splits["val"]["annotations"][0]["bbox"] = [160, 20, 30, 40]
    with pytest.raises(Findings, match=r"1 faults in .*: 1 box outside$"):
        refuse_faults(checked(made))


def test_the_page_has_one_of_each_kind_before_a_second_of_any(made):
    for box in made.splits["train"]["annotations"]:
        box["bbox"] = [160, 20, 30, 40]
    (made.root / "ir/001.png").unlink()
    report = checked(made)
    assert [case.kind for case in report.worst] == ["box outside"] * 6 + ["missing partner"]
    assert len({case.place for case in report.worst}) == 7


def test_json_counts_everything_and_lists_at_most_a_thousand_of_a_kind(made):
    box = made.splits["val"]["annotations"][0]
    made.splits["val"]["annotations"] += [{**box, "id": 2000 + number} for number in range(1100)]
    report = json.loads(json.dumps(check_json(checked(made)), allow_nan=False))
    assert (report["schema"], report["faults"], report["noted"]) == (1, 1100, 0)
    assert report["kinds"] == [
        {"kind": "same box twice", "number": 1100, "action": "kept", "advice": ADVICE["same box twice"]}
    ]
    assert len(report["findings"]) == 1000


def test_the_same_set_gives_the_same_report_whatever_the_threads(made):
    made.change("ir", "002.png", lambda pixels: np.roll(pixels, 20, axis=1))
    data = load_config(dataset=str(made.save())).config.data
    reports = [json.dumps(check_json(check(data, workers=workers))) for workers in (0, 4, 4)]
    assert reports[0] == reports[1] == reports[2]


def test_one_spectrum_alone_has_no_partner_to_miss(made):
    for content in made.splits.values():
        for image in content["images"]:
            image["file_name_IR"] = None
    report = checked(made)
    assert list(report.findings) == []
    assert (report.spectra, report.alignment) == (("rgb",), None)


def test_a_raw_data_set_is_told_with_the_line_that_converts_it(shared):
    data = load_config(dataset="flir").config.data
    with pytest.raises(DatasetError, match="caffdet convert flir"):
        check(data, root=shared / "data/flir_layout_fixture/align")


def test_every_kind_in_the_source_has_advice():
    folder = Path(caffdet_cli.data.inspection.__file__).parent
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    kinds = set(re.findall(r'(?:_Odd\(|\.note\(|\.show\(|_replace\(kind=)"([^"]+)"', text))
    assert len(kinds) > 15
    assert kinds <= ADVICE.keys()


def test_the_page_of_the_documents_explains_every_kind():
    page = (Path(__file__).parents[2] / "docs/data-check.md").read_text(encoding="utf-8")
    assert [kind for kind in ADVICE if f"| {kind} |" not in page] == []


@pytest.mark.parametrize(
    ("name", "folder"), [("llvip", "llvip_mini"), ("flir", "flir_layout_fixture/FLIR_aligned_coco")]
)
def test_real_data_sets_have_no_faults(shared, name, folder):
    report = check(load_config(dataset=name).config.data, root=shared / "data" / folder)
    assert report.findings.faults == 0
    assert {finding.kind for finding in report.findings} <= {"class without objects"}
    assert report.alignment.trusted >= report.alignment.pairs - 1
    assert max(abs(report.alignment.right), abs(report.alignment.down)) < 5
