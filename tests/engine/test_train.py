"""What a run trains, how its learning rate changes, and what it says when something is wrong."""

import json

import pytest
import torch
from safetensors.torch import load_file

from caffdet_cli.engine.job import new_job
from caffdet_cli.engine.optimizer import make_optimizer, schedule_factor
from caffdet_cli.engine.train import Trainer, train
from caffdet_cli.engine.watch import Moment, Watch
from caffdet_cli.errors import ConfigError, Diverged, OutputError
from caffdet_cli.main import main
from caffdet_cli.models.build import detector
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.train import LinearSchedule, StepSchedule, Train


def test_a_frozen_backbone_stays_and_the_rest_is_trained(tiny_files):
    settings = load_config(model=tiny_files.model).config
    network = detector(settings.model, 3)
    (rest,) = make_optimizer(network, Train(freeze_backbone=True)).param_groups
    trained = {id(parameter) for parameter in rest["params"]}
    for name, parameter in network.named_parameters():
        frozen = name.startswith("pyramid.backbone") or (
            name.endswith((".query.weight", ".query.bias")) and "fusions" not in name
        )
        assert (id(parameter) not in trained) == frozen, name


def test_backbone_and_rest_have_their_own_learning_rates(tiny_files):
    network = detector(load_config(model=tiny_files.model).config.model, 3)
    groups = make_optimizer(network, Train(freeze_backbone=False, lr=2e-4, lr_backbone=3e-5)).param_groups
    assert [(group["name"], group["lr"]) for group in groups] == [("rest", 2e-4), ("backbone", 3e-5)]


def test_a_step_schedule_drops_after_its_epochs():
    settings = Train(schedule=StepSchedule(drop=2, factor=0.1))
    assert [schedule_factor(settings, step, 10) for step in (0, 19)] == [1, 1]
    assert schedule_factor(settings, 20, 10) == pytest.approx(0.1)


def test_a_linear_schedule_ends_at_its_factor_and_warm_up_rises():
    settings = Train(epochs=10, warmup=4, schedule=LinearSchedule(factor=0.5))
    assert schedule_factor(settings, 0, 10) == pytest.approx(0.25)
    assert schedule_factor(settings, 50, 10) == pytest.approx(0.75)
    assert schedule_factor(settings, 100, 10) == pytest.approx(0.5)


def test_a_loss_that_is_not_finite_names_pictures_and_keeps_the_batch(tiny_files):
    job = new_job(tiny_files.dataset, model=tiny_files.model, output=tiny_files.folder / "run")
    trainer = Trainer(job, "cpu", Watch())
    with torch.no_grad():
        trainer.detector.heads.class_head.bias.fill_(float("nan"))
    with pytest.raises(Diverged, match=r"\.png.*classification"):
        trainer.run(type("Flag", (), {"signal": None})())
    kept = json.loads((job.folder / "diverged" / "batch.json").read_text())
    assert len(kept["pictures"]) == 2
    assert load_file(job.folder / "diverged" / "batch.safetensors")["pixels.0"].shape[:2] == (2, 3)


def test_bf16_trains_on_the_cpu(tiny_files):
    job = tiny_files.folder / "run"
    done = train(
        tiny_files.dataset,
        model=tiny_files.model,
        output=job,
        device="cpu",
        overrides=["train.precision=bf16", "train.epochs=1"],
    )
    assert done.best >= 0
    assert load_file(job / "checkpoints" / "last" / "model.safetensors")["decoder.norm.weight"].dtype == torch.float32


def test_an_existing_output_is_refused_and_overwrite_leaves_nothing_of_it(tiny_files):
    run = tiny_files.folder / "run"
    words = {"model": tiny_files.model, "output": run, "device": "cpu", "overrides": ["train.epochs=1"]}
    train(tiny_files.dataset, **words)
    with pytest.raises(OutputError, match="--overwrite"):
        train(tiny_files.dataset, **words)
    first = (run / "metrics.jsonl").read_text()
    train(tiny_files.dataset, **words, overwrite=True)
    assert (run / "metrics.jsonl").read_text() == first


def test_runs_are_numbered(tiny_files, monkeypatch):
    monkeypatch.chdir(tiny_files.folder)
    (tiny_files.folder / "runs" / "tiny-tiny-7").mkdir(parents=True)
    job = new_job(tiny_files.dataset, model=tiny_files.model)
    assert str(job.folder) == "runs/tiny-tiny-8"


def test_dry_run_says_what_it_would_do_and_writes_nothing(tiny_files, capsys, monkeypatch):
    monkeypatch.chdir(tiny_files.folder)
    before = sorted(tiny_files.folder.rglob("*"))
    assert main(["train", "--dataset", tiny_files.dataset, "--model", tiny_files.model, "--dry-run"]) == 0
    assert "9 training and 9 val pictures" in capsys.readouterr().out
    assert sorted(tiny_files.folder.rglob("*")) == before


def test_llvip_knows_its_model_and_says_how_to_fetch_its_weights(tiny_files, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    root = tiny_files.dataset.rsplit("/", 1)[0]
    words = ["train", "--dataset", "llvip", "--data-root", root, "--set", "data.classes=['person','car','bicycle']"]
    words += ["--set", "data.splits.test.annotations=['train.json']"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "caffdet download-weights lite-dino-r50-coco" in said
    assert "--from-scratch" in said
    assert main([*words, "--from-scratch", "--dry-run"]) == 0
    assert "would train ir+rgb from random weights into runs/caff-lite-dino-r50-llvip-1" in capsys.readouterr().out


def test_contradicting_words_are_refused(tiny_files):
    with pytest.raises(ConfigError, match="contradict"):
        new_job(tiny_files.dataset, weights="x", from_scratch=True)
    assert main(["train", "--resume", "x", "--dataset", "demo"]) == 2


def test_every_step_is_told(tiny_files):
    seen: list[Moment] = []

    class Listening(Watch):
        def stepped(self, moment: Moment) -> None:
            seen.append(moment)

    train(tiny_files.dataset, model=tiny_files.model, output=tiny_files.folder / "run", device="cpu", watch=Listening())
    assert [(moment.epoch, moment.step) for moment in seen] == [(e, s) for e in (1, 2, 3) for s in (1, 2, 3, 4)]
    assert seen[-1].seconds_left == 0


@pytest.mark.gpu
def test_trains_resumes_and_evaluates_on_cuda(tiny_files):
    from caffdet_cli.evaluation.detector import evaluate

    run = tiny_files.folder / "run"
    train(tiny_files.dataset, model=tiny_files.model, output=run, device="cuda", overrides=["train.epochs=1"])
    train(resume=run, device="cuda", overrides=["train.epochs=2"])
    assert set(evaluate(str(run), tiny_files.dataset, device="cuda").spectra) == {"pair", "rgb", "ir"}
