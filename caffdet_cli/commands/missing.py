"""What a command says that was given too little: what is missing, what exists, and what to type."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from caffdet_cli.errors import ConfigError


def checkpoints() -> list[str]:
    """What was trained from this folder, the newest last."""
    found = sorted(Path("runs").glob("*/checkpoints/best"), key=lambda path: path.stat().st_mtime)
    return [str(path) for path in found]


def datasets() -> list[str]:
    """Shipped data sets."""
    from caffdet_cli.settings.load import names

    return [shipped.name for shipped in names() if shipped.kind == "dataset"]


def or_example(given: str | None, known: Sequence[str], placeholder: str) -> str:
    """What the example command says for an option: what was given, else the newest that exists."""
    return given or (known[-1] if known else placeholder)


def too_little(given: Mapping[str, object], examples: Mapping[str, str], *, detectors: bool = False) -> ConfigError:
    """The error of a command that cannot start.

    Args:
        given: the options it needs, with what they were given; with --dataset among them data sets are listed.
        examples: what each would do -> the command.
        detectors: list those that were trained here.
    """
    missing = [word for word, value in given.items() if value is None]
    exists = {}
    if detectors:
        exists["trained here"] = ", ".join(checkpoints()) or "nothing in runs/ (caffdet train --dataset demo)"
    if "--dataset" in given:
        exists["data sets"] = ", ".join([*datasets(), "or your own TOML"])
    lines = {**exists, **examples}
    width = max(map(len, lines)) + 1
    named = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
    head = f"{named} {'is' if len(missing) == 1 else 'are'} missing"
    return ConfigError("\n".join([head, *(f"  {word + ':':<{width}} {line}" for word, line in lines.items())]))
