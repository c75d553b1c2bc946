"""What the tests of downloads share: a file, an entry for it, and what may and may not be left in the cache."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from file_server import FileServer

from caffdet_cli.errors import RunError
from caffdet_cli.progress import Progress
from caffdet_cli.released.patience import Patience
from caffdet_cli.released.registry import Entry

CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(200_000)
OTHER = b"PK\x03\x04" + random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Patience(silence=0.3, tries=3, pause=0.01)
NAME = "weights.pth"


class Heard(Progress):
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


def entry(server: FileServer, **facts: object) -> Entry:
    plain = Entry("weights", "weights", "some weights", NAME, url=f"{server.address}/files/{NAME}", sha256=SHA256)
    return replace(plain, **facts)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def final_names(folder: Path) -> list[str]:
    return [name for name in names(folder) if not name.startswith(".")]


def refused(get: Callable[..., Path], cache: Path, says: str, **options: object) -> None:
    with pytest.raises(RunError, match=says) as caught:
        get(**options)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert final_names(cache) == []
