"""What is told where pictures are unlike those that a detector was trained on."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import tiny_detector, tiny_pair_settings

from caffdet_cli.data.rig import write_rig
from caffdet_cli.data.thermal import described
from caffdet_cli.evaluation.detector import evaluate
from caffdet_cli.inference.predict import predict
from caffdet_cli.main import main
from caffdet_cli.progress import Progress
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.data import CameraRule, PercentileRule, PerImageRule, RangeRule
from caffdet_cli.settings.model import Input
from caffdet_cli.settings.rig import Rig
from caffdet_cli.weights.store import save_weights

SMALL = Input(short_side=48, max_side=64)
DATA = '[data]\nname = "tiny"\nroot = "."\n{}\n[data.splits.val]\nannotations = ["train.json"]\n'
RANGE = RangeRule(low=7000, high=9000)


def rig(right: float = 2.0) -> Rig:
    return Rig(
        moved="rgb",
        homography=((1.0, 0.0, right), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        moved_size=(64, 48),
        fixed_size=(64, 48),
    )


class Heard(Progress):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.words: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def say(self, text: str) -> None:
        self.words.append(text)


def weights(path: Path, **known: object) -> str:
    settings = tiny_pair_settings(input=SMALL, outputs=3, labels="category_ids")
    facts = {"spectra": settings.spectra, "label_spectrum": "ir", "classes": ("person", "car", "bicycle")}
    conventions = Conventions(input=SMALL, category_ids=(0, 1, 2), **{**facts, **known})
    save_weights(path, tiny_detector(settings).state_dict(), settings, conventions)
    return str(path)


@pytest.fixture
def root(make_pairs) -> Path:
    """Two 8-bit pairs of 64x48."""
    return make_pairs(count=2).root


def with_counts(root: Path, low: float, high: float, kind: type = np.uint16) -> None:
    for path in (root / "ir").iterdir():
        counts = np.random.default_rng(0).uniform(low, high, (48, 64)).astype(kind)
        assert cv2.imwrite(str(path.with_suffix(".png" if kind == np.uint16 else ".tiff")), counts)


def heard_in_eval(root: Path, file: str, said: str = "", overrides: tuple[str, ...] = ()) -> list[str]:
    (root / "dataset.toml").write_text(DATA.format(said))
    heard = Heard()
    evaluate(file, str(root), device="cpu", spectrum="pair", workers=0, overrides=overrides, progress=heard)
    return heard.warnings


def heard_in_predict(root: Path, file: str, out: Path) -> list[str]:
    heard = Heard()
    predict(file, out, rgb=root / "rgb", ir=root / "ir", device="cpu", draw=False, progress=heard)
    return heard.warnings


def test_a_rig_of_the_training_that_the_data_set_lacks_is_told(root, tmp_path):
    file = weights(tmp_path / "w.safetensors", rig=rig())
    (told,) = heard_in_eval(root, file)
    assert "rgb pictures that a camera rig warps, and the data set names none" in told
    assert "--set data.rig=FILE" in told
    write_rig(rig(), tmp_path / "rig.toml")
    assert not heard_in_eval(root, file, overrides=(f"data.rig={tmp_path / 'rig.toml'}",))
    write_rig(rig(-3.0), root / "other.toml")
    assert not heard_in_eval(root, file, 'rig = "other.toml"')
    assert not heard_in_eval(root, weights(tmp_path / "plain.safetensors"), 'rig = "other.toml"')


def test_counts_that_the_range_of_the_weights_makes_black_are_told(root, tmp_path):
    file = weights(tmp_path / "w.safetensors", thermal=RANGE)
    with_counts(root, 100, 200)
    for told in (heard_in_eval(root, file), heard_in_predict(root, file, tmp_path / "out")):
        assert len(told) == 1
        assert told[0].startswith("the infrared pictures have counts from 1")
        assert "by range (low 7000, high 9000): nearly nothing is left of them" in told[0]
    with_counts(root, 6900, 9100)
    assert not heard_in_eval(root, file)
    assert not heard_in_predict(root, file, tmp_path / "again")


def test_8_bits_where_counts_were_trained_on_are_told(root, tmp_path):
    file = weights(tmp_path / "w.safetensors", thermal=RANGE)
    (told,) = heard_in_predict(root, file, tmp_path / "out")
    assert "have 8 bits, and the weights were trained on counts by range (low 7000, high 9000)" in told
    assert not heard_in_predict(root, weights(tmp_path / "plain.safetensors"), tmp_path / "again")


def test_a_rule_of_the_data_set_that_is_not_used_is_told(root, tmp_path):
    file = weights(tmp_path / "w.safetensors", thermal=RANGE)
    with_counts(root, 7000, 9000)
    (told,) = heard_in_eval(root, file, overrides=("data.thermal.low=0", "data.thermal.high=10"))
    assert "by the rule of the weights, range (low 7000, high 9000)" in told
    assert "that of the data set, percentile (low 0, high 10)" in told
    assert not heard_in_eval(root, file)
    assert not heard_in_eval(root, file, 'thermal = {name = "camera"}')
    assert not heard_in_eval(root, file, 'thermal = {name = "range", low = 7000, high = 9000}')


def test_weights_info_says_rule_and_rig(tmp_path, capsys):
    assert main(["weights", "info", weights(tmp_path / "w.safetensors", thermal=RANGE, rig=rig())]) == 0
    lines = {line[:14].strip(): line[14:] for line in capsys.readouterr().out.splitlines()}
    assert lines["thermal rule"] == "range (low 7000, high 9000)"
    assert lines["camera rig"] == "rgb of 64x48 is warped onto 64x48"
    assert main(["weights", "info", weights(tmp_path / "plain.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "percentile (low 1, high 99)" in out
    assert "camera rig" not in out


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (PercentileRule(), "percentile (low 1, high 99)"),
        (PerImageRule(), "per-image"),
        (RangeRule(low=0, high=80, degrees_per_count=0.04), "range (low 0, high 80, degrees_per_count 0.04)"),
        (CameraRule(), "camera (low 0.1, high 99.9, pictures 200)"),
    ],
)
def test_rules_in_words(rule, words):
    assert described(rule) == words
