"""What is said of settings that are wrong, and of files that are hostile."""

import os
from pathlib import Path

import pytest

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings.load import load_config, names


def written(folder: Path, **files: str) -> Path:
    """Write NAME.toml for every keyword; the path of the first."""
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.toml"


def message(**arguments: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(**arguments)  # type: ignore[arg-type]
    return str(caught.value)


# messages


def test_all_problems_come_at_once_with_file_line_and_key(tmp_path):
    mine = written(
        tmp_path,
        mine="""# mine
[model]
querys = 3
spectra = ["ir", "rgv"]

[model.backbone]
levels = [
  0,
  7,
]
depth = 51
[train]
epochs = 0
lr = "fast"
schedule = {name = "linear", drop = 3}
[data.splits.train]
rgb = 1
""",
    )
    assert message(files=[mine], overrides=["train.batch=1.5"]).split("\n") == [
        "command line: 1 problem(s)",
        "  train.batch = 1.5: must be a whole number",
        f"{mine}: 9 problem(s)",
        "  line 3: model.querys: unknown setting; did you mean 'queries'?",
        "  line 4: model.spectra[1] = 'rgv': must be 'rgb' or 'ir'; did you mean 'rgb'?",
        "  line 7: model.backbone.levels[1] = 7: must be at most 3",
        "  line 11: model.backbone.depth = 51: must be 10, 18, 34, 50, 101 or 152",
        "  line 13: train.epochs = 0: must be at least 1",
        "  line 14: train.lr = 'fast': must be a number",
        "  line 15: train.schedule.drop: unknown setting of schedule 'linear'; train.schedule.name = 'step' has it",
        "  line 16: data.splits.train.annotations: must be given",
        "  line 17: data.splits.train.rgb = 1: must be text in quotes",
    ]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("epochs=3", "command line: epochs: unknown setting; did you mean 'train.epochs'?"),
        ("model.heads=3", "did you mean 'model.decoder.heads' or 'model.encoder.heads'?"),
        ("train.lr=0", "command line: train.lr = 0: must be more than 0"),
        ("train.augment.flip=2", "must be at most 1"),
        ("train.augment.crop_range=[1]", "train.augment.crop_range[1]: must be given"),
        ("train.freeze_backbone=perhaps", "train.freeze_backbone = 'perhaps': must be true or false"),
        ("model.backbone.levels=[]", "model.backbone.levels = []: must have at least 1 entries, has 0"),
        ("model.spectra=[ir]", 'must be a list; the shell takes quotes away, write --set \'KEY=["a", "b"]\''),
        ("model=3", "command line: model = 3: must be a table of settings"),
        (
            "model.fusion.name=caff",
            "model.fusion.name = 'caff': must be 'caff-lite', 'caff-hierarchical', 'add', 'concat' or 'none'; "
            "did you mean 'caff-lite'?",
        ),
        ('model.spectra=["ir","rgb"]', "two spectra need a fusion"),
        ('data.splits.validation.annotations=["x"]', "data.splits.validation: must be 'train', 'val' or 'test'"),
        ("train.epochs", "command line: --set train.epochs: write KEY=VALUE, for example train.epochs=12"),
        ("=3", "write KEY=VALUE"),
        ("a..b=3", "write KEY=VALUE"),
    ],
)
def test_problem_of_one_override_is_one_line(override, expected):
    text = message(overrides=[override])
    assert "\n" not in text
    assert expected in text


def test_rule_between_settings_names_the_file_that_spoke_last(tmp_path):
    mine = written(tmp_path, mine='[model]\nspectra = ["rgb", "rgb"]\n')
    assert message(model=str(mine)).startswith(f"{mine}: line 1: model: spectra names 'rgb' twice")


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [("model", "caff-lite-dino-r5O", "caff-lite-dino-r50"), ("recipe", "caf-lite", "caff-lite")],
)
def test_unknown_name_gets_the_nearest_and_the_list(kind, name, near):
    text = message(**{kind: name})
    assert f"there is no {kind} {name!r}; did you mean {near!r}" in text
    assert all(one.name in text for one in names() if one.kind == kind)


def test_missing_file_gets_the_nearest_file(tmp_path):
    mine = written(tmp_path, mine="")
    assert message(model=str(tmp_path / "mien.toml")) == f"there is no file {tmp_path}/mien.toml; did you mean {mine}?"
    assert "no folder" in message(model=str(tmp_path / "x" / "mine.toml"))


def test_raw_data_set_gets_the_command_that_converts_it(tmp_path):
    (tmp_path / "infrared" / "train").mkdir(parents=True)
    text = message(dataset=str(tmp_path))
    assert text.endswith(f"it looks like raw LLVIP, convert it first: caffdet convert llvip {tmp_path} -o DIR")


# hostile files


def test_broken_toml_is_told_with_its_line(tmp_path):
    mine = written(tmp_path, mine="[model]\nqueries = \n")
    assert message(model=str(mine)).startswith(f"{mine}: line 2: this is not TOML: ")


def test_unclosed_table_at_the_end_is_told(tmp_path):
    assert "line 2: this is not TOML" in message(model=str(written(tmp_path, mine="\n[model")))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff\xfe\x00", "is not a text file"),
        (b"PK\x03\x04\x80\x81", "is not a text file"),
        (b"# " + b"x" * 1_000_001, "is larger than 1000 kB"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5_000, "huge number"),
        (b"\n" + b"a." * 400_000 + b"a = 1", "line 2: a key of more than 100 parts"),
        (b"b = {" + b"'a' . " * 100_000 + b"a = 1}", "a key of more than 100 parts"),
        (b"a" * 900_000, "line 1: this is not TOML"),
    ],
)
def test_file_that_is_no_configuration_is_one_sentence(tmp_path, content, expected):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    text = message(model=str(path))
    assert expected in text
    assert len(text) < 400


def test_pipes_and_folders_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    assert message(model=str(tmp_path / "pipe.toml")).endswith("is not a file")
    assert "is a folder" in message(model=str(tmp_path))
    assert message(model="") == "the name of a model is empty; give a shipped name or a TOML file"
    assert "cannot read" in message(model="a\0b.toml")
    assert "cannot read" in message(model="x" * 300 + ".toml")


def test_thousands_of_wrong_keys_make_a_short_message(tmp_path):
    mine = written(tmp_path, mine="[train]\n" + "\n".join(f"k{i} = 1" for i in range(20_000)))
    text = message(files=[mine])
    assert text.startswith(f"{mine}: 20000 problem(s)")
    assert text.endswith("and 19980 more")


def test_windows_line_ends_and_byte_order_mark_are_accepted(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\r\nepochs = 4\r\n")
    assert load_config(recipe=str(path)).config.train.epochs == 4


def test_more_detections_than_the_queries_can_give_are_refused():
    text = message(overrides=["model.queries=20", "model.outputs=2", "model.detections=41"])
    assert "detections = 41 is more than queries = 20 times outputs = 2" in text
    load_config(overrides=["model.queries=20", "model.outputs=91", "model.detections=1820"])
    load_config(overrides=["model.queries=20", "model.detections=41"])  # the data set decides how many classes
    load_config(overrides=["model.queries=20", "model.outputs=2"])  # the default keeps what there is
