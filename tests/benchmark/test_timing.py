"""Times and memory."""

import time

import numpy as np
import pytest
import torch
from tiny import tiny_detector, tiny_pair_settings, tiny_settings

from caffdet_cli.benchmark.timing import (
    Memory,
    end_to_end,
    latency,
    measure,
    network_alone,
    noise_batch,
    write_pictures,
)
from caffdet_cli.data.images import read_picture
from caffdet_cli.inference.predictor import Predictor
from caffdet_cli.progress import Progress
from caffdet_cli.settings.conventions import Conventions

CPU = torch.device("cpu")


def test_latency_has_median_spread_and_throughput():
    found = latency([float(number) for number in range(1, 12)], batch=3)
    assert (found.median_ms, found.min_ms, found.p10_ms, found.p90_ms) == (6.0, 1.0, 2.0, 10.0)
    assert found.repetitions == 11
    assert found.per_second == pytest.approx(500)


def test_calls_for_warming_up_are_not_timed():
    calls = []

    def call():
        calls.append(1)
        time.sleep(0.1 if len(calls) <= 2 else 0.001)

    found = measure(call, CPU, 1, 5, 2, Progress(), "calls")
    assert len(calls) == 7
    assert found.repetitions == 5
    assert found.median_ms < 50


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        (tiny_settings(), "rgb"),
        (tiny_settings(spectra=("ir",)), "ir"),
        (tiny_pair_settings(), "pair"),
        (tiny_pair_settings(), "ir"),
    ],
)
def test_end_to_end_gives_detections_in_pixels_of_the_files(settings, given, tmp_path):
    predictor = Predictor(tiny_detector(settings), Conventions(spectra=settings.spectra), CPU)
    found = end_to_end(predictor, settings, tmp_path, (60, 90), 2, given)()
    assert len(found) == 2
    for each in found:
        assert each.boxes.shape == (settings.detections, 4)
        assert each.boxes[:, 2].max() > 1.5  # no fractions
        assert each.boxes.max() <= 90
    assert sorted(path.name for path in tmp_path.iterdir()) == (["ir", "rgb"] if given == "pair" else [given])


def test_the_network_alone_gives_predictions():
    settings = tiny_pair_settings()
    predictor = Predictor(tiny_detector(settings).eval(), Conventions(spectra=settings.spectra), CPU)
    found = network_alone(predictor, noise_batch(2, 64, 96, 2), "pair")()
    assert found.matching.logits.shape[1] == 2
    assert torch.isfinite(found.matching.boxes).all()


def test_pictures_have_the_size_that_was_asked_for(tmp_path):
    write_pictures(tmp_path / "ir", 33, 47, 2, grey=True)
    write_pictures(tmp_path / "rgb", 33, 47, 1, grey=False)
    assert read_picture(tmp_path / "ir" / "0001.jpg").shape[:2] == (33, 47)
    assert read_picture(tmp_path / "rgb" / "0000.jpg").shape[:2] == (33, 47)


def test_peak_memory_is_that_of_the_call():
    memory = Memory(CPU)
    peak = memory.peak_of(lambda: np.ones(2**23).sum())  # 64 MB
    if peak is None:
        pytest.skip("there is no account of resident memory here")
    assert 60 < peak < 120


def test_there_is_no_figure_where_memory_cannot_be_told():
    assert Memory(torch.device("mps")).peak_of(lambda: None) is None


@pytest.mark.gpu
def test_peak_memory_of_a_gpu_is_what_was_allocated():
    device = torch.device("cuda")
    peak = Memory(device).peak_of(lambda: torch.ones(2**23, device=device).sum())
    assert peak == pytest.approx(32, abs=1)
