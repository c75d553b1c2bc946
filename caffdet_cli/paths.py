"""Where things lie: shipped configurations and sources, the cache, data sets; and writing files whole."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path

from caffdet_cli.errors import DiskFull, OutputError

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Folder `name` ("configs" or "ops"): inside the installed package, else beside it in a checkout."""
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (path := parent / name).is_dir():
            return path
    raise FileNotFoundError(f"no {name!r} folder in {_PACKAGE} or {_PACKAGE.parent}; reinstall caffdet")


def cache() -> Path:
    """Folder for what can be made or fetched again: `$CAFFDET_CACHE`, else the platform's convention."""
    chosen = os.environ.get("CAFFDET_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("caffdet", appauthor=False)


def data_root(dataset: str) -> Path | None:
    """`$CAFFDET_DATA/<dataset>`, or None where the variable is not set."""
    chosen = os.environ.get("CAFFDET_DATA")
    return Path(chosen).expanduser() / dataset if chosen else None


@contextmanager
def friendly_writes(target: Path) -> Iterator[None]:
    """Turn what the system says about a failed write of `target` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(
                f"no room to write {target}: {error.strerror}; free some space or choose another --output"
            ) from error
        if isinstance(error, (PermissionError, FileExistsError, NotADirectoryError)) or error.errno == errno.EROFS:
            raise OutputError(f"cannot write {target}: {error.strerror}; choose another --output") from error
        raise


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` in one step when the block ends well.

    Raises:
        DiskFull, OutputError: when the file cannot be written; nothing is left behind.
    """
    with friendly_writes(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            part.chmod(0o666 & ~_umask())
            yield part
            with part.open("r+b") as file:
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target`, whole or not at all."""
    with whole_file(target) as part:
        part.write_text(text, encoding="utf-8")


def _umask() -> int:
    """The process's file mode mask (there is no way to read it without setting it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def fresh_folder(target: Path, overwrite: bool) -> None:
    """Check that `target` may become a result folder: absent, empty, or `overwrite` was said.

    Raises:
        OutputError: if it holds something, or is a file.
    """
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file, a folder is needed; choose another --output")
    try:
        occupied = target.is_dir() and any(target.iterdir())
    except PermissionError as error:
        raise OutputError(f"cannot read {target}: {error.strerror}; choose another --output") from error
    if occupied and not overwrite:
        raise OutputError(f"{target} exists and is not empty; choose another --output or add --overwrite")


def numbered_folder(parent: Path, name: str, *, make: bool = True) -> Path:
    """`<parent>/<name>-<number>`, one above the highest number that is there.

    Args:
        make: make the folder, so that nobody else takes the number.

    Raises:
        DiskFull, OutputError: it cannot be made.
    """
    pattern = re.compile(re.escape(name) + r"-(\d+)$")
    while True:
        taken = [int(found[1]) for path in parent.glob("*") if (found := pattern.match(path.name))]
        folder = parent / f"{name}-{max(taken, default=0) + 1}"
        if not make:
            return folder
        with friendly_writes(folder):
            parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # somebody took it meanwhile: the next one
                folder.mkdir()
                return folder
