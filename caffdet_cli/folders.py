"""Result folders that appear whole or not at all."""

import errno
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from caffdet_cli.errors import OutputError
from caffdet_cli.paths import fresh_folder, friendly_writes


@contextmanager
def whole_folder(target: Path, *, overwrite: bool = False, replaced: Sequence[str] = ()) -> Iterator[Path]:
    """A temporary folder whose content becomes that of `target` when the block ends well.

    Where `target` exists already, files of the same name are replaced one by one; others stay as they are, but for
    those named in `replaced`: results that belong together.

    Raises:
        OutputError: `target` holds something and `overwrite` was not said, or it cannot be written.
        DiskFull: there is no room. Either way nothing is left behind.
    """
    fresh_folder(target, overwrite)
    with friendly_writes(target):
        # Inside a folder that exists: its parent may not be ours to write.
        place = target if target.is_dir() else target.parent
        place.mkdir(parents=True, exist_ok=True)
        work = place / f".{target.name}.{secrets.token_hex(4)}.part"
        try:  # from before the folder exists: an interruption finds no gap
            part = work / "whole"
            part.mkdir(parents=True)
            yield part
            _finish(part, target, work, overwrite, replaced)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _finish(part: Path, target: Path, work: Path, overwrite: bool, replaced: Sequence[str]) -> None:
    """Give the finished folder its name, or its files their place in a folder that is there."""
    if not target.is_dir():
        try:
            part.rename(target)
            return
        except OSError as error:  # somebody made it meanwhile
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    if not overwrite and any(path != work for path in target.iterdir()):
        raise OutputError(f"{target} was made meanwhile by another process; add --overwrite")
    _refuse_links(part, target)
    for name in replaced:
        if not (part / name).exists():
            (target / name).unlink(missing_ok=True)
    _move(part, target)


def _refuse_links(part: Path, target: Path) -> None:
    """Results do not go through a link to a folder inside the output: somebody else's files may lie there."""
    for source in part.iterdir():
        goal = target / source.name
        if source.is_dir() and goal.is_dir():
            if goal.is_symlink():
                raise OutputError(f"{goal} is a link to another folder; remove it, or choose another --output")
            _refuse_links(source, goal)


def _move(part: Path, target: Path) -> None:
    """Move the content of `part` into `target`, file by file where a folder is there already."""
    for source in sorted(part.iterdir()):
        goal = target / source.name
        if source.is_dir() and goal.is_dir():
            _move(source, goal)
        else:
            source.replace(goal)
