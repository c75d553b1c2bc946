"""From a COCO download to a trained and evaluated detector, nothing converted: both layouts, both kinds of heads."""

import json
from pathlib import Path

import pytest
import torch
from coco_set import CATEGORIES, coco
from safetensors import safe_open
from safetensors.torch import save_file

from caffdet_cli.main import main
from caffdet_cli.models.build import detector
from caffdet_cli.settings.model import Model, ResNet
from caffdet_cli.weights.remap import to_published

MODEL = """
[model]
width = 64
levels = 2
queries = 8
{head}
backbone = {{ depth = 10, levels = [1], normalisation = "group", frozen_stages = 0 }}
encoder = {{ layers = 2, blocks = 1, high_levels = 1, heads = 2, points = 2, feedforward = 32 }}
decoder = {{ layers = 2, heads = 2, points = 2, feedforward = 32 }}
denoising = {{ number = 50 }}
input = {{ short_side = 32, max_side = 96 }}

[train]
epochs = 1
batch = 2
workers = 0
augment = {{ scales = [32], max_side = 96, crop = 0.0 }}
"""
HEADS = {"91": 'outputs = 91\ndetections = 700\nlabels = "category_ids"', "contiguous": 'labels = "names"'}
SLOTS = {"91": {1: 1, 3: 3, 90: 90}, "contiguous": {1: 0, 3: 1, 90: 2}}  # of each category id


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """What every command is told of the data set."""
    return ["--dataset", "coco", "--data-root", str(tmp_path / "coco")]


@pytest.mark.parametrize("folder", ["", "images"])
@pytest.mark.parametrize("head", HEADS)
def test_two_steps_of_training_and_an_evaluation_with_the_ids_of_coco(tmp_path, words, folder, head, capsys):
    coco(tmp_path / "coco", folder)
    (tmp_path / "tiny.toml").write_text(MODEL.format(head=HEADS[head]))
    run, scored = tmp_path / "run", tmp_path / "scored"
    assert (
        main(
            [
                "train",
                *words,
                "--model",
                str(tmp_path / "tiny.toml"),
                "-o",
                str(run),
                "--device",
                "cpu",
                "-q",
                "--from-scratch",
            ]
        )
        == 0
    )
    best = run / "checkpoints/best"
    decide(best / "model.safetensors", {SLOTS[head][3]: 2.0, SLOTS[head][90]: 1.0})
    before = sorted((tmp_path / "coco").rglob("*"))
    evaluation = ["eval", *words, "--weights", str(best), "-o", str(scored), "--device", "cpu", "--workers", "0"]
    capsys.readouterr()
    assert main([*evaluation, "--json", "-q"]) == 0
    assert list(json.loads(capsys.readouterr().out)["spectra"]["rgb"]["per_class"]) == list(CATEGORIES.values())
    assert sorted((tmp_path / "coco").rglob("*")) == before
    check_ids(scored / "detections-rgb.json")
    truth = str(tmp_path / "coco/annotations/instances_val2017.json")
    assert main(["eval", "--predictions", str(scored / "detections-rgb.json"), "--annotations", truth]) == 0


def test_a_published_file_of_91_slots_is_evaluated_as_it_is(tmp_path, words):
    published(tmp_path / "published.pth")
    coco(tmp_path / "coco", "images")
    scored = tmp_path / "scored"
    evaluation = ["eval", *words, "--weights", str(tmp_path / "published.pth"), "-o", str(scored)]
    assert main([*evaluation, "--device", "cpu", "--workers", "0", "-q"]) == 0
    check_ids(scored / "detections-rgb.json")


def test_a_class_beyond_the_slots_of_a_published_file_is_one_sentence(tmp_path, words, capsys):
    published(tmp_path / "published.pth")
    coco(tmp_path / "coco", categories={**CATEGORIES, 91: "hair brush"})
    weights = ["--weights", str(tmp_path / "published.pth"), "--device", "cpu", "-q"]
    assert main(["eval", *words, *weights]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "class 'hair brush' has id 91, model.outputs = 91 has slots 0 to 90" in err


def test_a_file_without_classes_is_not_evaluated(tmp_path, words, capsys):
    published(tmp_path / "published.pth")
    coco(tmp_path / "coco", categories={})
    assert main(["eval", *words, "--weights", str(tmp_path / "published.pth"), "--device", "cpu", "-q"]) == 2
    assert "instances_val2017.json has no classes" in capsys.readouterr().err


def test_the_ground_truth_of_a_download_is_drawn(tmp_path, words):
    coco(tmp_path / "coco", "images")
    assert main(["visualize", *words, "-o", str(tmp_path / "drawn"), "-q"]) == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "000000000139.jpg",
        "000000000140.jpg",
        "sheet.jpg",
    ]


@pytest.mark.parametrize("head", HEADS)
def test_real_pictures_are_trained_on_and_evaluated(shared, tmp_path, head):
    mini = shared / "data/coco_mini"
    if not mini.is_dir():
        pytest.skip("shared/data/coco_mini is not at hand")
    (tmp_path / "tiny.toml").write_text(MODEL.format(head=HEADS[head]))
    words, run = ["--dataset", "coco", "--data-root", str(mini), "--device", "cpu", "-q"], str(tmp_path / "run")
    assert main(["train", *words, "--model", str(tmp_path / "tiny.toml"), "-o", run, "--from-scratch"]) == 0
    assert main(["eval", *words, "--weights", run, "-o", str(tmp_path / "scored"), "--workers", "0"]) == 0
    found = json.loads((tmp_path / "scored/detections-rgb.json").read_text())
    known = {one["id"] for one in json.loads((mini / "annotations/instances_val2017.json").read_text())["categories"]}
    assert {entry["category_id"] for entry in found} <= known
    assert {entry["image_id"] for entry in found} == {444010, 475546, 547503}


def decide(path: Path, logits: dict[int, float]) -> None:
    """Rewrite the class head of a checkpoint so that each slot has this logit everywhere, others next to none."""
    with safe_open(path, "pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["heads.class_head.weight"].zero_()
    tensors["heads.class_head.bias"].fill_(-50.0)
    for slot, logit in logits.items():
        tensors["heads.class_head.bias"][slot] = logit
    save_file(tensors, path, about)


def check_ids(path: Path) -> None:
    """Every query found category 3 with the logit 2, then category 90 with 1; pictures have their own ids."""
    found = json.loads(path.read_text())
    assert {entry["image_id"] for entry in found} == {139, 140}
    scores = torch.tensor([2.0, 1.0]).sigmoid().tolist()
    for category, score in zip((3, 90), scores, strict=True):
        said = [entry["score"] for entry in found if entry["category_id"] == category]
        assert len(said) == 16
        assert said == pytest.approx([score] * 16, abs=1e-5)
    assert {entry["category_id"] for entry in found} <= set(CATEGORIES)


def published(path: Path) -> None:
    """A small Lite-DINO in the form of a published file: class slot = category id of COCO, no names."""
    model = Model(backbone=ResNet(depth=18, levels=(1, 2, 3)), width=64, queries=8, outputs=91, labels="category_ids")
    network = detector(model, 91)
    with torch.no_grad():
        network.heads.class_head.weight.zero_()
        network.heads.class_head.bias.fill_(-50.0)
        network.heads.class_head.bias[3], network.heads.class_head.bias[90] = 2.0, 1.0
    torch.save({"model": to_published(network.state_dict(), model)}, path)
