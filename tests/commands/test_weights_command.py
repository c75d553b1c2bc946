"""`caffdet weights info`, `convert` and `check`; `add` is tested with the downloads."""

import json
from pathlib import Path

import pytest
import torch
from weights.test_convert_weights import SMALL

from caffdet_cli.main import main
from caffdet_cli.models.build import detector
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.remap import to_published


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """A small file in the published form."""
    torch.manual_seed(0)
    model = Model(**SMALL)
    path = tmp_path_factory.mktemp("released") / "small.pth"
    torch.save({"model": to_published(detector(model, 91).state_dict(), model), "epoch": 3, "ema_model": {}}, path)
    return path


def test_info_says_what_a_file_is(released, capsys):
    assert main(["weights", "info", str(released)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Lite-DINO H3L1-(2+1)x3 with ResNet-18, 4 levels" in out
    assert "91: not named in the file" in out
    assert "encoder.high_levels" in out
    assert main(["weights", "info", str(released), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["schema"], value["written_by"], value["entries"]["epoch"]) == (1, "published code", 3)
    assert value["model"]["backbone"]["depth"] == 18


def test_convert_goes_there_and_back(released, tmp_path, capsys):
    ours, back = tmp_path / "a.safetensors", tmp_path / "b.pth"
    words = ["--classes", "coco", "--set", "model.encoder.high_levels=2"]
    assert main(["weights", "convert", str(released), "-o", str(ours), *words]) == 0
    assert f"{ours}: Lite-DINO H2L2-(2+1)x3" in capsys.readouterr().out
    assert main(["weights", "info", str(ours)]) == 0
    assert "91: person, bicycle, car" in capsys.readouterr().out
    assert main(["weights", "convert", str(ours), "--to", "published", "-o", str(back), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(back)
    first, second = (torch.load(each)["model"] for each in (released, back))
    assert first.keys() == second.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convert", "FILE"], "--output is missing: caffdet weights convert"),
        (["convert", "FILE", "-o", "out.bin"], "out.bin must end in .safetensors"),
        (["convert", "FILE", "-o", "out.safetensors", "--ema"], "holds no tensors"),
        (["convert", "FILE", "-o", "out.safetensors", "--classes", "a"], "names 1 classes, the head has 91 slots"),
        (["convert", "FILE", "-o", "out.safetensors", "--set", "x=1"], "must be model.KEY=VALUE"),
        (["info", "nothing.pth"], "nothing.pth is not there"),
        (["check", "FILE"], "--dataset is missing: caffdet weights check"),
        (["check", "FILE", "--dataset", "nothing"], "nothing"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(released, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["weights", *(str(released) if word == "FILE" else word for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_check_shows_both_orders(released, tmp_path, make_pairs, capsys):
    from tiny import tiny_detector, tiny_pair_settings

    from caffdet_cli.settings.conventions import Conventions
    from caffdet_cli.weights.store import save_weights

    pairs = make_pairs(count=3)
    (pairs.root / "data.toml").write_text(
        '[data]\nname = "tiny"\nroot = "."\nlabel_spectrum = "ir"\n'
        'splits = { val = { annotations = ["train.json"] } }\n'
    )
    settings = tiny_pair_settings(input={"short_side": 48, "max_side": 64})
    names = ("person", "car", "bicycle")
    conventions = Conventions(
        input=settings.input, spectra=("ir", "rgb"), label_spectrum="ir", classes=names, category_ids=(0, 1, 2)
    )
    weights = tmp_path / "tiny.safetensors"
    save_weights(weights, tiny_detector(settings).state_dict(), settings, conventions)
    words = ["weights", "check", str(weights), "--dataset", str(pairs.root / "data.toml"), "--device", "cpu"]
    assert main([*words, "--pictures", "2"]) == 0
    out = capsys.readouterr().out
    assert "2 pictures, percent" in out
    assert "ir, rgb" in out
    assert "rgb, ir" in out
    assert main([*words, "--json", "-q"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [row["streams"] for row in value["readings"]] == [["ir", "rgb"], ["rgb", "ir"]]
