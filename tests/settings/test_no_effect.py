"""Settings of a model or a training where a command takes those of a data set only."""

import pytest
from tiny import tiny_detector, tiny_settings

from caffdet_cli.main import main
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.weights.store import save_weights


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "--weights", "w", "--dataset", "demo"),
        ("weights", "check", "{}", "--dataset", "demo"),
        ("visualize", "--dataset", "demo", "-o", "out"),
        ("data", "check", "demo"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("override", ["model.detections=10", "model.encoder.high_levels=2", "train.epochs=3"])
def test_settings_that_have_no_effect_are_refused(words, override, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if words[1] == "check" and words[0] == "weights":
        settings = tiny_settings(outputs=3)
        known = Conventions(spectra=settings.spectra, label_spectrum="rgb")
        save_weights(tmp_path / "w.safetensors", tiny_detector(settings).state_dict(), settings, known)
    assert main([*(word.format("w.safetensors") for word in words), "--set", override]) == 2
    assert f"--set {override}: only settings of the data set have an effect here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kept", "code"), [(60, 0), (61, 2)])
def test_more_boxes_than_queries_times_classes_are_refused_once_classes_are_known(
    kept, code, make_pairs, tmp_path, capsys
):
    root = make_pairs(count=3).root  # three classes
    (root / "dataset.toml").write_text(
        '[data]\nname = "x"\nroot = "."\n[data.splits.train]\nannotations = ["train.json"]\n'
        '[data.splits.val]\nannotations = ["train.json"]\n'
    )
    words = ["train", "--dataset", str(root), "--model", "caff-lite-dino-r18", "--recipe", "from-scratch", "--dry-run"]
    sets = ["--set", "model.queries=20", "--set", f"model.detections={kept}"]
    assert main([*words, "-o", str(tmp_path / "run"), *sets]) == code
    said = capsys.readouterr().err
    assert (f"model.detections = {kept} is more than model.queries = 20 times the 3 class slots" in said) == bool(code)
