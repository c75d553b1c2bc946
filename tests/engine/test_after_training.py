"""What is done with a finished run: its receipt, and the check of its reading."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from caffdet_cli.engine.train import train
from caffdet_cli.engine.watch import Watch
from caffdet_cli.errors import ConfigError, DatasetError, WeightsError
from caffdet_cli.evaluation.detector import evaluate
from caffdet_cli.evaluation.reading import check_weights
from caffdet_cli.progress import Progress


def test_an_evaluation_leaves_a_receipt(tiny_files, unbroken):
    out = tiny_files.folder / "eval"
    evaluate(str(unbroken), tiny_files.dataset, output=out, device="cpu", workers=0)
    made_of = json.loads((out / "receipt.json").read_text())
    weights = unbroken / "checkpoints" / "best" / "model.safetensors"
    assert made_of["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    annotations = Path(tiny_files.dataset).parent / made_of["dataset"]["annotations"]
    assert made_of["dataset"]["annotations_sha256"] == hashlib.sha256(annotations.read_bytes()).hexdigest()
    assert str(tiny_files.folder) not in json.dumps(made_of)  # it is made to be shown
    assert made_of["settings"] == {"device": "cpu", "precision": "fp32", "batch": 1, "spectra": ["pair", "rgb", "ir"]}
    assert made_of["versions"]["torch"]
    assert made_of["conventions"]["spectra"] == ["ir", "rgb"]


def test_a_checkpoint_is_read_in_both_orders(tiny_files, unbroken):
    checked = check_weights(str(unbroken), tiny_files.dataset, pictures=3, device="cpu")
    assert [each.streams for each in checked.readings] == [("ir", "rgb"), ("rgb", "ir")]
    assert checked.pictures == 3
    assert set(checked.expected) <= {"person", "car", "bicycle"}
    assert checked.sentences


def test_without_labelled_pictures_there_is_nothing_to_check_with(tiny_files, unbroken, make_pairs):
    annotations = make_pairs(count=9).annotations
    content = json.loads(annotations.read_text())
    annotations.write_text(json.dumps(content | {"annotations": []}))
    with pytest.raises(DatasetError, match="no labelled pictures to check with"):
        check_weights(str(unbroken), tiny_files.dataset, device="cpu")


def test_weights_with_the_streams_turned_round_are_refused(tiny_files, unbroken):
    turned = ["model.spectra=['rgb', 'ir']"]
    with pytest.raises(WeightsError, match=r"has the streams ir, rgb, the model rgb, ir; --set 'model.spectra="):
        train(
            tiny_files.dataset,
            model=tiny_files.model,
            weights=str(unbroken),
            output=tiny_files.folder / "x",
            device="cpu",
            overrides=turned,
        )


def test_pictures_below_what_the_fusion_takes_are_told_before_a_run_is_made(tiny_files):
    fusion = ["model.fusion={name='caff-hierarchical'}"]
    words = {"model": tiny_files.model, "output": tiny_files.folder / "x", "device": "cpu"}
    with pytest.raises(ConfigError, match=r"model.input.short_side has 48, and caff-hierarchical needs 97 pixels"):
        train(tiny_files.dataset, overrides=fusion, **words)
    assert not (tiny_files.folder / "x").exists()


def test_a_frozen_backbone_with_random_weights_is_told(tiny_files, unbroken):
    train(
        tiny_files.dataset,
        model=tiny_files.model,
        weights=str(unbroken),
        output=tiny_files.folder / "x",
        device="cpu",
        overrides=[
            "train.freeze_backbone=true",
            "model.backbone.levels=[2]",
            "model.backbone.depth=18",
            "train.epochs=1",
        ],
        watch=Watch(told := Told()),
    )
    assert any("is not in the starting weights and is not trained" in text for text in told.said)


class Told(Progress):
    """What was warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


def test_padding_is_warned_of_only_where_there_is_some(tiny_files, unbroken):
    words = {"device": "cpu", "workers": 0, "batch": 2, "spectrum": "pair"}
    evaluate(str(unbroken), tiny_files.dataset, progress=(same := Told()), **words)
    assert same.said == []
    annotations = Path(tiny_files.dataset).parent / "train.json"
    content = json.loads(annotations.read_text())
    content["images"][0]["width"] += 8
    annotations.write_text(json.dumps(content))
    for path in Path(tiny_files.dataset).parent.glob(f"*/{Path(content['images'][0]['file_name']).name}"):
        with Image.open(path) as picture:
            wider = picture.resize((picture.width + 8, picture.height))
        wider.save(path)
    evaluate(str(unbroken), tiny_files.dataset, progress=(other := Told()), **words)
    assert any("--batch 2: pictures have several sizes and are padded" in text for text in other.said)
