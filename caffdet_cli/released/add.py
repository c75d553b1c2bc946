"""A released file that a person has fetched: checked, and copied to where names are looked up."""

import re
import shutil
from pathlib import Path

from caffdet_cli.errors import OutputError, RunError, WeightsError
from caffdet_cli.released.cache_files import alone, cache_writes
from caffdet_cli.released.checksums import Facts, difference, how_to_accept, measure, remember, remembered
from caffdet_cli.released.fetch import Ways, expected, place_of, ways
from caffdet_cli.released.meter import Meter
from caffdet_cli.released.registry import Entry, chosen, did_you_mean, registry
from caffdet_cli.released.sniff import check_kind
from caffdet_cli.released.verified import Fetched


def add_file(path: Path, name: str | None = None, *, overwrite: bool = False, meter: Meter | None = None) -> Fetched:
    """Copy a file into the cache under the name it was released with.

    Args:
        name: which released file it is; None: the one of its file name.

    Raises:
        WeightsError: it cannot be read, is none that was released, or not what it should be.
        RunError: its record does not answer.
        OutputError: there is another one already, or the cache cannot be written. DiskFull.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise WeightsError(f"{path} is not a file; give the one that was saved in a browser")
    entry = chosen([name])[0] if name else _of_file(path)
    meter, how = meter or Meter(), ways()
    check_kind(path, str(path))
    target = place_of(entry)
    with alone(target, lambda: meter.say(f"waiting for another caffdet that fetches {target.name}")):
        found = measure(path)
        must = _must(entry, target, how, meter)
        if wrong := difference(found, must):
            raise WeightsError(
                f"{path} is not the released {entry.file}: {wrong}; fetch it again{how_to_accept(target, must)}"
            )
        is_new = not _is_there(target, found, overwrite, path)
        if is_new:
            _copy(path, target)
        is_checked = must.verifies or not entry.record
        remember(target, found._replace(is_checked=is_checked), entry.url or entry.page)
    if not is_checked:
        meter.warn(
            f"{entry.file}: not checked, because nothing is asked offline; where there is a network, "
            f"caffdet download-weights {entry.name} checks it"
        )
    elif not must.verifies:
        meter.say(f"{entry.file}: no checksum is published; its sha256 is remembered from now on")
    return Fetched(target, found, is_new)


def _must(entry: Entry, target: Path, how: Ways, meter: Meter) -> Facts:
    """What it must be, as `fetch` would ask; offline, as far as that was asked before."""
    if how.offline:
        own = Facts(entry.size, entry.md5, entry.sha256, "the registry")
        note = remembered(target)
        return note if note and note.is_checked and not own.verifies else own
    try:
        return expected(entry, target, how, meter)
    except RunError as error:
        raise RunError(f"{error}; to add it unchecked, set CAFFDET_OFFLINE=1") from error


def _of_file(path: Path) -> Entry:
    """The entry of a file's name; browsers write "name (1).pth" for a second one."""
    entries = {entry.file: entry for entry in registry().values()}
    name = re.sub(r" ?\(\d+\)(?=\.[^.]+$)", "", path.name)
    if name in entries:
        return entries[name]
    raise WeightsError(
        f"no released file is called {path.name!r}; {did_you_mean(name, entries)}. If it was renamed, say which it is "
        "with --name NAME (caffdet download-weights --list); a file of your own needs no adding: --weights FILE"
    )


def _is_there(target: Path, found: Facts, overwrite: bool, path: Path) -> bool:
    """Whether the same file lies there already."""
    if not target.is_file():
        return False
    if target.samefile(path) or difference(measure(target), found) is None:
        return True
    if not overwrite:
        raise OutputError(f"{target} is there already, and another file; add --overwrite to replace it")
    return False


def _copy(path: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}.adding")
    with cache_writes(target):
        try:
            shutil.copyfile(path, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
