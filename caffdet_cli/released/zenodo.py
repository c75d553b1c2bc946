"""Size and md5 of a file, as a record's API tells them: `https://zenodo.org/api/records/NUMBER`.

Source: https://developers.zenodo.org, "Records".
"""

import json
import re
from collections.abc import Callable

from caffdet_cli.errors import RunError
from caffdet_cli.released.addresses import shown
from caffdet_cli.released.checksums import Facts
from caffdet_cli.released.patience import Patience, patiently
from caffdet_cli.released.transport import Faulty, blocks, opened

_MOST_BYTES = 4_000_000


def ask_record(address: str, file: str, patience: Patience, say: Callable[[str], None]) -> Facts:
    """What the record at `address` says about its file `file`.

    Raises:
        RunError: it does not answer, or says nothing usable.
    """
    name = shown(address)
    text = patiently(name, lambda: fetch_small(address, patience), patience, say)
    try:
        return parse_record(text, file, f"the record {name}")
    except (ValueError, RecursionError) as error:
        raise RunError(f"{name} does not tell size and md5 of {file} ({error}); try again later") from error


def fetch_small(url: str, patience: Patience) -> bytes:
    """The content of a small answer.

    Raises:
        Faulty, NotThere, RunError: it cannot be had, or is not small.
    """
    content = bytearray()
    with opened(url, patience.silence) as answer:
        for block in blocks(answer, patience.silence):
            content += block
            if len(content) > _MOST_BYTES:
                raise RunError(f"{shown(url)} answers with more than {_MOST_BYTES} bytes; that cannot be right")
        if answer.length:  # what Content-Length promised and did not come
            raise Faulty("the answer ended early")
    return bytes(content)


def parse_record(text: bytes, file: str, told_by: str) -> Facts:
    """Raises: ValueError or RecursionError: it is no record, or has no such file."""
    content = json.loads(text)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, list):
        raise ValueError("it lists no files")
    for each in files:
        if isinstance(each, dict) and each.get("key") == file:
            size, checksum = each.get("size"), str(each.get("checksum")).removeprefix("md5:").lower()
            if isinstance(size, bool) or not isinstance(size, int) or not 0 < size < 1 << 50:
                raise ValueError(f"its size is {size!r}")
            if not re.fullmatch(r"[0-9a-f]{32}", checksum):
                raise ValueError("its checksum is no md5")
            return Facts(size, md5=checksum, told_by=told_by)
    raise ValueError("it has no such file")
