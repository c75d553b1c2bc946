"""Files in the cache: the lock that one caller has at a time, whole writes, and what went wrong with the disk."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caffdet_cli.errors import DiskFull, OutputError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_POLL = 0.1  # seconds


@contextmanager
def cache_writes(target: Path, *, kept: bool = False) -> Iterator[None]:
    """Turn what the system says about a failed write into the cache into one sentence.

    Args:
        kept: what is there by then stays, and the same command goes on from there.

    Raises:
        DiskFull, OutputError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        if error.errno in _NO_ROOM:
            raise DiskFull(
                f"no room to write {target}: {why}; {'what came is kept: ' if kept else ''}"
                "free some space and type the same again, or set CAFFDET_CACHE to a folder on another disk"
            ) from error
        raise OutputError(f"cannot write {target}: {why}; set CAFFDET_CACHE to a folder that can be written") from error


def write_whole(target: Path, text: str) -> None:
    """Write a small file in one step.

    Raises:
        DiskFull, OutputError: it cannot be written.
    """
    part = target.with_name(f".{target.name.removeprefix('.')}.{os.getpid()}.writing")
    with cache_writes(target):
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def alone(target: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Be the only one who makes `target`, as long as the block runs; ends with the process, however that ends.

    Args:
        waiting: called once where another process is at it.

    Returns:
        False on a file system without locks: others may make it at the same time.

    Raises:
        DiskFull, OutputError: the lock file cannot be written.
    """
    path = target.with_name(f".{target.name}.lock")
    with cache_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _wait(handle, waiting)
    finally:
        os.close(handle)  # gives the lock back; the file stays, because others may be waiting at it


def _wait(handle: int, waiting: Callable[[], None]) -> bool:
    told = False
    while True:
        try:
            if _try_lock(handle):
                return True
        except OSError:  # a file system without locks
            return False
        if not told:
            waiting()
        told = True
        time.sleep(_POLL)


def _try_lock(handle: int) -> bool:
    """Whether the lock could be had; raises OSError where there are no locks."""
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    import msvcrt

    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    except PermissionError:  # taken
        return False
    return True
