"""The bytes of one address: what came before is gone on with where the server's file is still the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPResponse
from io import FileIO

from caffdet_cli.errors import RunError
from caffdet_cli.released.addresses import shown
from caffdet_cli.released.cache_files import cache_writes
from caffdet_cli.released.checksums import Facts, how_to_accept
from caffdet_cli.released.meter import Meter
from caffdet_cli.released.part import Origin, Part, origin_of
from caffdet_cli.released.patience import Patience, patiently
from caffdet_cli.released.transport import BadRange, Faulty, blocks, length_of, opened, parse_range

_MOST_BYTES = 1 << 36  # 64 GiB; larger than any checkpoint, smaller than any loop


class Changed(RunError):
    """The file at an address is not the one that was expected."""


def download(url: str, part: Part, expected: Facts, meter: Meter, patience: Patience) -> None:
    """Fill `part` with all bytes of `url`; checksums are the caller's business.

    What came is kept after every failure, except where it cannot be of use.

    Args:
        expected: its size bounds what is taken; where it has a checksum, bytes from another address are gone on with.

    Raises:
        Changed: the size is not what is expected.
        NotThere, RunError: the server does not give it.
        DiskFull, OutputError: the disk does not take it.
    """
    attempt = partial(_go_on, url, part, expected, meter, patience)
    patiently(shown(url), attempt, patience, meter.say, lambda: part.length, part.kept)


def _go_on(url: str, part: Part, expected: Facts, meter: Meter, patience: Patience) -> None:
    """One connection."""
    origin = _usable(part, url, expected)
    start = part.length if origin else 0
    if origin and start == (expected.size or origin.size):
        return
    try:
        with opened(url, patience.silence, _wanted(origin, start, url)) as answer:
            size = _place(answer, url, part, origin, start, expected)
            _receive(answer, part, size, meter, patience)
    except BadRange as error:
        whole = start and error.total == start and expected.size in (None, start)
        if not whole:
            part.forget()
            raise Faulty("the server's file ends before what came already; beginning anew") from error


def _usable(part: Part, url: str, expected: Facts) -> Origin | None:
    """Where the bytes that are there came from, if they can be gone on with: somebody must notice a changed file."""
    origin = part.origin()
    if origin is None or (expected.size is not None and part.length > expected.size):
        return None
    same_file = origin.url == shown(url) and bool(origin.validator)
    return origin if same_file or expected.verifies else None


def _wanted(origin: Origin | None, start: int, url: str) -> dict[str, str]:
    if origin is None:
        return {}
    condition = {"If-Range": origin.validator} if origin.url == shown(url) and origin.validator else {}
    return {"Range": f"bytes={start}-", **condition}


def _place(
    answer: HTTPResponse, url: str, part: Part, origin: Origin | None, start: int, expected: Facts
) -> int | None:
    """Where the answer's bytes belong: behind those that are there, or at the beginning.

    Returns:
        Size of the whole file, where it is known.
    """
    _refuse_pages(answer, url)
    if answer.status == 206:
        given = parse_range(answer.headers.get("Content-Range"))
        total = given.total if given else None
        known = expected.size or (origin.size if origin else None)
        now = origin_of(url, answer, total)
        same = origin and (origin.url != now.url or not (origin.etag and now.etag) or origin.etag == now.etag)
        if not given or not same or given.first != start or (known is not None and total not in (None, known)):
            part.forget()
            raise Faulty("the server gives other bytes than those that were asked for; beginning anew")
        return total if total is not None else known
    size = length_of(answer)
    _check_size(url, size, expected, part)
    part.begin(origin_of(url, answer, size))
    return size if size is not None else expected.size


def _check_size(url: str, size: int | None, expected: Facts, part: Part) -> None:
    if size is not None and expected.size is not None and size != expected.size:
        raise Changed(
            f"{shown(url)} has {size} bytes, not {expected.size} as {expected.told_by} says: it was changed there; "
            f"nothing was replaced{how_to_accept(part.target, expected)}"
        )
    if size is not None and size > _MOST_BYTES:
        raise RunError(f"{shown(url)} has {size} bytes, more than any file of weights; nothing was fetched")


def _refuse_pages(answer: HTTPResponse, url: str) -> None:
    """Servers that want a click or a password answer with a page, and call it success."""
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise RunError(
            f"{shown(url)} is a web page, not a file; open it in a browser, save the file, and give it with "
            "--weights FILE (a released one: caffdet weights add FILE)"
        )


def _receive(answer: HTTPResponse, part: Part, size: int | None, meter: Meter, patience: Patience) -> None:
    part.check_room(size)
    position = part.length
    most = _MOST_BYTES if size is None else size
    with cache_writes(part.path, kept=part.shared):
        file = part.path.open("ab", buffering=0)
    with file, _metered(meter, part.target.name, size, position):
        for block in blocks(answer, patience.silence):
            position += len(block)
            if position > most:
                break
            with cache_writes(part.path, kept=part.shared):
                _write(file, block)
            meter.moved(len(block))
    if position > most:
        part.forget()
        raise Changed(f"{part.target.name}: the server sends more than the {most} bytes that it should have")
    if size is not None and position < size:
        raise Faulty(f"the connection ended after {position} of {size} bytes")


def _write(file: FileIO, block: bytes) -> None:
    """All of it: on a full disk the system writes what fits, and complains only the next time."""
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _metered(meter: Meter, label: str, size: int | None, done: int) -> Iterator[None]:
    meter.begin(label, size, done)
    try:
        yield
    finally:
        meter.end()
