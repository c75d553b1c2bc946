"""Every detector with every fusion, and on one spectrum: built, trained for a step, evaluated, saved and loaded."""

from typing import Any

import pytest
import torch
from tiny import tiny_batch, tiny_settings, tiny_targets

from caffdet_cli.engine.optimizer import make_optimizer
from caffdet_cli.inference.predictor import Predictor
from caffdet_cli.inference.prepare import prepare
from caffdet_cli.losses.detection import criterion_of
from caffdet_cli.losses.objective import Objective
from caffdet_cli.models.build import detector
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.train import Train
from caffdet_cli.weights.load import load_detector
from caffdet_cli.weights.store import save_weights

CLASSES = ("person", "car", "bicycle")
SMALL: dict[str, Any] = {"layers": 2, "heads": 4, "points": 2, "feedforward": 64}
ENCODERS: dict[str, dict[str, Any]] = {
    "standard": {"encoder": schema.DeformableEncoder(**SMALL)},
    "interleaved": {"encoder": schema.InterleavedEncoder(**SMALL, blocks=1, high_levels=2)},
    "key-aware": {"encoder": schema.InterleavedEncoder(**SMALL, blocks=1, high_levels=2), "key_aware": True},
}


def deformable(**more: Any) -> dict[str, Any]:
    decoder = schema.DeformableDecoder(**SMALL, **more)
    return {"decoder": decoder, "denoising": schema.Denoising(number=0), "position_shift": -0.5}


DETECTORS: dict[str, dict[str, Any]] = {
    "dino": {},
    "deformable-detr": deformable(),
    "deformable-detr, refined": deformable(refine=True),
    "deformable-detr, two stages": deformable(refine=True, two_stage=True),
    "h-detr": deformable(refine=True, two_stage=True, mixed_selection=True, look_forward_twice=True, one_to_many=9),
}
HIERARCHICAL = schema.CaffHierarchical(stages=2, kernels=(1, 3), reduced=16)
FUSIONS: dict[str, dict[str, Any]] = {
    "caff-lite": {"fusion": schema.CaffLite(stages=2, reduced=16)},
    "caff-hierarchical": {"fusion": HIERARCHICAL},
    "add": {"fusion": schema.AddFusion()},
    "concat": {"fusion": schema.ConcatFusion()},
    "each level its own": {
        "fusion": schema.ConcatFusion(),
        "fusion_levels": (HIERARCHICAL, schema.CaffLite(stages=1, reduced=8), schema.ConcatFusion()),
    },
}
EVERY = [(kind, encoder, fusion) for kind in DETECTORS for encoder in ENCODERS for fusion in (None, *FUSIONS)]
ALWAYS = [*((kind, "standard", fusion) for kind in DETECTORS for fusion in (None, *FUSIONS))]


def settings(kind: str, encoder: str, fusion: str | None) -> schema.Model:
    pair = {} if fusion is None else {"spectra": ("ir", "rgb"), **FUSIONS[fusion]}
    return tiny_settings(**{"levels": 3, **ENCODERS[encoder], **DETECTORS[kind], **pair})


@pytest.mark.parametrize(
    ("kind", "encoder", "fusion"),
    [*ALWAYS, *(pytest.param(*each, marks=pytest.mark.slow) for each in EVERY if each not in ALWAYS)],
)
def test_a_detector_is_built_trained_evaluated_saved_and_loaded(kind, encoder, fusion, tmp_path):
    chosen = settings(kind, encoder, fusion)
    torch.manual_seed(0)
    network, batch = detector(chosen, len(CLASSES)), tiny_batch([(130, 160), (112, 128)], len(chosen.spectra))
    train_step(network, chosen, batch)
    known = Conventions(spectra=chosen.spectra, label_spectrum=chosen.spectra[0], classes=CLASSES)
    save_weights(tmp_path / "model.safetensors", network.state_dict(), chosen, known)
    loaded = load_detector(str(tmp_path / "model.safetensors"))
    assert loaded.model == chosen
    theirs = loaded.detector.state_dict()
    assert all(torch.equal(each, theirs[name]) for name, each in network.state_dict().items())
    before = [found_by(each, known, batch) for each in (network, loaded.detector)]
    for mine, theirs in zip(*before, strict=True):
        assert mine.scores.shape == (min(chosen.detections, chosen.queries * len(CLASSES)),)
        assert mine.scores.min() >= 0
        assert torch.equal(mine.scores, theirs.scores)
        assert torch.equal(mine.boxes, theirs.boxes)


def train_step(network, chosen, batch):
    """Everything that may be trained gets a gradient, and moves."""
    objective = Objective(network.train(), criterion_of(chosen), chosen.denoising)
    optimizer = make_optimizer(network, Train(lr=1e-3, freeze_backbone=False))
    before = {name: each.detach().clone() for name, each in network.named_parameters() if each.requires_grad}
    losses = objective(batch, tiny_targets([2, 1]))
    assert torch.isfinite(losses.total)
    losses.total.backward()
    optimizer.step()
    left = {name for name in before if network.get_parameter(name).grad is None}
    assert not left, sorted(left)
    still = [name for name, each in network.named_parameters() if name in before and torch.equal(each, before[name])]
    assert len(still) < len(before) / 4, sorted(still)  # a first step leaves what starts at zero behind zero


def found_by(network, known, batch):
    return Predictor(prepare(network), known, torch.device("cpu"))(batch)
