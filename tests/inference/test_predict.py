"""Predicting on files: pairs by name, lists, what is missing; and which spectra a detector is given."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_pair_settings, tiny_settings

from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.formats.detections import DetectionArrays
from caffdet_cli.data.images import read_picture
from caffdet_cli.errors import ConfigError, DatasetError, OutputError, WeightsError
from caffdet_cli.evaluation.detector import evaluate, to_categories
from caffdet_cli.evaluation.files import evaluate_files
from caffdet_cli.inference.pairing import common_name
from caffdet_cli.inference.predict import predict
from caffdet_cli.inference.sources import picture_set
from caffdet_cli.models.build import detector
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Input
from caffdet_cli.weights.store import save_weights

CLASSES = ("person", "car", "bicycle")
SMALL = Input(short_side=48, max_side=64)


def save(path: Path, pair: bool = True, classes: tuple[str, ...] = CLASSES) -> str:
    """An untrained detector on disk."""
    torch.manual_seed(0)
    model = (tiny_pair_settings() if pair else tiny_settings()).model_copy(update={"input": SMALL})
    ids = tuple(range(len(classes)))
    known = Conventions(
        input=SMALL, spectra=model.spectra, label_spectrum=model.spectra[0], classes=classes, category_ids=ids
    )
    save_weights(path, detector(model, len(classes)).state_dict(), model, known)
    return str(path)


def test_folders_are_paired_by_name_and_the_lonely_are_listed(make_pairs, tmp_path):
    root = make_pairs(count=3).root
    (root / "ir" / "002.png").unlink()
    done = predict(
        save(tmp_path / "w.safetensors"), tmp_path / "out", rgb=root / "rgb", ir=root / "ir", score=0, device="cpu"
    )
    assert (done.pictures, done.lonely) == (3, ("002",))
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {entry["image_id"] for entry in found} == {"000", "001", "002"}
    assert {"image_id", "category_id", "bbox", "score"} <= found[0].keys()
    assert read_picture(next((tmp_path / "out" / "pictures").glob("*.jpg"))).ndim == 3


def test_two_files_are_a_pair_whatever_their_names(make_pairs, tmp_path):
    root = make_pairs(count=2).root
    done = predict(
        save(tmp_path / "w.safetensors"),
        tmp_path / "out",
        rgb=root / "rgb" / "000.png",
        ir=root / "ir" / "001.png",
        device="cpu",
    )
    assert (done.pictures, done.lonely) == (1, ())


def test_a_pair_model_takes_one_spectrum_alone(make_pairs, tmp_path):
    root = make_pairs(count=2).root
    assert predict(save(tmp_path / "w.safetensors"), tmp_path / "out", ir=root / "ir", device="cpu").pictures == 2


def test_a_list_names_pictures_beside_it(make_pairs, tmp_path):
    root = make_pairs(count=2).root
    (root / "list.txt").write_text("rgb/000.png\n\nrgb/001.png\n")
    assert (
        predict(
            save(tmp_path / "w.safetensors"), tmp_path / "out", rgb=root / "list.txt", device="cpu", draw=False
        ).pictures
        == 2
    )
    (root / "list.txt").write_text("rgb/000.png\nrgb/009.png\n")
    with pytest.raises(DatasetError, match="line 2"):
        predict(save(tmp_path / "w.safetensors"), tmp_path / "other", rgb=root / "list.txt", device="cpu")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("spectrum", ["rgb", "ir"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_truncated_picture_is_named_and_the_others_are_looked_at(make_pairs, tmp_path, spectrum, number):
    root, weights = make_pairs(count=3).root, save(tmp_path / "w.safetensors")
    words = {"rgb": root / "rgb", "ir": root / "ir", "device": "cpu", "score": 0}
    predict(weights, tmp_path / "whole", **words)
    truncate(root / spectrum / f"00{number}.png")
    done = predict(weights, tmp_path / "out", batch=2, **words)
    assert done.pictures == 2
    assert list(done.left_out) == [f"00{number}"]
    assert f"00{number}.png" in done.left_out[f"00{number}"]
    whole, rest = (json.loads((tmp_path / name / "detections.json").read_text()) for name in ("whole", "out"))
    assert [one["image_id"] for one in rest] == [one["image_id"] for one in whole if one["image_id"] != f"00{number}"]
    assert len(list((tmp_path / "out/pictures").iterdir())) == len(list((tmp_path / "whole/pictures").iterdir())) - 1


def test_where_nothing_can_be_read_nothing_is_left(make_pairs, tmp_path):
    root = make_pairs(count=2).root
    for number in range(2):
        truncate(root / "ir" / f"00{number}.png")
    with pytest.raises(DatasetError, match=r"00\d\.png"):
        predict(save(tmp_path / "w.safetensors"), tmp_path / "out", rgb=root / "rgb", ir=root / "ir", device="cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs", "w.safetensors"]


def test_a_file_that_is_no_picture_is_left_out_too(make_pairs, tmp_path):
    root = make_pairs(count=2).root
    (root / "ir" / "000.png").write_text("no picture")
    done = predict(save(tmp_path / "w.safetensors"), tmp_path / "out", rgb=root / "rgb", ir=root / "ir", device="cpu")
    assert (done.pictures, list(done.left_out)) == (1, ["000"])


def test_files_without_the_form_of_a_pattern_are_told(make_pairs, tmp_path):
    root = make_pairs(count=3).root
    for number in range(2):
        (root / "rgb" / f"00{number}.png").rename(root / "rgb" / f"{number}_color.png")
        (root / "ir" / f"00{number}.png").rename(root / "ir" / f"{number}_heat.png")
    done = predict(
        save(tmp_path / "w.safetensors"),
        tmp_path / "out",
        rgb=root / "rgb",
        ir=root / "ir",
        pair_by="*_color.png=*_heat.png",
        device="cpu",
    )
    assert done.pictures == 2
    assert all("has not the form of --pair-by *_color.png=*_heat.png" in why for why in done.left_out.values())
    assert len(done.left_out) == 2


def test_a_rule_that_is_none_is_refused_for_two_single_pictures_too(make_pairs, tmp_path):
    root = make_pairs(count=1).root
    with pytest.raises(ConfigError, match="--pair-by rubbish"):
        predict(
            save(tmp_path / "w.safetensors"),
            tmp_path / "out",
            rgb=root / "rgb/000.png",
            ir=root / "ir/000.png",
            pair_by="rubbish",
        )


def test_wrong_requests_are_one_sentence(make_pairs, tmp_path):
    root, weights = make_pairs(count=1).root, save(tmp_path / "w.safetensors")
    single = save(tmp_path / "single.safetensors", pair=False)
    with pytest.raises(DatasetError, match="no picture"):
        predict(weights, tmp_path / "out")
    with pytest.raises(ConfigError, match="--rgb"):
        predict(single, tmp_path / "out", ir=root / "ir")
    with pytest.raises(WeightsError, match="not there"):
        predict(str(tmp_path / "nothing.safetensors"), tmp_path / "out", rgb=root / "rgb")
    with pytest.raises(OutputError, match="--overwrite"):
        predict(weights, root, rgb=root / "rgb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no pictures"):
        predict(weights, tmp_path / "out", rgb=tmp_path / "empty")


@pytest.mark.parametrize(
    ("stem", "name"),
    [("FLIR_00001_RGB", "FLIR_00001"), ("FLIR_00001_PreviewData", "FLIR_00001"), ("010001", "010001"), ("_ir", "_ir")],
)
def test_names_of_both_spectra_come_together(stem, name):
    assert common_name(stem) == name


def test_the_same_name_twice_is_refused(make_pairs, tmp_path):
    root = make_pairs(count=1).root
    (root / "rgb" / "000_RGB.png").write_bytes((root / "rgb" / "000.png").read_bytes())
    with pytest.raises(DatasetError, match="same name"):
        picture_set(root / "rgb", None, Conventions(spectra=("rgb",), label_spectrum="rgb"))


def test_evaluation_shows_a_pair_model_both_and_each_spectrum(make_pairs, tmp_path):
    pairs = make_pairs(count=3)
    (pairs.root / "dataset.toml").write_text(
        '[data]\nname = "tiny"\nroot = "."\nlabel_spectrum = "ir"\n[data.splits.val]\nannotations = ["train.json"]\n'
    )
    weights, dataset = save(tmp_path / "w.safetensors"), str(pairs.root / "dataset.toml")
    report = evaluate(weights, dataset, device="cpu", workers=0, output=tmp_path / "out")
    assert list(report.spectra) == ["pair", "rgb", "ir"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "detections-ir.json",
        "detections-pair.json",
        "detections-rgb.json",
        "receipt.json",
        "report.json",
    ]
    single = save(tmp_path / "single.safetensors", pair=False)
    with pytest.raises(ConfigError, match="--against"):
        evaluate(weights, dataset, device="cpu", workers=0, against=(weights, single))
    with pytest.raises(ConfigError, match="trained on rgb alone"):
        evaluate(single, dataset, device="cpu", workers=0, spectrum="ir")


def test_classes_are_matched_by_name_not_by_place(make_pairs):
    annotations = read_coco(make_pairs(count=1).annotations)
    known = Conventions(classes=("bicycle", None, "person"), category_ids=(4, None, 9))
    found = {0: DetectionArrays(np.zeros((3, 4)), np.array([0, 1, 2]), np.array([0.9, 0.8, 0.7]))}
    named = to_categories(found, known, annotations)[0]
    assert [annotations.categories[label].name for label in named.labels] == ["bicycle", "person"]
    assert named.scores.tolist() == [0.9, 0.7]  # the slot without a name is left out


def test_written_detections_have_the_class_ids_of_the_data_they_were_made_on(make_pairs, tmp_path):
    pairs = make_pairs(count=3)
    content = json.loads(pairs.annotations.read_text())
    for category in content["categories"]:
        category["id"] = 20 - category["id"]  # other ids than those the detector was trained with
    for each in content["annotations"]:
        each["category_id"] = 20 - each["category_id"]
    pairs.annotations.write_text(json.dumps(content))
    (pairs.root / "dataset.toml").write_text('[data]\nroot = "."\n[data.splits.val]\nannotations = ["train.json"]\n')
    weights = save(tmp_path / "w.safetensors")
    report = evaluate(weights, str(pairs.root), device="cpu", workers=0, output=tmp_path / "out", spectrum="pair")
    written = json.loads((tmp_path / "out" / "detections-pair.json").read_text())
    assert {entry["category_id"] for entry in written} <= {18, 19, 20}
    again = evaluate_files(tmp_path / "out" / "detections-pair.json", pairs.annotations)
    assert again.numbers == report.spectra["pair"].numbers


def test_results_that_belong_together_are_replaced_together(make_pairs, tmp_path):
    pairs = make_pairs(count=2)
    (pairs.root / "dataset.toml").write_text('[data]\nroot = "."\n[data.splits.val]\nannotations = ["train.json"]\n')
    words = {"device": "cpu", "workers": 0, "output": tmp_path / "out"}
    weights = save(tmp_path / "w.safetensors")
    evaluate(weights, str(pairs.root), **words)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    evaluate(weights, str(pairs.root), **words, spectrum="rgb", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "detections-rgb.json",
        "notes.txt",
        "receipt.json",
        "report.json",
    ]


def test_folders_without_one_pair_are_refused(make_pairs, tmp_path):
    root = make_pairs(count=3).root
    for path in (root / "ir").iterdir():
        path.rename(path.with_stem(f"{path.stem}_right"))
    with pytest.raises(DatasetError, match="not one picture of"):
        predict(save(tmp_path / "w.safetensors"), tmp_path / "out", rgb=root / "rgb", ir=root / "ir", device="cpu")


def test_lists_count_their_lines_and_hidden_files_are_no_pictures(make_pairs, tmp_path):
    root = make_pairs(count=2).root
    (root / "rgb" / "._000.png").write_bytes(b"")
    done = predict(save(tmp_path / "w.safetensors"), tmp_path / "out", rgb=root / "rgb", device="cpu")
    assert done.pictures == 2
    (root / "list.txt").write_text("\ufeffrgb/000.png\n\n\nrgb/none.png\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"line 4: .*none\.png is not there"):
        predict(str(tmp_path / "w.safetensors"), tmp_path / "more", rgb=root / "list.txt", device="cpu")
