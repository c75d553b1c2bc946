"""A real server with bad habits, and a cache of each test's own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fetching import HASTY, Heard, entry
from file_server import FileServer, serving

from caffdet_cli.released.fetch import Ways, fetch
from caffdet_cli.released.meter import Meter


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, this test's own, and no environment that reaches elsewhere."""
    for name in list(os.environ):
        if name.startswith("CAFFDET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def get(server: FileServer, heard: Heard) -> Callable[..., Path]:
    """Fetch the entry at /files/weights.pth; facts of the entry and ways can be said."""

    def call(overwrite: bool = False, mirror: str = "", offline: bool = False, **facts: object) -> Path:
        how = Ways(mirror, offline, HASTY)
        return fetch(entry(server, **facts), how, Meter(heard), overwrite).path

    return call
