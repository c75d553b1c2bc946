"""The training loop."""

import os
import shlex
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from caffdet_cli.data.batches import Loaded, to_device
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.fingerprint import fingerprint
from caffdet_cli.data.loading import EpochSampler, Loader, closing_workers
from caffdet_cli.engine.average import MovingAverage
from caffdet_cli.engine.checkpoint import Position, Saved, read_last, restore_generators, save_best, save_last
from caffdet_cli.engine.job import Job, new_job, resumed_job
from caffdet_cli.engine.optimizer import backbones, freeze, make_optimizer, set_learning_rate
from caffdet_cli.engine.records import Metrics, check_threads, write_start
from caffdet_cli.engine.starting import start
from caffdet_cli.engine.step import optimise
from caffdet_cli.engine.stopping import StopFlag, stop_flag
from caffdet_cli.engine.watch import Moment, Watch
from caffdet_cli.errors import ConfigError, Stopped, WeightsError
from caffdet_cli.evaluation.coco import CocoReport, evaluate_coco
from caffdet_cli.evaluation.detector import to_categories
from caffdet_cli.inference.device import choose_device
from caffdet_cli.inference.predictor import Predictor
from caffdet_cli.inference.prepare import fold_frozen
from caffdet_cli.losses.detection import criterion_of
from caffdet_cli.losses.objective import Objective
from caffdet_cli.models.build import detector as build_detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.paths import friendly_writes
from caffdet_cli.progress import Bars
from caffdet_cli.values import Losses, Targets
from caffdet_cli.weights.start import Account


@dataclass(frozen=True)
class Trained:
    """What a run has come to."""

    folder: Path
    epochs: int
    best: float  # AP of the best checkpoint, 0..1; -1 where there is no object to find
    account: Account | None  # what became of the tensors of the starting weights


def train(
    dataset: str | None = None,
    *,
    model: str | None = None,
    recipe: str | None = None,
    weights: str | None = None,
    from_scratch: bool = False,
    resume: str | Path | None = None,
    output: str | Path | None = None,
    data_root: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    overrides: Sequence[str] = (),
    watch: Watch | None = None,
) -> Trained:
    """Train a detector, or go on with a run.

    Args:
        dataset: shipped name or TOML file; it names the model and recipe that are used by default.
        model, recipe: shipped name or TOML file.
        weights: what to start from; None: what the recipe says. `from_scratch`: random weights.
        resume: run folder to go on with, instead of `dataset`.
        output: run folder; None: `runs/<model>-<dataset>-<number>`.
        device: auto, cpu, cuda, cuda:1, mps.
        overrides: `dotted.key=value`.

    Raises:
        ConfigError, DatasetError, WeightsError, OutputError: the request is wrong.
        Diverged: the loss is not finite.
        Stopped: SIGTERM came; the step was finished and saved. KeyboardInterrupt likewise after Ctrl-C.
    """
    watch = watch or Watch(Bars())
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("training in several processes is not supported yet; start one, without torchrun")
    choose_device(device)  # a device that is not there is told before anything is made
    if resume is not None:
        return run(resumed_job(resume, overrides=overrides, progress=watch.progress), device, watch)
    if dataset is None:
        raise ConfigError("--dataset is missing: nothing says what to train on (caffdet config list shows what exists)")
    job = new_job(
        dataset,
        model=model,
        recipe=recipe,
        weights=weights,
        from_scratch=from_scratch,
        output=output,
        data_root=data_root,
        overwrite=overwrite,
        overrides=overrides,
        progress=watch.progress,
    )
    return run(job, device, watch)


def run(job: Job, device: str = "auto", watch: Watch | None = None) -> Trained:
    """Run a checked job to its end."""
    trainer = Trainer(job, device, watch or Watch())
    with stop_flag() as flag:
        trainer.run(flag)
    best = -1.0 if trainer.best is None else trainer.best
    return Trained(job.folder, job.config.train.epochs, best, trainer.account)


class Trainer:
    """One run: what it consists of, and the loop over epochs and steps."""

    def __init__(self, job: Job, device: str, watch: Watch):
        self.job, self.watch, self.settings = job, watch, job.config.train
        self.accelerator = accelerator(device, self.settings.precision)
        saved = read_last(job.folder) if job.resume else None
        set_seed(self.settings.seed)
        self.detector = build_detector(job.config.model, len(job.conventions.classes))
        self.account = start(self.detector, job, watch.progress) if saved is None else None
        self.detector.to(self.accelerator.device)
        criterion = criterion_of(job.config.model)
        classes = [slot for slot, name in enumerate(job.conventions.classes) if name is not None]
        self.objective = Objective(self.detector, criterion, job.config.model.denoising, classes)
        self.objective.to(self.accelerator.device)
        self.optimizer = make_optimizer(self.detector, self.settings)
        dataset = PairDataset(job.train, job.conventions, self.settings.augment, self.settings.seed)
        self.sampler = EpochSampler(len(dataset), self.settings.batch, self.settings.seed, shuffle=True, drop_last=True)
        self.batches = Loader(dataset, self.sampler, self.settings.workers, self.accelerator.device.type == "cuda")
        self.fingerprint = fingerprint(job.train)
        self.epoch, self.step, self.totals = 0, 0, dict[str, float]()
        self.best: float | None = None
        self.steps = self.sampler.batches
        with friendly_writes(job.folder):
            job.folder.mkdir(parents=True, exist_ok=True)
        if saved is not None:
            self._restore(saved)
        if self.settings.freeze_backbone:
            fold_frozen(self.detector)
        self.average = MovingAverage(self.detector, self.settings.average) if self.settings.average.decay else None
        if self.average is not None and saved is not None:
            self.average.restore(saved.average)
        if job.resume and self.accelerator.device.type == "cpu":
            check_threads(job.folder, watch.progress)
        if not job.resume:
            write_start(job)
        self.metrics = Metrics(job.folder, saved.position.metrics if saved else 0)

    def run(self, flag: StopFlag) -> None:
        """All epochs that are left."""
        trained = sum(each.numel() for group in self.optimizer.param_groups for each in group["params"])
        if self.account is not None:
            self.watch.filled(self.account.rows(self.job.config.model.spectra))
        self.watch.started(str(self.job.folder), trained, len(self.job.train.examples), str(self.accelerator.device))
        try:
            with closing_workers(self.batches):
                while self.epoch < self.settings.epochs:
                    self._epoch(flag)
        finally:
            self.watch.finished()

    def _epoch(self, flag: StopFlag) -> None:
        self.objective.train()
        if self.settings.freeze_backbone:
            for backbone in backbones(self.detector):
                freeze(backbone, drop_path=self.settings.frozen_drop_path)
        self.sampler.set_epoch(self.epoch, self.step)
        self.begun, self.first = time.monotonic(), self.step
        for batch, targets in self.batches:
            on_device = [Targets(*(part.to(self.accelerator.device) for part in each)) for each in targets]
            lr = set_learning_rate(self.optimizer, self.settings, self.epoch * self.steps + self.step, self.steps)
            losses = optimise(
                self.accelerator,
                self.objective,
                self.optimizer,
                to_device(batch, self.accelerator.device, self.job.conventions.input),
                on_device,
                self.settings.clip,
                self.job.folder / "diverged",
            )
            if self.average is not None:
                self.average.update(self.detector, self.epoch)
            self.step += 1
            self._count(losses, lr)
            if flag.signal is not None:
                self._stop(flag.signal)
            if self.settings.save_every and self.step % self.settings.save_every == 0 and self.step < self.steps:
                self._save()
        self._close_epoch(flag)

    def _close_epoch(self, flag: StopFlag) -> None:
        """Figures, validation and checkpoints at the end of an epoch; counts it only when all of it is done."""
        means = {name: total / max(1, self.step) for name, total in sorted(self.totals.items())}
        report = None
        if (self.epoch + 1) % self.settings.validate_every == 0 or self.epoch + 1 == self.settings.epochs:
            report = self.validate(flag)
        self.epoch, self.step, self.totals = self.epoch + 1, 0, {}
        self.metrics.write("epoch", epoch=self.epoch, **means)
        if report is not None:
            self.metrics.write("validation", epoch=self.epoch, split=self.job.val_split, **report.numbers)
            if self.best is None or report.ap > self.best:
                self.best = report.ap
                save_best(self.job.folder, self.judged, self.job.config.model, self.job.conventions)
        self._save()
        self.watch.validated(self.epoch, means.get("loss", 0.0), report)

    @property
    def judged(self) -> Detector:
        """What is validated: the moving average once there is one, else the detector itself."""
        return self.average.detector if self.average is not None and self.average.started else self.detector

    def validate(self, flag: StopFlag) -> CocoReport:
        """AP on the validation split, by the model's own spectra. Draws no random numbers.

        A signal stops it at once: the finished steps are saved, and the run goes on with the validation.
        """
        job = self.job
        sizes = {(example.height, example.width) for example in job.val.examples}
        batch = self.settings.batch if len(sizes) == 1 else 1  # padding changes results of CAFF
        dataset = PairDataset(job.val, job.conventions, augment=None, seed=0)
        batches = Loader(dataset, EpochSampler(len(dataset), batch, seed=0, shuffle=False), self.settings.workers)
        predictor = Predictor(self.judged, job.conventions, self.accelerator.device, self.settings.precision)
        with closing_workers(batches):
            shown = self.watch.validating().track(self._until(flag, batches), "validating", total=len(batches))
            found = dict(predictor.run(shown))
        return evaluate_coco(job.val, to_categories(found, job.conventions, job.val))

    def _until(self, flag: StopFlag, batches: Iterable[Loaded]) -> Iterator[Loaded]:
        for batch in batches:
            if flag.signal is not None:
                self._stop(flag.signal)
            yield batch

    def _count(self, losses: Losses, lr: float) -> None:
        """Add a step to the epoch's figures and tell it."""
        shown = {name: losses.terms[name] for name in ("classification", "box", "giou")}
        tensors = [losses.total, *losses.logged.values(), *shown.values()]
        values = torch.stack([each.detach().to(losses.total) for each in tensors]).tolist()  # the device waits once
        loss, logged, terms = values[0], values[1 : 1 + len(losses.logged)], values[1 + len(losses.logged) :]
        for name, value in [("loss", loss), *zip(losses.logged, logged, strict=True)]:
            self.totals[name] = self.totals.get(name, 0.0) + value
        pace = (time.monotonic() - self.begun) / (self.step - self.first)
        left = (self.settings.epochs - self.epoch) * self.steps - self.step
        named = dict(zip(shown, terms, strict=True))
        self.watch.stepped(
            Moment(self.epoch + 1, self.settings.epochs, self.step, self.steps, loss, lr, pace * left, named)
        )

    def _stop(self, number: int) -> None:
        """Save after a finished step and leave."""
        self._save()
        said = (
            f"stopped after step {self.step} of epoch {self.epoch + 1}, which is saved; "
            f"go on with: caffdet train --resume {shlex.quote(str(self.job.folder))}"
        )
        raise KeyboardInterrupt(said) if number == signal.SIGINT else Stopped(said)

    def _save(self) -> None:
        position = Position(self.epoch, self.step, self.totals, self.best, self.metrics.size, self.fingerprint)
        average = {} if self.average is None else self.average.state()
        save_last(
            self.job.folder,
            self.detector,
            self.optimizer,
            average,
            position,
            self.job.config.model,
            self.job.conventions,
        )

    def _restore(self, saved: Saved) -> None:
        position = saved.position
        if saved.model != self.job.config.model:
            raise WeightsError(
                f"{saved.source} is of another model than {self.job.folder / 'config.toml'} describes; "
                "restore the one or the other"
            )
        if position.fingerprint != self.fingerprint or saved.conventions != self.job.conventions:
            raise WeightsError(
                f"the training data of {self.job.folder} has changed since its last checkpoint; "
                "restore the data, or start a run from its weights with --weights"
            )
        self.detector.load_state_dict(saved.weights)
        self.optimizer.load_state_dict(saved.optimizer)
        restore_generators(saved.generators)
        self.epoch, self.step, self.totals, self.best = (
            position.epoch,
            position.step,
            dict(position.totals),
            position.best,
        )


def accelerator(device: str, precision: str) -> Accelerator:
    """accelerate's view of one process and its device."""
    chosen = choose_device(device, precision)
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    AcceleratorState._reset_state(reset_partial_state=True)  # it remembers the device and precision of the last run
    return Accelerator(cpu=chosen.type == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")
