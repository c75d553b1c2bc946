"""Denormal numbers: where processors take them as 0."""

import pytest
import torch

from caffdet_cli.denormals import denormals_as_zero
from caffdet_cli.errors import DatasetError
from caffdet_cli.main import main


def test_denormal_numbers_are_zero_in_the_block_and_only_there():
    small = torch.full((4,), 1e-39)
    assert (small * 1.0).any()
    with denormals_as_zero():
        assert not (small * 1.0).any()
        with denormals_as_zero():
            pass
        assert not (small * 1.0).any()
    assert (small * 1.0).any()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("inference.predict.predict", ["predict", "--weights", "w.safetensors", "--rgb", "rgb", "-o", "out"]),
        (
            "inference.late.predict_late",
            ["predict", "--weights", "w", "--weights-ir", "v", "--rgb", "rgb", "--ir", "ir", "-o", "out"],
        ),
        ("evaluation.detector.evaluate", ["eval", "--weights", "w.safetensors", "--dataset", "demo"]),
        (
            "evaluation.miss_rate_detector.evaluate_miss_rate_of",
            ["eval", "--weights", "w.safetensors", "--dataset", "demo", "--metric", "mr"],
        ),
    ],
)
def test_commands_that_detect_take_them_as_zero(function, words, monkeypatch, capsys):
    seen = []

    def stand_in(*arguments, **named):
        seen.append(float(torch.full((4,), 1e-39).mul(1.0).sum()))
        raise DatasetError("seen enough")

    monkeypatch.setattr(f"caffdet_cli.{function}", stand_in)
    assert main(words) == DatasetError.exit_code
    assert "seen enough" in capsys.readouterr().err
    assert seen == [0.0]
    assert torch.full((4,), 1e-39).mul(1.0).any()
