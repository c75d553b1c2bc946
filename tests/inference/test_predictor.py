"""What a detector is shown and how: spectra left out, sizes, class names."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import tiny_batch, tiny_detector, tiny_pair_settings, tiny_settings

from caffdet_cli.errors import DatasetError
from caffdet_cli.evaluation.detector import evaluate
from caffdet_cli.inference.predict import predict
from caffdet_cli.inference.predictor import Predictor, only
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Input
from caffdet_cli.weights.store import save_weights

SMALL = Input(short_side=48, max_side=64)
DATA = '[data]\nname = "tiny"\nroot = "."\nlabel_spectrum = "ir"\n[data.splits.val]\nannotations = ["train.json"]\n'


def save(path: Path, *, pair: bool = True, classes: tuple[str, ...] = ("person", "car", "bicycle")) -> str:
    """A detector with random weights and three class slots; without `classes` as a published file is read."""
    settings = (tiny_pair_settings if pair else tiny_settings)(input=SMALL, outputs=3, labels="category_ids")
    known = Conventions(
        input=SMALL,
        spectra=settings.spectra,
        label_spectrum=settings.spectra[0],
        classes=classes,
        category_ids=tuple(range(len(classes))),
    )
    save_weights(path, tiny_detector(settings).state_dict(), settings, known)
    return str(path)


def test_a_removed_spectrum_is_zeros_and_absent_and_the_other_is_untouched():
    batch = tiny_batch([(48, 64)], spectra=2)
    ir, rgb = only(batch, ("ir", "rgb"), "ir").spectra
    assert ir is batch.spectra[0]
    assert not rgb.pixels.any()
    assert not rgb.present.any()
    assert torch.equal(rgb.padding, batch.spectra[1].padding)
    assert only(batch, ("ir", "rgb"), "pair") is batch


def test_a_detector_of_one_spectrum_is_always_shown_it():
    batch = tiny_batch([(48, 64)])
    assert only(batch, ("rgb",), "ir") is batch


def test_removing_a_spectrum_changes_what_is_found():
    predictor = Predictor(tiny_detector(tiny_pair_settings()), Conventions(spectra=("ir", "rgb")), torch.device("cpu"))
    batch = tiny_batch([(48, 64)], spectra=2)
    both, ir, rgb = (predictor(batch, given)[0].scores for given in ("pair", "ir", "rgb"))
    assert not torch.equal(both, ir)
    assert not torch.equal(ir, rgb)


def test_predicting_leaves_generators_gradients_and_threads_alone():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    network = tiny_detector(tiny_settings())
    torch.set_rng_state(before)
    Predictor(network, Conventions(), torch.device("cpu"))(tiny_batch([(48, 64)]))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert all(each.grad is None for each in network.parameters())


def test_a_pair_of_different_sizes_is_found_in_pixels_of_the_label_spectrum(make_pairs, tmp_path):
    root = make_pairs(count=1).root
    picture = cv2.imread(str(root / "rgb" / "000.png"))
    cv2.imwrite(str(root / "big.png"), cv2.resize(picture, (256, 192)))
    words = {"rgb": root / "big.png", "ir": root / "ir" / "000.png", "score": 0, "device": "cpu", "draw": False}
    predict(save(tmp_path / "w.safetensors"), tmp_path / "out", **words)
    boxes = np.array([entry["bbox"] for entry in json.loads((tmp_path / "out" / "detections.json").read_text())])
    assert len(boxes)
    assert (boxes[:, :2] + boxes[:, 2:] <= (64.01, 48.01)).all()


def test_a_detector_of_one_spectrum_looks_at_its_own_side(make_pairs, tmp_path):
    root = make_pairs(count=2).root
    (root / "ir" / "001.png").unlink()
    words = {"rgb": root / "rgb", "ir": root / "ir", "device": "cpu", "draw": False}
    done = predict(save(tmp_path / "w.safetensors", pair=False), tmp_path / "out", **words)
    assert (done.pictures, done.lonely) == (2, ())


def test_class_names_that_a_file_lacks_come_from_the_data_set_by_id(make_pairs, tmp_path):
    pairs = make_pairs(count=3)
    content = {**pairs.content, "categories": pairs.content["categories"][::-1]}  # another order, the same ids
    pairs.annotations.write_text(json.dumps(content))
    (pairs.root / "dataset.toml").write_text(DATA)
    dataset = str(pairs.root / "dataset.toml")
    named, nameless = save(tmp_path / "named.safetensors"), save(tmp_path / "nameless.safetensors", classes=())
    reports = [evaluate(each, dataset, device="cpu", workers=0, spectrum="pair") for each in (named, nameless)]
    assert list(reports[0].spectra["pair"].per_class) == ["bicycle", "car", "person"]
    assert reports[0] == reports[1]


def test_a_failed_evaluation_leaves_no_folder(make_pairs, tmp_path):
    pairs = make_pairs(count=2)
    (pairs.root / "dataset.toml").write_text(DATA)
    (pairs.root / "ir" / "001.png").write_bytes(b"broken")
    weights, before = save(tmp_path / "w.safetensors"), sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match=r"001\.png"):
        evaluate(weights, str(pairs.root / "dataset.toml"), device="cpu", workers=0, output=tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.gpu
def test_the_same_is_found_on_cuda(make_pairs, tmp_path):
    root, weights = make_pairs(count=2).root, save(tmp_path / "w.safetensors")
    scores = []
    for device in ("cpu", "cuda"):
        words = {"rgb": root / "rgb", "ir": root / "ir", "score": 0, "device": device, "draw": False}
        predict(weights, tmp_path / device, **words)
        found = json.loads((tmp_path / device / "detections.json").read_text())
        scores.append(sorted(entry["score"] for entry in found))
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
