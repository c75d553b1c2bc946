"""What a run writes: nothing of an older run, nothing after a failure, and the batch that broke it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from caffdet_cli.data.batches import to_device
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.loading import EpochSampler, Loader, closing_workers
from caffdet_cli.engine.job import new_job
from caffdet_cli.engine.stopping import StopFlag
from caffdet_cli.engine.train import Trainer, train
from caffdet_cli.engine.watch import Watch
from caffdet_cli.errors import ConfigError, DatasetError, Diverged, OutputError, WeightsError
from caffdet_cli.main import main
from caffdet_cli.settings.load import load_config
from caffdet_cli.weights.known import find_weights


def trainer_of(files, **words) -> Trainer:
    return Trainer(new_job(files.dataset, model=files.model, output=files.folder / "run", **words), "cpu", Watch())


def test_overwrite_removes_what_runs_and_evaluations_write_and_nothing_else(tiny_files, unbroken):
    (unbroken / "diverged").mkdir()
    for name in ("diverged/batch.json", "report.json", "detections-pair.json", "notes.txt"):
        (unbroken / name).write_text("old")
    job = new_job(tiny_files.dataset, model=tiny_files.model, output=unbroken, overwrite=True)
    Trainer(job, "cpu", Watch())
    assert sorted(path.name for path in unbroken.iterdir()) == ["config.toml", "metrics.jsonl", "notes.txt", "run.json"]
    assert (unbroken / "metrics.jsonl").read_text() == ""


def test_a_run_that_cannot_start_leaves_the_one_it_would_overwrite(tiny_files, unbroken):
    before = sorted(unbroken.rglob("*"))
    with pytest.raises(DatasetError):
        new_job(tiny_files.dataset, model=tiny_files.model, output=unbroken, overwrite=True, data_root="/nowhere")
    assert sorted(unbroken.rglob("*")) == before


def test_the_resolved_settings_and_the_facts_of_the_start_are_written(tiny_files, unbroken):
    config = load_config(files=[unbroken / "config.toml"]).config
    assert (config.model.queries, config.train.epochs, config.data.classes) == (8, 3, ("person", "car", "bicycle"))
    facts = json.loads((unbroken / "run.json").read_text())
    assert facts["seed"] == config.train.seed
    assert facts["data"]["train"] == facts["data"]["val"]
    events = [json.loads(line)["event"] for line in (unbroken / "metrics.jsonl").read_text().splitlines()]
    assert events == ["epoch", "validation"] * 3


def test_a_validation_split_without_objects_still_gives_a_best_checkpoint(tiny_files, tmp_path):
    annotations = json.loads((tmp_path / "pairs" / "train.json").read_text())
    (tmp_path / "pairs" / "empty.json").write_text(json.dumps({**annotations, "annotations": []}))
    words = ["train.epochs=1", "data.splits.val.annotations=['empty.json']"]
    done = train(tiny_files.dataset, model=tiny_files.model, output=tmp_path / "run", device="cpu", overrides=words)
    assert done.best == -1
    assert find_weights(str(tmp_path / "run")).parent.name == "best"


def test_nothing_of_a_frozen_backbone_changes_and_the_rest_does(tiny_files):
    trainer = trainer_of(tiny_files, overrides=["train.freeze_backbone=true", "train.epochs=1"])
    before = {name: value.clone() for name, value in trainer.detector.state_dict().items()}
    trainer.run(StopFlag())
    same = {name for name, value in trainer.detector.state_dict().items() if torch.equal(value, before[name])}
    backbone = {name for name in before if name.startswith("pyramid.backbone")}
    assert backbone <= same
    for part in ("pyramid.necks.", "pyramid.fusions.", "encoder.", "decoder.", "heads.", "denoising.", "selection."):
        assert any(name.startswith(part) and name not in same for name in before), part


# not finite


def test_a_kept_batch_has_everything_to_replay_it(tiny_files):
    trainer = trainer_of(tiny_files)
    with torch.no_grad():
        trainer.detector.heads.class_head.bias.fill_(float("nan"))
    with pytest.raises(Diverged, match="loss is not finite"):
        trainer.run(StopFlag())
    kept = trainer.job.folder / "diverged"
    facts = json.loads((kept / "batch.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert "nan" in facts["terms"].values()
    trainer.sampler.set_epoch(0)
    batch, targets = next(iter(trainer.batches))
    assert (facts["ids"], facts["reference"]) == (batch.ids, batch.reference)
    tensors = load_file(kept / "batch.safetensors")
    seen = to_device(batch, "cpu", trainer.job.conventions.input)
    for stream, pictures in enumerate(seen.spectra):
        for field, tensor in pictures._asdict().items():
            assert torch.equal(tensors[f"{field}.{stream}"], tensor)
    for index, each in enumerate(targets):
        assert torch.equal(tensors[f"targets.{index}.boxes"], each.boxes)
        assert torch.equal(tensors[f"targets.{index}.labels"], each.labels)


@pytest.mark.parametrize("clip", [0.1, 0])
def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(tiny_files, clip):
    trainer = trainer_of(tiny_files, overrides=[f"train.clip={clip}"])
    trainer.detector.heads.class_head.bias.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: value.clone() for name, value in trainer.detector.state_dict().items()}
    with pytest.raises(Diverged, match="gradient is not finite"):
        trainer.run(StopFlag())
    assert all(torch.equal(value, before[name]) for name, value in trainer.detector.state_dict().items())


def test_divergence_is_one_sentence_and_exit_1(tiny_files, capsys):
    words = [
        "--set",
        "train.lr=1e30",
        "--set",
        "train.warmup=0",
        "--set",
        "train.clip=0",
        "-o",
        str(tiny_files.folder / "run"),
    ]
    assert main(["train", "--dataset", tiny_files.dataset, "--model", tiny_files.model, "--device", "cpu", *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "is not finite at pictures" in err.splitlines()[-1]
    assert str(tiny_files.folder / "run" / "diverged") in err


def test_clipping_bounds_the_gradient(tiny_files):
    trainer = trainer_of(tiny_files, overrides=["train.clip=0.01", "train.epochs=1"])
    trainer.run(StopFlag())
    norms = [each.grad.norm() for each in trainer.detector.parameters() if each.grad is not None]
    assert float(torch.stack(norms).norm()) == pytest.approx(0.01, rel=1e-3)


# the command


def test_a_plan_is_one_json_object_and_writes_nothing(tiny_files, capsys):
    before = sorted(tiny_files.folder.rglob("*"))
    words = ["--dataset", tiny_files.dataset, "--model", tiny_files.model, "-o", str(tiny_files.folder / "run")]
    assert main(["train", *words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["pictures"] == {"train": 9, "val": 9}
    assert plan["weights"] is None
    assert sorted(tiny_files.folder.rglob("*")) == before


def test_from_scratch_overrules_the_weights_of_the_recipe(tiny_files):
    said = ["train.weights=lite-dino-r50-coco"]
    job = new_job(tiny_files.dataset, model=tiny_files.model, from_scratch=True, output="run", overrides=said)
    assert (job.weights, job.config.train.weights) == (None, "")


def test_training_pictures_do_not_depend_on_the_number_of_workers(tiny_files):
    trainer = trainer_of(tiny_files)
    dataset = PairDataset(trainer.job.train, trainer.job.conventions, trainer.settings.augment, seed=7)
    pixels = []
    for workers in (0, 2):
        sampler = EpochSampler(len(dataset), 2, seed=7, shuffle=True)
        sampler.set_epoch(3)
        with closing_workers(Loader(dataset, sampler, workers)) as batches:
            pixels.append([batch.spectra[0].pixels.numpy() for batch, _ in batches])
    assert all(np.array_equal(one, other) for one, other in zip(*pixels, strict=True))


def test_overwrite_replaces_runs_and_never_data(tiny_files, tmp_path):
    root = tmp_path / "pairs"
    before = sorted(root.rglob("*"))
    with pytest.raises(OutputError, match="holds the data set"):
        new_job(tiny_files.dataset, model=tiny_files.model, output=root, overwrite=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"1")
    with pytest.raises(OutputError, match="is no run folder"):
        new_job(tiny_files.dataset, model=tiny_files.model, output=tmp_path / "photos", overwrite=True)
    assert sorted(root.rglob("*")) == before


def test_another_order_of_classes_or_another_model_is_refused_on_resume(tiny_files, unbroken, tmp_path):
    settings = unbroken / "config.toml"
    text = settings.read_text()
    words = {"resume": unbroken, "device": "cpu", "overrides": ["train.epochs=9"]}
    settings.write_text(text.replace("queries = 8", "queries = 9"))
    with pytest.raises(WeightsError, match="of another model"):
        train(**words)
    reordered = text.replace('"person"', '"x"').replace('"car"', '"person"').replace('"x"', '"car"')
    assert reordered != text
    settings.write_text(reordered)
    with pytest.raises(WeightsError, match="has changed"):
        train(**words)


def test_training_without_a_split_to_judge_on_says_what_to_add(tiny_files):
    words = {"model": tiny_files.model, "output": tiny_files.folder / "run"}
    path = tiny_files.folder / "pairs" / "dataset.toml"
    path.write_text(path.read_text().replace(', val = { annotations = ["train.json"] }', ""))
    with pytest.raises(DatasetError, match=r"add \[data\.splits\.val\]"):
        new_job(str(path), **words)


def test_weights_of_which_nothing_fits_are_refused(tiny_files, unbroken):
    words = ["model.width=128", "model.backbone.depth=50"]
    job = new_job(
        tiny_files.dataset,
        model=tiny_files.model,
        output=tiny_files.folder / "other",
        weights=str(unbroken),
        overrides=[*words, "model.encoder.feedforward=96", "model.decoder.feedforward=96"],
    )
    with pytest.raises(WeightsError, match="is of another model"):
        Trainer(job, "cpu", Watch())


def test_several_processes_are_refused(tiny_files, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="several processes"):
        train(tiny_files.dataset, model=tiny_files.model, output=tiny_files.folder / "run", device="cpu")
