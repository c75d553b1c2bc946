"""`caffdet visualize`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from caffdet_cli.main import main


@pytest.fixture
def dataset(make_pairs: Callable[..., object], tmp_path: Path) -> str:
    make_pairs(count=4)
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nname = "mine"\nroot = "pairs"\n[data.splits.val]\nannotations = ["train.json"]\n')
    return str(path)


def test_it_draws_and_says_where(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", "--dataset", dataset, "-o", str(tmp_path / "out"), "--limit", "2"]) == 0
    shown = capsys.readouterr()
    assert "2 pairs of 4" in shown.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.jpg", "001.jpg", "sheet.jpg"]


def test_json_is_one_object(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", "--dataset", dataset, "-o", str(tmp_path / "out"), "--limit", "0", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["of"], len(report["pictures"])) == (1, 4, 4)
    assert Path(report["sheet"]).is_file()


def test_the_demo_needs_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CAFFDET_DATA", raising=False)
    assert main(["visualize", "--dataset", "demo", "-o", str(tmp_path / "out"), "--limit", "1", "-q"]) == 0
    assert (tmp_path / "out" / "val_0000.jpg").is_file()


@pytest.mark.parametrize("words", [[], ["--dataset", "demo"], ["-o", "out"]])
def test_without_what_it_needs_it_says_what_to_type(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "caffdet visualize --dataset" in shown.err
    assert "demo" in shown.err


def test_an_occupied_folder_and_a_wrong_file_are_told(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", "--dataset", dataset, "-o", str(tmp_path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    (tmp_path / "broken.json").write_text('[{"image_id": 0, ')
    words = ["visualize", "--dataset", dataset, "-o", str(tmp_path / "out"), "--json"]
    assert main([*words, "--predictions", str(tmp_path / "broken.json")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "broken.json" in shown.err
    assert not (tmp_path / "out").exists()


def test_a_data_set_that_does_not_exist_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["visualize", "--dataset", "demmo", "-o", str(tmp_path / "out")]) == 2
    assert "demo" in capsys.readouterr().err
