"""What is done with a finished run: its receipt, and the check of its reading."""

import hashlib
import json

import pytest

from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.detector import evaluate
from caffdet_cli.evaluation.reading import check_weights


def test_an_evaluation_leaves_a_receipt(tiny_files, unbroken):
    out = tiny_files.folder / "eval"
    evaluate(str(unbroken), tiny_files.dataset, output=out, device="cpu", workers=0)
    made_of = json.loads((out / "receipt.json").read_text())
    weights = unbroken / "checkpoints" / "best" / "model.safetensors"
    assert made_of["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    annotations = made_of["dataset"]["annotations"]
    with open(annotations, "rb") as file:
        assert made_of["dataset"]["annotations_sha256"] == hashlib.sha256(file.read()).hexdigest()
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
