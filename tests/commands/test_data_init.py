"""`caffdet data init` as typed."""

import json

import pytest

from caffdet_cli.main import main


@pytest.fixture
def root(make_pairs):
    return make_pairs().root


def test_it_says_what_it_found_and_what_to_do_next(root, capsys):
    assert main(["data", "init", str(root)]) == 0
    said = capsys.readouterr().out
    assert "train" in said
    assert "classes: person, car, bicycle; boxes in ir pixels" in said
    assert "note: there is neither val nor test" in said
    assert f"Next: caffdet data check {root / 'dataset.toml'}" in said
    assert main(["config", "show", str(root / "dataset.toml")]) == 0


def test_json_is_one_object(root, capsys):
    assert main(["data", "init", str(root), "-o", str(root / "mine.toml"), "--name", "mine", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["name"], report["file"]) == (1, "mine", str(root / "mine.toml"))
    assert report["splits"]["train"]["pictures"] == 4
    assert (report["spectra"], report["thermal"]) == (["rgb", "ir"], None)


def test_a_file_that_exists_needs_overwrite(root, capsys):
    assert main(["data", "init", str(root)]) == 0
    assert main(["data", "init", str(root)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["data", "init", str(root), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "SOURCE is missing"),
        (["nowhere"], "there is no folder"),
        ([".", "--name", "a/b"], "it names folders"),
        ([".", "-o", "rgb"], "is a folder; name the file"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_writes_nothing(root, monkeypatch, capsys, words, message):
    monkeypatch.chdir(root)
    assert main(["data", "init", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert not (root / "dataset.toml").exists()
