"""From a released file or an address to a whole, verified file in the cache.

`$CAFFDET_MIRROR`: an address below which files lie by their names; tried first, checked like the original. A cache's
folder `weights/` behind a web server is one. `$CAFFDET_OFFLINE`: nothing is fetched.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from caffdet_cli.errors import DiskFull, OutputError, RunError, WeightsError
from caffdet_cli.paths import cache
from caffdet_cli.released.addresses import cached_name, check_typed, shown
from caffdet_cli.released.checksums import Facts, difference, measure, parse_note, remember, remembered
from caffdet_cli.released.meter import Meter
from caffdet_cli.released.patience import Patience, from_environment, patiently
from caffdet_cli.released.registry import Entry, registry
from caffdet_cli.released.transport import NotThere, length_of, opened
from caffdet_cli.released.verified import Fetched, make
from caffdet_cli.released.zenodo import ask_record, fetch_small

_WHOLE = 64  # digits of a sha256


@dataclass(frozen=True)
class Ways:
    """How files are fetched."""

    mirror: str = ""
    offline: bool = False
    patience: Patience = field(default_factory=Patience)


def ways() -> Ways:
    """As the environment says.

    Raises:
        ConfigError, WeightsError: a variable is wrong.
    """
    mirror = os.environ.get("CAFFDET_MIRROR", "").rstrip("/")
    if mirror:
        check_typed(mirror)
    offline = os.environ.get("CAFFDET_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")
    return Ways(mirror, offline, from_environment())


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
    if not overwrite and (found := _at_hand(entry, target, ways, meter)):
        return found
    if entry.page and not ways.mirror:
        raise WeightsError(by_hand(entry))
    _refuse_offline(entry.name, ways)
    must = partial(expected, entry, target, ways, meter)
    try:
        return make(target, sources_of(entry, ways), must, meter, ways.patience, overwrite)
    except RunError as error:
        if entry.page and not isinstance(error, DiskFull):
            raise WeightsError(f"{error}\n{by_hand(entry)}") from error
        raise


def sources_of(entry: Entry, ways: Ways) -> list[str]:
    """Where a program can fetch it, in the order in which that is tried."""
    return [each for each in (ways.mirror and f"{ways.mirror}/{quote(entry.file)}", entry.url) if each]


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
        _check_length(target)
        return target
    _refuse_offline(shown(address), ways)
    return make(target, [address], lambda: remembered(target) or Facts(), meter, ways.patience, overwrite=False).path


def size_of(entry: Entry, ways: Ways, meter: Meter) -> int | None:
    """Bytes that `fetch` would take, asked of the server where nobody has told; None where it does not say."""
    target = place_of(entry)
    known = _known(entry, target)
    sources = sources_of(entry, ways)
    if known.size is not None or ways.offline or not sources:
        return known.size
    try:
        if entry.record:
            return ask_record(entry.record, entry.file, ways.patience, meter.say).size
        url = entry.url or sources[0]
        return patiently(shown(url), lambda: _head(url, ways.patience), ways.patience, meter.say)
    except RunError as error:
        meter.warn(f"{entry.name}: {error}")
        return None


def by_hand(entry: Entry) -> str:
    """What a person has to do."""
    return (
        f"{entry.name} lies where programs cannot fetch it: open {entry.page}, save {entry.file}, "
        f"then type: caffdet weights add {entry.file}"
    )


def expected(entry: Entry, target: Path, ways: Ways, meter: Meter) -> Facts:
    """What the file must be, as far as anybody tells who can be asked.

    Raises:
        RunError: somebody tells, but does not answer.
    """
    known = _known(entry, target)
    if known.is_checked and (known.md5 or len(known.sha256) == _WHOLE):
        return known
    if entry.record:
        try:
            return ask_record(entry.record, entry.file, ways.patience, meter.say)
        except RunError:
            if not ways.mirror:
                raise
        return _note_of_mirror(entry, ways, meter)
    return _with_mirror(known, entry, ways, meter) if ways.mirror else known


def _at_hand(entry: Entry, target: Path, ways: Ways, meter: Meter) -> Fetched | None:
    """The file that is there, if it is what it should be."""
    if not target.is_file():
        return None
    known, found = _known(entry, target), measure(target)
    _refuse_damaged(entry, target, found, known)
    if entry.record and not ways.offline and not (known.verifies and known.is_checked):
        try:
            must = expected(entry, target, ways, meter)
        except RunError as error:
            meter.warn(f"{entry.name}: not checked: {error}")
            return Fetched(target, found, is_new=False)
        _refuse_damaged(entry, target, found, must)
        with suppress(OutputError, DiskFull):  # it may be somebody else's cache
            remember(target, found, entry.url)
    return Fetched(target, found, is_new=False)


def _refuse_damaged(entry: Entry, target: Path, found: Facts, must: Facts) -> None:
    if wrong := difference(found, must):
        raise RunError(
            f"{target} is damaged, or another file: {wrong}; "
            f"to fetch it again: caffdet download-weights {entry.name} --overwrite"
        )


def _check_length(target: Path) -> None:
    """A look at a file that an address gave; all of its bytes would take too long every time."""
    size, note = target.stat().st_size, remembered(target)
    if note and size != note.size:
        raise RunError(
            f"{target} is damaged: {size} bytes, not {note.size} as {note.told_by} says; "
            "remove it, and the same command fetches it again"
        )


def _known(entry: Entry, target: Path) -> Facts:
    """What is known of a file without asking anybody."""
    own = Facts(entry.size, entry.md5, entry.sha256, "the registry")
    return own if own.verifies else remembered(target) or own


def _with_mirror(known: Facts, entry: Entry, ways: Ways, meter: Meter) -> Facts:
    """Where nobody publishes a whole checksum, a mirror's note is better than nothing."""
    try:
        note = _note_of_mirror(entry, ways, meter)
    except NotThere:
        return known
    except RunError as error:
        meter.say(f"the mirror's note does not help: {error}")
        return known
    if wrong := difference(note, known):
        meter.say(f"the mirror's note does not help: {wrong}")
        return known
    return note


def _note_of_mirror(entry: Entry, ways: Ways, meter: Meter) -> Facts:
    """A network that has a mirror may have nothing else: the mirror tells what its owner's cache remembers."""
    address = f"{ways.mirror}/{quote(entry.file)}.json"
    text = patiently(shown(address), lambda: fetch_small(address, ways.patience), ways.patience, meter.say)
    name = shown(address)
    try:
        note = parse_note(text, f"the mirror's note {name}")
    except (ValueError, RecursionError) as error:
        raise RunError(f"{name} is no note of caffdet ({error}); copy it from the cache beside the file") from error
    if not note.is_checked:
        raise RunError(f"{name} is the note of a file that was never checked; fetch it from its record first")
    return note


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
