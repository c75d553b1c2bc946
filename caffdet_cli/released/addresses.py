"""Addresses of files: which may be opened, and what a file from one is called in the cache."""

import hashlib
import re
from urllib.parse import SplitResult, unquote, urlsplit

from caffdet_cli.errors import WeightsError

_LOCAL = ("localhost", "127.0.0.1", "::1")


def is_address(text: str) -> bool:
    """Whether what was typed is an address and not a file or a name."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def is_safe(address: str) -> bool:
    """Whether it may be opened without a person having typed it: https, or http on this very machine."""
    parts = _parts(address)
    return parts is not None and (parts.scheme == "https" or parts.hostname in _LOCAL)


def shown(address: str) -> str:
    """For messages and notes: without what may be a secret, the query and a user name."""
    return re.sub(r"(?<=//)[^/]*@", "", re.split(r"[?#]", address, maxsplit=1)[0])


def check_typed(address: str) -> None:
    """A person typed it, so http is allowed.

    Raises:
        WeightsError: it is no http or https address of a server, or carries a password.
    """
    parts = _parts(address)
    if parts is None:
        raise WeightsError(
            f"{shown(address)!r} cannot be fetched; give one that begins with https:// and a server, "
            "and has %20 for spaces"
        )
    if parts.username or parts.password:
        raise WeightsError(
            f"the address of {parts.hostname} carries a user name, which would end up in messages; "
            "fetch the file yourself and give it with --weights FILE"
        )


def cached_name(address: str) -> str:
    """The name in the cache of a file from this address: readable, and another one for every address."""
    path = unquote(urlsplit(address).path).replace("\\", "/").rstrip("/")
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    stem, suffix = (_plain(stem), _plain(suffix)) if dot else (_plain(suffix), "")
    mark = hashlib.sha256(address.encode()).hexdigest()[:16]
    readable = f"{stem[:80].strip('._-') or 'file'}-{mark}"
    return f"{readable}.{suffix.lower()}" if re.fullmatch(r"[A-Za-z0-9]{1,12}", suffix) else readable


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)


def _parts(address: str) -> SplitResult | None:
    """None where it cannot be opened at all."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # an IPv6 address or a port that is none
        return None
    return parts if usable and address.isascii() and not re.search(r"[\s\x00-\x1f\x7f]", address) else None
