"""From a data set's settings to one split, and to the class slots of a new model."""

from pathlib import Path

import numpy as np
import pytest
from raw_sets import llvip, picture, voc

from caffdet_cli.data.annotations import AnnotationSet, Category
from caffdet_cli.data.convert import convert
from caffdet_cli.data.splits import class_slots, load_split
from caffdet_cli.errors import ConfigError, DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.data import Data, Split
from caffdet_cli.settings.load import load_config


@pytest.fixture
def converted(tmp_path) -> Path:
    convert("llvip", llvip(tmp_path / "raw"), tmp_path / "llvip")
    return tmp_path / "llvip"


@pytest.fixture
def shipped() -> Data:
    return load_config(dataset="llvip").config.data


def test_a_converted_set_is_found_through_its_own_file(converted):
    name, annotations = load_split(load_config(dataset=str(converted)).config.data, "train")
    assert (name, annotations.source) == ("train", converted / "train.json")
    assert all(example.rgb.is_file() and example.ir.is_file() for example in annotations.examples)


def test_the_shipped_settings_read_a_converted_set_by_data_root(converted, shipped):
    _, annotations = load_split(shipped, "train", converted)
    assert [example.rgb.is_file() for example in annotations.examples] == [True, True]


def test_the_environment_variable_names_the_folder_of_all_data_sets(converted, shipped, monkeypatch):
    monkeypatch.setenv("CAFFDET_DATA", str(converted.parent))
    assert load_split(shipped)[1].source == converted / "test.json"


def test_without_a_split_val_comes_before_test(tmp_path, converted):
    splits = {name: Split(annotations=("test.json",)) for name in ("test", "val", "train")}
    assert load_split(Data(splits=splits), None, converted)[0] == "val"
    splits["val"] = Split(annotations=("none.json",))
    assert load_split(Data(splits=splits), None, converted)[0] == "test"


def test_the_first_annotation_file_that_exists_is_read(converted):
    data = Data(splits={"val": Split(annotations=("none.json", "test.json", "train.json"))})
    assert load_split(data, "val", converted)[1].source.name == "test.json"


@pytest.mark.parametrize(
    ("split", "message"),
    [("val", r"no split 'val'; it has: train, test"), ("tset", r"no split 'tset'; it has: train, test")],
)
def test_an_unknown_split_names_those_there_are(converted, shipped, split, message):
    with pytest.raises(DatasetError, match=message):
        load_split(shipped, split, converted)


def test_a_set_of_training_pictures_only_asks_for_the_split(converted):
    data = Data(name="mine", splits={"train": Split(annotations=("train.json",))})
    with pytest.raises(DatasetError, match="neither val nor test"):
        load_split(data, None, converted)


def test_no_known_root_says_what_to_give(shipped, monkeypatch):
    monkeypatch.delenv("CAFFDET_DATA", raising=False)
    with pytest.raises(DatasetError, match="give --data-root DIR, or set CAFFDET_DATA"):
        load_split(shipped)


def test_a_converted_folder_with_a_shipped_name_is_pointed_out(shipped, converted, monkeypatch):
    monkeypatch.delenv("CAFFDET_DATA", raising=False)
    monkeypatch.chdir(converted.parent)
    with pytest.raises(DatasetError, match=r"write --dataset \./llvip$"):
        load_split(shipped, "train")
    monkeypatch.chdir(converted)
    with pytest.raises(DatasetError, match=r"that holds llvip/$"):
        load_split(shipped, "train")


def test_a_root_that_is_missing_empty_or_something_else_is_told_apart(tmp_path, shipped):
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "other/a.jpg")
    for name, message in (("none", "is not there"), ("empty", "is empty"), ("other", "give the right folder")):
        with pytest.raises(DatasetError, match=message):
            load_split(shipped, "train", tmp_path / name)


def test_a_raw_data_set_is_told_the_command_that_converts_it(tmp_path, shipped):
    raw = llvip(tmp_path / "my raw")
    with pytest.raises(DatasetError) as caught:
        load_split(shipped, "train", raw)
    assert f"caffdet convert llvip '{raw}' -o '{raw}-coco', then give --data-root '{raw}-coco'" in str(caught.value)


def test_published_files_are_read_as_they_are(shared, shipped):
    name, annotations = load_split(shipped, None, shared / "data/llvip_mini")
    assert (name, len(annotations.examples), annotations.examples[0].id) == ("test", 3, "190001")
    flir = load_config(dataset="flir").config.data
    for split in ("train", "val"):
        _, annotations = load_split(flir, split, shared / "data/flir_layout_fixture/FLIR_aligned_coco")
        assert all(example.rgb.is_file() and example.ir.is_file() for example in annotations.examples)


def test_what_cannot_be_used_is_told(tmp_path):
    class Heard(Progress):
        said = ""

        def warn(self, text: str) -> None:
            self.said += text

    raw = llvip(tmp_path / "raw")
    convert("llvip", raw, tmp_path / "out")
    path = tmp_path / "out/train.json"
    path.write_text(path.read_text().replace('"image_id": 10001', '"image_id": 5'))
    progress = Heard()
    load_split(load_config(dataset=str(tmp_path / "out")).config.data, "train", progress=progress)
    assert "1 unknown picture (dropped)" in progress.said


# Class slots


def annotated(*categories: tuple[int, str]) -> AnnotationSet:
    return AnnotationSet((), tuple(Category(*one) for one in categories), "ir", Path("a.json"))


GAPPED = annotated((1, "person"), (3, "car"))


@pytest.mark.parametrize(
    ("labels", "outputs", "classes", "names", "ids"),
    [
        ("names", 0, (), ("person", "car"), (1, 3)),
        ("names", 0, ("car", "person"), ("car", "person"), (3, 1)),
        ("names", 0, ("car",), ("car",), (3,)),
        ("names", 3, (), ("person", "car", None), (1, 3, None)),
        ("category_ids", 0, (), (None, "person", None, "car"), (None, 1, None, 3)),
        ("category_ids", 5, ("car",), (None, None, None, "car", None), (None, None, None, 3, None)),
    ],
)
def test_slots_follow_the_classes_or_their_ids(labels, outputs, classes, names, ids):
    assert class_slots(labels, outputs, GAPPED, classes) == (names, ids)


@pytest.mark.parametrize(
    ("labels", "outputs", "annotations", "message"),
    [
        ("names", 1, GAPPED, r"2 classes, model.outputs = 1"),
        ("category_ids", 3, GAPPED, r"'car' has id 3, model.outputs = 3 has slots 0 to 2"),
        ("category_ids", 0, annotated((-1, "a")), r"'a' has id -1"),
        ("category_ids", 91, annotated((-1, "a")), r"'a' has id -1"),
        ("category_ids", 0, annotated((10**9, "a")), r"id 1000000000 is too large"),
    ],
)
def test_what_does_not_fit_is_told_with_both_numbers(labels, outputs, annotations, message):
    with pytest.raises(ConfigError, match=message):
        class_slots(labels, outputs, annotations)


def test_a_class_that_the_file_does_not_have_names_the_nearest():
    with pytest.raises(DatasetError, match=r"no class 'persn'; did you mean 'person'"):
        class_slots("names", 0, GAPPED, ("persn",))
    with pytest.raises(DatasetError, match="no classes"):
        class_slots("names", 0, annotated())


def test_a_single_spectrum_voc_set_loads(tmp_path):
    picture(tmp_path / "raw/images/1.png")
    voc(tmp_path / "raw/Annotations/1.xml")
    convert("voc", tmp_path / "raw", tmp_path / "out")
    _, annotations = load_split(load_config(dataset=str(tmp_path / "out")).config.data, "train")
    assert (annotations.label_spectrum, annotations.examples[0].ir) == ("rgb", None)
    np.testing.assert_array_equal(annotations.examples[0].objects.boxes, [[1, 2, 10, 12]])
