"""The files that wrong requests are made with: made once, each test has its own copy."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import bad_input
import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `here/`, `weights/` and `cache/`."""
    root = tmp_path_factory.mktemp("made")
    bad_input.make_files(root)
    return root


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of a cell: files are hard links, to be replaced and never written into."""
    folder = tmp_path / "here"
    shutil.copytree(made / "here", folder, copy_function=os.link, symlinks=True)
    bad_input.replace("run/config.toml", str(made / "here"), str(folder))(folder)
    bad_input.cut("run/metrics.jsonl", 1)(folder)  # the one file that is written in place
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CAFFDET_CACHE", str(made / "cache"))
    monkeypatch.delenv("CAFFDET_DATA", raising=False)
    weights = bad_input.state(made / "weights")
    yield folder
    assert bad_input.state(made / "weights") == weights
    for path in folder.rglob("*"):  # pytest removes what it can read
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
