"""A data set's TOML from what is found in its folder."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_sets import llvip, picture

from caffdet_cli.data.convert import convert
from caffdet_cli.data.discovery.init import InitReport, init
from caffdet_cli.data.discovery.thermal import suggest_thermal
from caffdet_cli.data.splits import load_split
from caffdet_cli.errors import CaffdetError, DatasetError, OutputError
from caffdet_cli.settings.data import PercentileRule, RangeRule
from caffdet_cli.settings.load import load_config


def coco(path: Path, names: list[str], *, classes: tuple[str, ...] = ("person", "car"), **record: Any) -> Path:
    """A COCO file of these pictures, one box each; `{name}` in a value of `record` is a picture's stem."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {
            "id": number,
            "width": 40,
            "height": 30,
            "file_name": name,
            **{key: value.format(name=Path(name).stem) for key, value in record.items()},
        }
        for number, name in enumerate(names)
    ]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 9, 9], "area": 81, "iscrowd": 0}
        for n in range(len(names))
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(classes)]
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return path


def pictures(folder: Path, names: list[str], *, grey: bool = False, **size: int) -> None:
    for name in names:
        picture(folder / name, grey=grey, **size)


def read_back(report: InitReport) -> None:
    """What was written is a data set whose pictures are all there."""
    data = load_config(dataset=str(report.file)).config.data
    for split, one in report.splits.items():
        _, annotations = load_split(data, split)
        assert len(annotations.examples) == one.pictures
        for example in annotations.examples:
            for spectrum, path in (("rgb", example.rgb), ("ir", example.ir)):
                assert (path is not None and path.is_file()) == (spectrum in report.spectra)
    assert data.label_spectrum == report.label_spectrum
    assert data.classes == report.classes


NAMES = ["1.png", "2.png"]


def test_folders_of_both_spectra_beside_a_file_of_bare_names(tmp_path):
    root = tmp_path / "my set"
    for split in ("train", "val"):
        coco(root / f"annotations/{split}.json", NAMES)
        pictures(root / "visible" / split, NAMES)
        pictures(root / "thermal" / split, NAMES, grey=True)
    report = init(root)
    assert report.name == "my-set"
    found = {split: (one.annotations, one.rgb, one.ir, one.pictures, one.boxes) for split, one in report.splits.items()}
    assert found == {
        split: (f"annotations/{split}.json", f"visible/{split}", f"thermal/{split}", 2, 2) for split in ("train", "val")
    }
    assert report.spectra == ("rgb", "ir")
    assert report.guesses == ("boxes are in ir pixels, because nothing says otherwise; look with caffdet visualize",)
    assert len(report.file.read_text().splitlines()) < 25
    read_back(report)


def test_the_spectrum_whose_pictures_have_the_annotated_size_has_the_boxes(tmp_path):
    coco(tmp_path / "train.json", NAMES)
    pictures(tmp_path / "rgb", NAMES)
    pictures(tmp_path / "ir", NAMES, grey=True, width=20, height=16)
    report = init(tmp_path)
    assert report.label_spectrum == "rgb"
    assert any("annotated size" in guess for guess in report.guesses)
    assert any("neither val nor test" in remark for remark in report.remarks)
    read_back(report)


def test_a_file_that_names_pairs_in_folders_needs_none(tmp_path):
    coco(tmp_path / "train.json", ["a/rgb/1.png", "a/rgb/2.png"], file_name_IR="a/ir/{name}.png")
    pictures(tmp_path / "a/rgb", NAMES)
    pictures(tmp_path / "a/ir", NAMES, grey=True)
    report = init(tmp_path)
    assert (report.splits["train"].rgb, report.splits["train"].ir) == (None, None)
    read_back(report)


def test_a_converted_set_says_everything_itself(tmp_path):
    convert("llvip", llvip(tmp_path / "raw"), tmp_path / "out", copy=True)
    (tmp_path / "out/dataset.toml").unlink()
    report = init(tmp_path / "out")
    assert (list(report.splits), report.label_spectrum, report.guesses) == (["train", "test"], "ir", ())
    read_back(report)


@pytest.mark.parametrize(("grey", "spectrum", "model"), [(True, "ir", "lite-dino"), (False, "rgb", "lite-dino")])
def test_pictures_of_one_nameless_spectrum_are_told_apart_by_colour(tmp_path, grey, spectrum, model):
    coco(tmp_path / "train/_annotations.coco.json", NAMES)
    pictures(tmp_path / "train", NAMES, grey=grey)
    report = init(tmp_path)
    assert report.spectra == (spectrum,)
    assert any(f"the pictures are {spectrum}" in guess for guess in report.guesses)
    config = load_config(dataset=str(report.file)).config
    assert config.model.spectra == (spectrum,)
    read_back(report)


def test_a_file_whose_name_says_no_split_is_train_and_that_is_a_guess(tmp_path):
    coco(tmp_path / "labels.json", NAMES)
    pictures(tmp_path / "rgb", NAMES)
    report = init(tmp_path)
    assert list(report.splits) == ["train"]
    assert any("labels.json is the split train" in guess for guess in report.guesses)


def test_of_two_files_of_one_split_the_paired_one_is_taken_and_the_other_named(tmp_path):
    coco(tmp_path / "a_val.json", ["rgb/1.png"])
    coco(tmp_path / "b_val.json", ["rgb/1.png"], file_name_IR="ir/{name}.png")
    pictures(tmp_path / "rgb", NAMES)
    pictures(tmp_path / "ir", NAMES, grey=True)
    report = init(tmp_path)
    assert report.splits["val"].annotations == "b_val.json"
    assert "val is b_val.json, not a_val.json" in report.guesses


def test_the_file_can_lie_elsewhere(tmp_path):
    coco(tmp_path / "set/val.json", NAMES)
    pictures(tmp_path / "set/rgb", NAMES)
    for file in (tmp_path / "beside.toml", tmp_path / "far/away/mine.toml"):
        read_back(init(tmp_path / "set", file, name="mine"))
    assert 'root = "set"' in (tmp_path / "beside.toml").read_text()


def test_classes_that_differ_between_splits_are_told(tmp_path):
    coco(tmp_path / "train.json", NAMES)
    coco(tmp_path / "val.json", NAMES, classes=("person", "dog"))
    pictures(tmp_path / "rgb", NAMES)
    assert "val has the classes person, dog, train has person, car" in init(tmp_path).remarks


def test_json_files_that_are_no_coco_are_told_and_left_aside(tmp_path):
    coco(tmp_path / "val.json", NAMES)
    pictures(tmp_path / "rgb", NAMES)
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    many = tmp_path / "labelme"
    many.mkdir()
    for number in range(30):
        (many / f"{number}.json").write_text("{}")
    remarks = "\n".join(init(tmp_path).remarks)
    assert "notes.json is not COCO" in remarks
    assert "broken.json: line 1" in remarks
    assert "30 JSON files in labelme/" in remarks


def test_a_raw_set_is_told_with_the_command_that_converts_it(tmp_path):
    with pytest.raises(DatasetError, match=r"raw llvip.*caffdet convert llvip .*raw -o .*raw-coco"):
        init(llvip(tmp_path / "raw"))
    with pytest.raises(DatasetError, match=r"a folder in it is raw llvip: caffdet data init .*raw"):
        init(tmp_path)
    assert not (tmp_path / "raw/dataset.toml").exists()


def test_pictures_that_are_nowhere_are_told(tmp_path):
    coco(tmp_path / "val.json", NAMES)
    with pytest.raises(DatasetError, match=r"pictures such as '1\.png' are nowhere"):
        init(tmp_path)


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path):
    coco(tmp_path / "set/val.json", ["../1.png"])
    pictures(tmp_path, NAMES)
    with pytest.raises(DatasetError, match="leads out of its folder"):
        init(tmp_path / "set")
    assert not (tmp_path / "set/dataset.toml").exists()


def test_a_file_that_exists_stays(tmp_path):
    coco(tmp_path / "val.json", NAMES)
    pictures(tmp_path / "rgb", NAMES)
    first = init(tmp_path).file.read_bytes()
    (tmp_path / "dataset.toml").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        init(tmp_path)
    assert (tmp_path / "dataset.toml").read_text() == "mine"
    assert init(tmp_path, overwrite=True).file.read_bytes() == first


def counts(folder: Path, ranges: list[tuple[int, int]]) -> list[Path]:
    """16-bit pictures whose counts fill these ranges."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, (low, high) in enumerate(ranges):
        paths.append(folder / f"{number}.png")
        values = np.linspace(low, high, 40 * 30).reshape(30, 40).astype(np.uint16)
        assert cv2.imwrite(str(paths[-1]), values)
    return paths


def test_pictures_of_8_bits_need_no_thermal_rule(tmp_path):
    assert suggest_thermal([picture(tmp_path / "1.png", grey=True)])[0] is None


def test_counts_of_one_range_get_that_range_with_a_margin(tmp_path):
    rule, why = suggest_thermal(counts(tmp_path, [(7100, 8900), (7000, 9000), (7300, 9200)]))
    assert isinstance(rule, RangeRule)
    assert 6500 < rule.low < 7000
    assert 9200 < rule.high < 9700
    assert "counts of 3 pictures" in why


def test_counts_that_drift_far_get_a_rule_per_picture(tmp_path):
    assert isinstance(suggest_thermal(counts(tmp_path, [(1000, 2000), (30_000, 31_000)]))[0], PercentileRule)


def test_a_broken_picture_is_passed_over_unless_all_are(tmp_path):
    paths = counts(tmp_path, [(7100, 8900), (7000, 9000), (7300, 9200)])
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    assert "counts of 2 pictures" in suggest_thermal(paths)[1]
    for path in paths:
        path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"0\.png"):
        suggest_thermal(paths)


def test_a_picture_without_contrast_is_no_crash(tmp_path):
    assert isinstance(suggest_thermal(counts(tmp_path, [(500, 500)]))[0], PercentileRule)


def test_the_thermal_rule_is_in_the_file_and_told_as_a_guess(tmp_path):
    coco(tmp_path / "val.json", ["0.png", "1.png"])
    pictures(tmp_path / "rgb", ["0.png", "1.png"])
    counts(tmp_path / "ir", [(7100, 8900), (7000, 9000)])
    report = init(tmp_path)
    assert isinstance(report.thermal, RangeRule)
    assert load_config(dataset=str(report.file)).config.data.thermal == report.thermal
    assert any("thermal rule: range" in guess for guess in report.guesses)


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("llvip_mini", ("visible/train", "infrared/train")),
        ("flir_layout_fixture/FLIR_aligned_coco", ("train_RGB", "train_thermal")),
        ("coco_mini", ("train2017", None)),
    ],
)
def test_real_layouts_with_coco_files_are_described(shared, tmp_path, name, folders):
    shutil.copytree(shared / "data" / name, tmp_path / "set")
    (tmp_path / "set").chmod(0o755)
    report = init(tmp_path / "set")
    assert (report.splits["train"].rgb, report.splits["train"].ir) == folders
    read_back(report)


def test_a_file_without_picture_names_is_a_raw_set(shared, tmp_path):
    shutil.copytree(shared / "data/kaist_mini", tmp_path / "set")
    with pytest.raises(DatasetError, match="caffdet convert kaist"):
        init(tmp_path / "set")


leaves = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=12)
records = st.dictionaries(
    st.sampled_from(["id", "image_id", "category_id", "file_name", "file_name_IR", "width", "height", "bbox", "name"]),
    leaves | st.lists(leaves, max_size=4),
    max_size=6,
)
documents = st.dictionaries(
    st.sampled_from(["images", "annotations", "categories", "info", "split"]), st.lists(records, max_size=3) | leaves
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(["train.json", "val.json", "a/test.json", "x.json"]), documents, min_size=1))
def test_whatever_json_lies_there_is_described_or_one_sentence(files):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        picture(root / "rgb/1.png")
        for name, content in files.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(json.dumps(content))
        try:
            report = init(root)
        except CaffdetError:
            report = None
        assert (report is not None) == (root / "dataset.toml").exists()
        if report is not None:
            assert load_config(dataset=str(report.file)).config.data.splits
