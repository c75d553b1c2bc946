"""Making one file of the cache: alone, from the first address that gives it, verified, and then in one step."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from caffdet_cli.errors import DiskFull, OutputError, RunError, WeightsError
from caffdet_cli.released.addresses import shown
from caffdet_cli.released.cache_files import alone
from caffdet_cli.released.checksums import Facts, difference, how_to_accept, measure, remember
from caffdet_cli.released.download import Changed, download
from caffdet_cli.released.meter import Meter, megabytes
from caffdet_cli.released.part import Part
from caffdet_cli.released.patience import Patience
from caffdet_cli.released.sniff import check_kind


class Fetched(NamedTuple):
    """A file that is at hand."""

    path: Path
    facts: Facts
    is_new: bool  # it was not at hand before


def make(
    target: Path, sources: list[str], expected: Callable[[], Facts], meter: Meter, patience: Patience, overwrite: bool
) -> Fetched:
    """Fetch `target` from the first source that gives it, while nobody else does.

    Args:
        sources: addresses, at least one.
        expected: asked once, when it is clear that something must be fetched.

    Raises:
        Changed, NotThere, RunError: no source gives it. DiskFull, OutputError: the cache does not take it.
    """
    with alone(target, lambda: meter.say(f"waiting for another caffdet that fetches {target.name}")) as locked:
        if not overwrite and target.is_file():  # another one has just made it
            return Fetched(target, measure(target), is_new=True)
        must = expected()
        part = Part(target, shared=locked)
        try:
            found, source = _from_first(sources, part, must, meter, patience)
            remember(target, found, source)
            part.finish()
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(_kept(part)) from stop
        except BaseException as end:
            if not isinstance(end, Exception):  # the process is told to end
                meter.say(_kept(part))
            raise
        finally:
            part.close()
        if not must.verifies:
            meter.say(f"{target.name}: no checksum is published; its sha256 is remembered from now on")
        return Fetched(target, found, is_new=True)


def _from_first(sources: list[str], part: Part, expected: Facts, meter: Meter, patience: Patience) -> tuple[Facts, str]:
    for number, url in enumerate(sources, start=1):
        meter.say(f"fetching {shown(url)} into {part.target}")
        try:
            return _verified(url, part, expected, meter, patience), url
        except (DiskFull, OutputError):
            raise
        except RunError as error:
            if number == len(sources):
                raise
            meter.say(f"the mirror does not help: {error}")
    raise ValueError("no sources")


def _verified(url: str, part: Part, expected: Facts, meter: Meter, patience: Patience) -> Facts:
    """Fetch into `part`, and look at what came."""
    resumed = part.length > 0
    download(url, part, expected, meter, patience)
    found = measure(part.path)
    if resumed and difference(found, expected):
        meter.say(f"{part.target.name}: what had come before does not belong to it; beginning anew")
        part.forget()
        download(url, part, expected, meter, patience)
        found = measure(part.path)
    wrong = difference(found, expected)
    if wrong or not expected.verifies:
        _refuse(wrong, url, part, expected)
    return found


def _refuse(wrong: str | None, url: str, part: Part, expected: Facts) -> None:
    """Throw away what came if it is `wrong`, or, where nobody knows what it should be, if it cannot be right."""
    if wrong:
        part.forget()
        raise Changed(
            f"{shown(url)}: {wrong}; the file was changed there, or on the way; "
            f"it was thrown away, and nothing was replaced{how_to_accept(part.target, expected)}"
        )
    try:
        check_kind(part.path, part.target.name)
    except WeightsError as error:
        part.forget()
        raise RunError(f"{shown(url)}: {error}") from error


def _kept(part: Part) -> str:
    if not part.length:
        return f"nothing of {part.target.name} had come"
    if not part.shared:
        return f"what came of {part.target.name} is not kept: the file system has no locks"
    return f"{megabytes(part.length)} of {part.target.name} are kept; the same command goes on from there"
