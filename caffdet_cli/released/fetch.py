"""From a released file or an address to a whole, verified file in the cache.

`$CAFFDET_MIRROR`: an address below which files lie by their names; tried first, checked like the original. A cache's
folder `weights/` behind a web server is one. `$CAFFDET_OFFLINE`: nothing is fetched.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from caffdet_cli.errors import DiskFull, RunError, WeightsError
from caffdet_cli.paths import cache
from caffdet_cli.released.addresses import cached_name, check_typed
from caffdet_cli.released.checksums import Facts, difference, measure, parse_note, remembered
from caffdet_cli.released.meter import Meter
from caffdet_cli.released.patience import Patience, from_environment, patiently
from caffdet_cli.released.registry import Entry, registry
from caffdet_cli.released.transport import length_of, opened
from caffdet_cli.released.verified import Fetched, make
from caffdet_cli.released.zenodo import ask_record, fetch_small


@dataclass(frozen=True)
class Ways:
    """How files are fetched."""

    mirror: str = ""
    offline: bool = False
    patience: Patience = field(default_factory=Patience)


def ways(offline: bool = False) -> Ways:
    """As the environment says.

    Raises:
        ConfigError, WeightsError: a variable is wrong.
    """
    mirror = os.environ.get("CAFFDET_MIRROR", "").rstrip("/")
    if mirror:
        check_typed(mirror)
    said = os.environ.get("CAFFDET_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")
    return Ways(mirror, offline or said, from_environment())


def place_of(entry: Entry) -> Path:
    """Where a released file lies once it is at hand."""
    return cache() / "weights" / entry.file


def fetch(entry: Entry, ways: Ways, meter: Meter, overwrite: bool = False) -> Fetched:
    """A released file, checked; fetched where it is not at hand.

    Raises:
        WeightsError: a person must fetch it, or --offline was said.
        Changed, RunError: it broke, or is another one than it was; an older file stays.
        DiskFull, OutputError: the cache does not take it.
    """
    target = place_of(entry)
    if not overwrite and (found := _at_hand(target, _known(entry, target))):
        return found
    if entry.page and not ways.mirror:
        raise WeightsError(by_hand(entry))
    _refuse_offline(entry.name, ways)
    sources = [f"{ways.mirror}/{quote(entry.file)}"] if ways.mirror else []
    sources += [entry.url] if entry.url else []
    try:
        return make(target, sources, lambda: _expected(entry, target, ways, meter), meter, ways.patience, overwrite)
    except RunError as error:
        if entry.page and not isinstance(error, DiskFull):
            raise WeightsError(f"{error}\n{by_hand(entry)}") from error
        raise


def fetch_address(address: str, ways: Ways, meter: Meter) -> Path:
    """The file at an address that somebody typed; fetched where it is not at hand.

    Raises:
        As `fetch`.
    """
    check_typed(address)
    if entry := next((each for each in registry().values() if each.url == _bare(address)), None):
        return fetch(entry, ways, meter).path
    target = cache() / "weights" / cached_name(address)
    if target.is_file():
        return target
    _refuse_offline(address, ways)
    return make(target, [address], lambda: remembered(target) or Facts(), meter, ways.patience, overwrite=False).path


def size_of(entry: Entry, ways: Ways, meter: Meter) -> int | None:
    """Bytes that `fetch` would take, asked of the server where nobody has told; None where it does not say."""
    target = place_of(entry)
    known = _known(entry, target)
    if known.size is not None or ways.offline or entry.page:
        return known.size
    try:
        if entry.record:
            return ask_record(entry.record, entry.file, ways.patience, meter.say).size
        return patiently(entry.url, lambda: _head(entry.url, ways.patience), ways.patience, meter.say)
    except RunError as error:
        meter.warn(f"{entry.name}: {error}")
        return None


def by_hand(entry: Entry) -> str:
    """What a person has to do."""
    return (
        f"{entry.name} lies where programs cannot fetch it: open {entry.page}, save {entry.file}, "
        f"then type: caffdet weights add {entry.file}"
    )


def _at_hand(target: Path, known: Facts) -> Fetched | None:
    """The file that is there, if it is what it should be."""
    if not target.is_file():
        return None
    found = measure(target)
    if wrong := difference(found, known):
        raise RunError(f"{target} is damaged, or another file: {wrong}; fetch it again with --overwrite")
    return Fetched(target, found, is_new=False)


def _known(entry: Entry, target: Path) -> Facts:
    """What is known of a file without asking anybody."""
    own = Facts(entry.size, entry.md5, entry.sha256, "the registry")
    return own if own.verifies else remembered(target) or own


def _expected(entry: Entry, target: Path, ways: Ways, meter: Meter) -> Facts:
    """What the file must be, as far as anybody tells."""
    known = _known(entry, target)
    if known.verifies or not entry.record:
        return known
    try:
        return ask_record(entry.record, entry.file, ways.patience, meter.say)
    except RunError:
        if not ways.mirror:
            raise
        return _note_of_mirror(entry, ways, meter)


def _note_of_mirror(entry: Entry, ways: Ways, meter: Meter) -> Facts:
    """A network that has a mirror may have nothing else: the mirror tells what its owner's cache remembers."""
    address = f"{ways.mirror}/{quote(entry.file)}.json"
    text = patiently(address, lambda: fetch_small(address, ways.patience), ways.patience, meter.say)
    try:
        return parse_note(text, f"the mirror's note {address}")
    except (ValueError, RecursionError) as error:
        raise RunError(f"{address} is no note of caffdet ({error}); copy it from the cache beside the file") from error


def _refuse_offline(what: str, ways: Ways) -> None:
    if ways.offline:
        raise WeightsError(
            f"{what} is not at hand, and nothing is fetched offline; leave out --offline (or unset CAFFDET_OFFLINE)"
        )


def _head(url: str, patience: Patience) -> int | None:
    with opened(url, patience.silence, method="HEAD") as answer:
        return length_of(answer)


def _bare(address: str) -> str:
    """Without what does not change the file: Zenodo's addresses are given with ?download=1."""
    parts = urlsplit(address)
    return parts._replace(query="" if parts.query == "download=1" else parts.query, fragment="").geturl()
