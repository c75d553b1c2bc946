"""A folder with a dataset.toml is a source too: what that file says of splits, thermal pictures and cameras stays."""

import json
from pathlib import Path

import pytest
from raw_sets import HEIGHT, WIDTH, llvip, read

from caffdet_cli.data.convert import convert
from caffdet_cli.data.named_split import names_hash
from caffdet_cli.data.rig import read_rig, write_rig
from caffdet_cli.data.splits import load_split
from caffdet_cli.errors import CaffdetError, DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.rig import Rig

RIG = Rig(
    moved="rgb",
    homography=((1.0, 0.0, 2.0), (0.0, 1.0, 1.0), (0.0, 0.0, 1.0)),
    moved_size=(WIDTH, HEIGHT),
    fixed_size=(WIDTH, HEIGHT),
)
NAMES = ["010001", "010002", "010003"]


class Said(Progress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Both splits are lists of names of one file; beside it lies a test split that the TOML does not name."""
    folder = tmp_path / "own"
    convert("llvip", llvip(tmp_path / "raw", train=NAMES), folder, copy=True)
    (folder / "lists").mkdir()
    (folder / "lists/train.txt").write_text("010001\n010003\n")
    (folder / "lists/val.txt").write_text("010002\n")
    write_rig(RIG, folder / "cameras.toml")
    (folder / "dataset.toml").write_text(
        "[data]\n"
        'name = "mine"\nroot = "."\nrig = "cameras.toml"\nclasses = ["person"]\nlicence = "ours"\n'
        '[data.thermal]\nname = "range"\nlow = 7000\nhigh = 9000\n'
        '[data.splits.train]\nannotations = ["train.json"]\nnames = "lists/train.txt"\n'
        '[data.splits.val]\nannotations = ["train.json"]\nnames = "lists/val.txt"\n'
        f'sha256 = "{names_hash(["010002"])}"\n'
    )
    return folder


def test_splits_thermal_rule_and_rig_stay(own, tmp_path):
    said = Said()
    report = convert("coco", own, tmp_path / "again", copy=True, progress=said)
    assert {split: one.pictures for split, one in report.splits.items()} == {"train": 2, "val": 1}
    assert [text for text in said.warnings if "test.json" in text]
    before, after = (load_config(dataset=str(folder)).config.data for folder in (own, tmp_path / "again"))
    assert after.thermal == before.thermal
    assert (after.name, after.licence) == ("mine", "ours")
    assert read_rig(Path(after.rig)) == RIG
    assert Path(after.rig).parent == tmp_path / "again"
    for split in ("train", "val"):
        first, second = (load_split(data, split)[1] for data in (before, after))
        assert [one.id for one in first.examples] == [one.id for one in second.examples]
        assert first.rig == second.rig


def test_twice_gives_the_same_bytes(own, tmp_path):
    for name in ("one", "two"):
        convert("coco", own, tmp_path / name)
    assert (tmp_path / "one/rig.toml").read_bytes() == (tmp_path / "two/rig.toml").read_bytes()
    first, second = ((tmp_path / name / "dataset.toml").read_text() for name in ("one", "two"))
    assert first == second


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_other_programs_get_the_same_splits_and_hear_of_the_rig(own, tmp_path, to):
    said = Said()
    report = convert("coco", own, tmp_path / "out", to=to, progress=said)
    assert {split: one.pictures for split, one in report.splits.items()} == {"train": 2, "val": 1}
    assert [text for text in said.warnings if "cameras.toml" in text and "fit the ir pictures" in text]


def test_a_list_that_was_changed_is_refused_and_nothing_is_written(own, tmp_path):
    (own / "lists/val.txt").write_text("010001\n")
    with pytest.raises(DatasetError, match=r"val\.txt is another list"):
        convert("coco", own, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_annotations_may_have_any_name(own, tmp_path):
    (own / "train.json").rename(own / "all.json")
    (own / "test.json").unlink()
    text = (own / "dataset.toml").read_text()
    (own / "dataset.toml").write_text(text.replace("train.json", "all.json"))
    assert convert("coco", own, tmp_path / "again").splits["val"].pictures == 1
    assert len(read(tmp_path / "again/train.json")["images"]) == 2


def test_a_split_whose_file_is_gone_is_told(own, tmp_path):
    text = (own / "dataset.toml").read_text() + '[data.splits.test]\nannotations = ["gone.json"]\n'
    (own / "dataset.toml").write_text(text)
    said = Said()
    assert set(convert("coco", own, tmp_path / "again", progress=said).splits) == {"train", "val"}
    assert [text for text in said.warnings if "names gone.json for test, and it is not there" in text]


def test_a_described_folder_of_coco_names_is_read_as_described(tmp_path):
    """`data init` says where pictures are; names such as instances_train.json mean train/ to a COCO download."""
    convert("llvip", llvip(tmp_path / "raw", train=NAMES), tmp_path / "one", copy=True)
    folder = tmp_path / "mine"
    (folder / "annotations").mkdir(parents=True)
    for side in ("visible", "infrared"):
        (tmp_path / "one/pictures" / side / "train").rename(folder / side)
    bare = read(tmp_path / "one/train.json")
    for image in bare["images"]:
        image["file_name"] = Path(image["file_name"]).name
        del image["file_name_IR"]
    bare.pop("info")
    (folder / "annotations/instances_train.json").write_text(json.dumps(bare))
    (folder / "dataset.toml").write_text(
        '[data]\nname = "mine"\nroot = "."\n[data.splits.train]\nannotations = ["annotations/instances_train.json"]\n'
        'rgb = ["visible"]\nir = ["infrared"]\n'
    )
    report = convert("coco", folder, tmp_path / "again")
    assert report.spectra == ("rgb", "ir")
    assert report.splits["train"].pictures == 3


@pytest.mark.parametrize("text", ["[data", "[data]\nsplits = 3\n", '[data]\nrig = "nothing.toml"\n'])
def test_a_broken_toml_is_told(own, tmp_path, text):
    (own / "dataset.toml").write_text(text)
    with pytest.raises(CaffdetError, match=r"dataset\.toml|nothing\.toml"):
        convert("coco", own, tmp_path / "again")
    assert not (tmp_path / "again").exists()
