"""`caffdet config`: what exists, and every setting with its origin."""

import json
import sys

import pytest

from caffdet_cli.main import main
from caffdet_cli.settings.load import load_config, names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_list_shows_every_shipped_name_and_what_it_is(capsys):
    assert main(["config", "list"]) == 0
    out = capsys.readouterr().out
    assert all(one.name in out and one.about in out for one in names())


def test_list_as_json_is_one_object_with_a_schema(capsys):
    assert main(["config", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert {(one["kind"], one["name"]) for one in found["configurations"]} == {(one.kind, one.name) for one in names()}


def test_show_in_a_pipe_is_toml_with_the_origin_behind_each_value(capsys):
    assert main(["config", "show", "caff-lite-dino-r50", "--set", "train.epochs=3"]) == 0
    out = capsys.readouterr().out
    assert 'model.spectra = ["ir", "rgb"]  # configs/caff-lite-dino/caff-lite-dino-r50.toml\n' in out
    assert "train.epochs = 3  # command line\n" in out
    assert "train.seed = 42  # default\n" in out
    shown = tomllib.loads(out)
    assert shown == load_config(model="caff-lite-dino-r50", overrides=["train.epochs=3"]).config.model_dump(mode="json")


def test_shown_lines_are_a_file_that_means_the_same(capsys, tmp_path):
    main(["config", "show", "caff-lite-dino-r18", "--recipe", "from-scratch"])
    (tmp_path / "mine.toml").write_text(capsys.readouterr().out)
    expected = load_config(model="caff-lite-dino-r18", recipe="from-scratch").config
    assert load_config(files=[tmp_path / "mine.toml"]).config == expected


def test_shown_fusions_of_levels_are_a_file_that_means_the_same(capsys, tmp_path):
    levels = 'model.fusion_levels=[{name="caff-lite"}, {name="caff-hierarchical"}, {name="concat"}, {name="add"}]'
    main(["config", "show", "caff-lite-dino-r50", "--set", levels])
    (tmp_path / "mine.toml").write_text(capsys.readouterr().out)
    expected = load_config(model="caff-lite-dino-r50", overrides=[levels]).config
    assert load_config(files=[tmp_path / "mine.toml"]).config == expected


def test_show_as_json_has_value_and_origin(capsys):
    assert main(["config", "show", "caff-lite", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == 1
    assert shown["settings"]["train.weights"] == {
        "value": "lite-dino-r50-coco",
        "origin": "configs/recipes/caff-lite.toml",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "nothing to show; name one of: "),
        (["caff-lite-dino-r5"], "did you mean 'caff-lite-dino-r50'"),
        (["--set", "model.querys=3", "--model", "lite-dino-r50"], "unknown setting; did you mean 'queries'?"),
        (["no/such.toml"], "there is no file no/such.toml"),
        (["caff-lite", "--recipe", "demo"], "caff-lite is a recipe, and --recipe demo names another one"),
    ],
)
def test_mistake_is_one_error_on_standard_error(words, expected, capsys):
    assert main(["config", "show", *words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert expected in err


def test_config_alone_lists_its_commands_and_exits_2(capsys):
    assert main(["config"]) == 2
    assert "show" in capsys.readouterr().err
