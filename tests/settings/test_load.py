"""Names, files and overrides to settings: order, inheritance, origins, writing."""

import tempfile
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings import train
from caffdet_cli.settings.config import Config
from caffdet_cli.settings.lines import lines_of
from caffdet_cli.settings.load import flat, load_config, load_named, names, to_toml
from caffdet_cli.settings.model import CaffLite, NoFusion


def written(folder: Path, **files: str) -> Path:
    """Write NAME.toml for every keyword; the path of the first."""
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.toml"


def message(**arguments: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(**arguments)  # type: ignore[arg-type]
    return str(caught.value)


# shipped files


@pytest.mark.parametrize("shipped", names(), ids=lambda one: f"{one.kind}-{one.name}")
def test_every_shipped_file_is_valid_and_says_what_it_is(shipped):
    resolved = load_config(**{shipped.kind: shipped.name})
    assert resolved.origins.keys() == flat(resolved.config).keys()
    assert shipped.about


def test_published_caff_model_is_the_published_one():
    model = load_config(model="caff-lite-dino-r50").config.model
    assert model.spectra == ("ir", "rgb")
    assert model.fusion == CaffLite(stages=3, reduced=64)
    assert (model.outputs, model.labels, model.queries, model.backbone.depth) == (91, "category_ids", 900, 50)


def test_published_recipe_starts_from_coco_weights_with_frozen_backbones():
    settings = load_config(recipe="caff-lite").config.train
    assert settings == train.Train(weights="lite-dino-r50-coco")


def test_names_are_unique_within_a_kind():
    found = [(one.kind, one.name) for one in names()]
    assert len(set(found)) == len(found)


# order and origins


def test_nothing_given_is_all_defaults():
    resolved = load_config()
    assert resolved.config == Config()
    assert set(resolved.origins.values()) == {"default"}


def test_later_sources_win(tmp_path):
    lines = {"recipe": 5, "model": 6, "dataset": 7, "further": 8}
    paths = {name: written(tmp_path, **{name: f"[train]\nepochs = {value}\n"}) for name, value in lines.items()}
    given = {kind: str(paths[kind]) for kind in ("recipe", "model", "dataset")}
    assert load_config(recipe=given["recipe"]).config.train.epochs == 5
    assert load_config(recipe=given["recipe"], model=given["model"]).config.train.epochs == 6
    assert load_config(**given).config.train.epochs == 7
    assert load_config(**given, files=[paths["further"]]).config.train.epochs == 8
    resolved = load_config(**given, files=[paths["further"]], overrides=["train.epochs=9"])
    assert resolved.config.train.epochs == 9
    assert resolved.origins["train.epochs"] == "command line"
    assert load_config(**given).origins["train.epochs"] == str(paths["dataset"])


def test_origin_of_a_shipped_value_is_its_place_below_configs():
    origins = load_config(model="caff-lite-dino-r50").origins
    assert origins["model.fusion.name"] == "configs/caff-lite-dino/caff-lite-dino-r50.toml"
    assert origins["model.queries"] == "configs/lite-dino/lite-dino-r50.toml"
    assert origins["model.encoder.heads"] == "default"


def test_data_set_names_its_model_and_recipe(tmp_path):
    data = written(
        tmp_path, mine='[data]\nmodel = "caff-lite-dino-r50"\nrecipe = "own.toml"\n', own="[train]\nepochs = 3\n"
    )
    resolved = load_config(dataset=str(data))
    assert resolved.config.model.queries == 900
    assert resolved.config.train.epochs == 3
    assert resolved.origins["train.epochs"] == str(tmp_path / "own.toml")
    other = load_config(dataset=str(data), model="lite-dino-demo").config
    assert other.model == load_config(model="lite-dino-demo").config.model


def test_override_names_the_model_of_a_data_set(tmp_path):
    data = written(tmp_path, mine='[data]\nmodel = "caff-lite-dino-r50"\n')
    assert load_config(dataset=str(data), overrides=["data.model=lite-dino-demo"]).config.model.queries == 40


def test_model_that_a_data_set_names_wrongly_is_told_with_the_file(tmp_path):
    data = written(tmp_path, mine='[data]\nmodel = "caff-lite-dino-r5"\n')
    text = message(dataset=str(data))
    assert text.startswith(f"{data}: data.model = 'caff-lite-dino-r5': there is no model")
    assert "did you mean 'caff-lite-dino-r50'" in text


def test_folder_with_a_dataset_toml_is_a_data_set(tmp_path):
    written(tmp_path, dataset='[data]\nname = "mine"\nroot = "."\n')
    data = load_config(dataset=str(tmp_path)).config.data
    assert (data.name, data.root) == ("mine", str(tmp_path))


def test_root_is_relative_to_the_file_that_says_it(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    written(tmp_path, base='[data]\nroot = "pictures"\n')
    child = written(tmp_path / "sub", mine='extends = "../base.toml"\n')
    monkeypatch.chdir(tmp_path / "sub")
    assert load_config(dataset=str(child)).config.data.root == str(tmp_path / "pictures")
    assert load_config(dataset="mine.toml", overrides=["data.root=x"]).config.data.root == str(tmp_path / "sub" / "x")


def test_shipped_name_wins_over_a_file_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lite-dino-r50").mkdir()
    assert load_config(model="lite-dino-r50").config.model.queries == 900


# inheritance


def test_tables_merge_but_another_kind_replaces_the_table(tmp_path):
    base = '[model]\nspectra = ["rgb", "ir"]\n[model.fusion]\nname = "caff-lite"\nreduced = 8\n'
    child = 'extends = "base.toml"\n[model]\nspectra = ["rgb"]\n[model.fusion]\nname = "none"\n'
    mine = written(tmp_path, mine=child, base=base)
    resolved = load_config(model=str(mine))
    assert resolved.config.model.fusion == NoFusion()
    merged = load_config(model=str(tmp_path / "base.toml"), overrides=["model.fusion.stages=5"]).config.model.fusion
    assert merged == CaffLite(reduced=8, stages=5)


def test_kind_and_its_settings_may_be_overridden_in_any_order():
    for order in (1, -1):
        words = ["model.fusion.stages=5", "model.fusion.name=caff-lite", 'model.spectra=["ir", "rgb"]'][::order]
        assert load_config(overrides=words).config.model.fusion == CaffLite(stages=5)


def test_setting_of_a_default_kind_needs_no_name():
    assert load_config(overrides=["train.schedule.drop=11"]).config.train.schedule == train.StepSchedule(drop=11)


def test_name_of_a_data_set_is_a_title_and_not_a_kind(tmp_path):
    base = '[data]\nname = "base"\nlicence = "free"\n'
    mine = written(tmp_path, mine='extends = "base.toml"\n[data]\nname = "mine"\n', base=base)
    data = load_config(dataset=str(mine)).config.data
    assert (data.name, data.licence) == ("mine", "free")


def test_empty_table_changes_nothing(tmp_path):
    mine = written(tmp_path, mine='extends = "caff-lite-dino-r50"\n[model.fusion]\n')
    assert load_config(model=str(mine)).config.model.fusion == CaffLite()


def test_later_parents_win_over_earlier_ones(tmp_path):
    mine = written(
        tmp_path,
        mine='extends = ["a.toml", "b.toml"]\n',
        a="[train]\nepochs = 1\nbatch = 7\n",
        b="[train]\nepochs = 2\n",
    )
    settings = load_config(recipe=str(mine)).config.train
    assert (settings.epochs, settings.batch) == (2, 7)


def test_files_that_extend_each_other_are_told_as_a_circle(tmp_path):
    mine = written(tmp_path, a='extends = "b.toml"', b='extends = "a.toml"')
    assert message(model=str(mine)).endswith(f"{tmp_path}/a.toml -> {tmp_path}/b.toml -> {tmp_path}/a.toml")


def test_doubling_chains_of_extends_are_stopped(tmp_path):
    chain = {f"f{i}": f'extends = ["f{i + 1}.toml", "f{i + 1}.toml"]' for i in range(40)}
    mine = written(tmp_path, **chain, f40="")
    assert "more than 100 files" in message(model=str(mine))


@pytest.mark.parametrize("extends", ["3", '[1, "a"]', '""', "{a = 1}"])
def test_extends_of_another_type_is_told(tmp_path, extends):
    assert "extends is a file name or a list of them" in message(
        model=str(written(tmp_path, mine=f"extends = {extends}"))
    )


def test_shipped_name_that_two_folders_have_needs_its_folder(tmp_path):
    text = message(model=str(written(tmp_path, mine='extends = "demo"')))
    assert "'datasets/demo' or 'recipes/demo'" in text
    recipe = load_config(recipe="demo").config.train
    assert load_config(model=str(written(tmp_path, mine='extends = "recipes/demo"'))).config.train == recipe


# writing


def test_written_settings_read_back_the_same(tmp_path):
    config = load_config(model="caff-lite-dino-r18", recipe="from-scratch", overrides=["data.name=x"]).config
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert load_config(files=[path]).config == config


# config show


def test_named_file_is_read_as_what_it_holds(tmp_path):
    recipe = written(tmp_path, recipe="[train]\nepochs = 3\n")
    assert load_named(str(recipe)).config.train.epochs == 3
    data = written(tmp_path, data='[data]\nmodel = "caff-lite-dino-r50"\n')
    assert load_named(str(data)).config.model.queries == 900
    assert load_named("caff-lite", model="lite-dino-demo").config.model.queries == 40


def test_nothing_named_lists_what_exists():
    with pytest.raises(ConfigError, match="caff-lite-dino-r50"):
        load_named(None)
    with pytest.raises(ConfigError, match="did you mean 'caff-lite'"):
        load_named("caff-lit")
    with pytest.raises(ConfigError, match="names another one"):
        load_named("caff-lite", recipe="demo")


# lines


def test_lines_are_found_through_headers_dotted_keys_and_long_values():
    text = '''# a
a.b = 1
"c d" = """
[fake]
e = 1
"""
[t."x.y"]  # header
k = [
  1,
]
i = {j = {k = 1}}
'''
    lines = lines_of(text)
    assert lines["a", "b"] == 2
    assert lines[("c d",)] == 3
    assert lines["t", "x.y"] == 7
    assert lines["t", "x.y", "k"] == 8
    assert lines["t", "x.y", "i", "j", "k"] == 11
    assert ("fake",) not in lines


keys = st.text("abcde", min_size=1, max_size=3)
trees = st.recursive(
    st.integers() | st.booleans() | st.text() | st.floats(allow_nan=False) | st.lists(st.integers()),
    lambda inner: st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def outcome(**arguments: object) -> str:
    """The message of a refusal, empty where the settings are fine."""
    try:
        load_config(**arguments)  # type: ignore[arg-type]
    except ConfigError as error:
        return str(error)
    return ""


@given(st.dictionaries(keys, trees, max_size=4))
def test_any_toml_is_settings_or_a_message_with_file_and_line(tree):
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), any=tomli_w.dumps({"model": tree, "train": tree}))
        said = outcome(files=[path])
        assert said == "" or (said.startswith(str(path)) and "line" in said)


@given(st.text())
def test_any_text_after_set_is_settings_or_a_message(text):
    said = outcome(overrides=[text, f"train.weights={text}"])
    assert said == "" or "command line" in said


@pytest.mark.parametrize(
    "key",
    [
        "model.width=32",
        "model.encoder.layers=1000",
        "model.input.max_side=1000000",
        "model.backbone.levels=[3,1]",
        "data.name='../x/y'",
        "data.classes=['p','p']",
        "train.seed=-1",
    ],
)
def test_sizes_have_limits(key):
    assert f"{key.split('=')[0].rpartition('.')[2]}" in message(model="lite-dino-demo", overrides=[key])
