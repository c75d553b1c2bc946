"""A server, and a cache and a list of released files of each test's own."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cached import NAME, SHA256, final_names
from released.file_server import FileServer, serving

from caffdet_cli.main import main


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, this test's own; with files of this machine's server in the list."""
    for name in list(os.environ):
        if name.startswith("CAFFDET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    own = tmp_path / "own.toml"
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CAFFDET_REGISTRY", str(own))
    monkeypatch.setenv("CAFFDET_TIMEOUT", "20")
    monkeypatch.chdir(tmp_path)
    url = f'url = "{server.address}/files'
    own.write_text(
        f'[mine]\nkind = "weights"\nabout = "mine"\nfile = "{NAME}"\n{url}/{NAME}"\nsha256 = "{SHA256}"\n'
        f'[second]\nkind = "weights"\nabout = "of a record"\nfile = "second.pth"\n{url}/second.pth"\n'
        f'record = "{server.address}/api/records/7"\n'
        '[manual]\nkind = "weights"\nabout = "by hand"\nfile = "manual.pth"\npage = "https://drive.example/folder"\n'
    )
    return tmp_path / "cache" / "weights"


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What a command with --json says."""

    def ask(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert found.pop("schema") == 1
        return found

    return ask


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], cache: Path) -> Callable[..., str]:
    """The sentence of a command that fails and leaves nothing under a final name."""

    def ask(code: int, *words: str) -> str:
        assert main(list(words)) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert final_names(cache) == []
        return err[err.index("error: ") :]

    return ask
