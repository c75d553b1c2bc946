"""Whether a file looks like what its name says: no proof, but web pages saved by mistake are told at once."""

from pathlib import Path

from caffdet_cli.errors import WeightsError

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"


def check_kind(path: Path, name: str) -> None:
    """Look at the first bytes.

    Args:
        name: what the file is or will be called.

    Raises:
        WeightsError: it cannot be read, or cannot be what it is called.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{name} is a web page and not the file that it should be; fetch it again in a browser")
    suffix = Path(name).suffix.lower()
    looks = {
        ".pth": head.startswith((_ZIP, _PICKLE)),
        ".pt": head.startswith((_ZIP, _PICKLE)),
        ".zip": head.startswith(_ZIP),
        ".safetensors": head[8:9] == b"{",
    }
    if not looks.get(suffix, bool(head)):
        raise WeightsError(f"{name} is not what its name says: its first bytes are {head[:8]!r}; fetch it again")
