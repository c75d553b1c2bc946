"""A file that is being fetched: what came lies beside its final place, with a note of where it came from."""

import json
import os
import shutil
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.errors import DiskFull
from caffdet_cli.released.addresses import shown
from caffdet_cli.released.cache_files import cache_writes, write_whole
from caffdet_cli.released.meter import megabytes

_MOST_BYTES = 100_000


class Origin(NamedTuple):
    """Where a part came from, and what tells whether the server's file is still the same."""

    url: str  # as `shown`
    etag: str = ""  # a strong one
    modified: str = ""  # Last-Modified
    size: int | None = None

    @property
    def validator(self) -> str:
        """For If-Range."""
        return self.etag or self.modified


def origin_of(url: str, answer: HTTPResponse, size: int | None) -> Origin:
    """What an answer says about its file."""
    etag = answer.headers.get("ETag", "")
    return Origin(shown(url), etag if etag.startswith('"') else "", answer.headers.get("Last-Modified", ""), size)


class Part:
    """The bytes of `target` that are there.

    Args:
        shared: later callers may go on with it; else it has a name of its own and goes when it is closed.
    """

    def __init__(self, target: Path, shared: bool = True):
        mark = "" if shared else f".{os.getpid()}"
        self.target = target
        self.path = target.with_name(f".{target.name}{mark}.part")
        self._note = target.with_name(f".{target.name}{mark}.part.json")
        self.shared = shared

    @property
    def length(self) -> int:
        with suppress(OSError):
            return self.path.stat().st_size
        return 0

    def kept(self) -> str:
        """For a message about a failure: that the next call goes on with it; empty where it does not."""
        if not self.shared or not self.length:
            return ""
        return f"{megabytes(self.length)} are kept, the same command goes on from there"

    def origin(self) -> Origin | None:
        """Where the bytes came from; None where there are none, or nobody knows."""
        if not self.length:
            return None
        with suppress(OSError, ValueError, RecursionError, LookupError, TypeError):
            content = json.loads(self._note.read_bytes()[:_MOST_BYTES])
            url, etag, modified = (content[key] for key in ("url", "etag", "modified"))
            size = content["size"] if isinstance(content["size"], int) else None
            if all(isinstance(each, str) and each.isascii() and each.isprintable() for each in (url, etag, modified)):
                return Origin(url, etag, modified, size)
        return None

    def begin(self, origin: Origin) -> None:
        """No bytes, and they will come from `origin`."""
        self.forget()
        write_whole(self._note, json.dumps(origin._asdict()))
        with cache_writes(self.path):
            self.path.write_bytes(b"")

    def check_room(self, size: int | None) -> None:
        """Raises: DiskFull: the rest of `size` bytes does not fit on the disk."""
        with cache_writes(self.path):
            free = shutil.disk_usage(self.path.parent).free
        if size is not None and size - self.length > free:
            raise DiskFull(
                f"{self.target.name} needs {megabytes(size - self.length)} more, and {self.path.parent} has room for "
                f"{megabytes(free)}; free some space, or set CAFFDET_CACHE to a folder on another disk"
            )

    def finish(self) -> None:
        """Make it `target`, in one step, and on the disk."""
        with cache_writes(self.target, kept=self.shared):
            with self.path.open("r+b") as file:  # Windows wants it writable
                os.fsync(file.fileno())
            self.path.replace(self.target)
        self.forget()

    def forget(self) -> None:
        """Remove what is there."""
        with cache_writes(self.path):
            self._note.unlink(missing_ok=True)  # first: bytes without a note are not gone on with
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        if not self.shared:
            self.forget()
