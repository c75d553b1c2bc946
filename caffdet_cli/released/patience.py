"""Trying again after faults that may pass."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from caffdet_cli.errors import ConfigError, RunError
from caffdet_cli.released.transport import Faulty, Unreachable

Result = TypeVar("Result")

_STEP = 1 << 20  # bytes further than ever before: the connection is worth going on with


@dataclass(frozen=True)
class Patience:
    """How long faults are borne."""

    silence: float = 30.0  # seconds without a byte after which a connection is given up
    tries: int = 5
    pause: float = 1.0  # seconds before the second try; doubled after each


def from_environment() -> Patience:
    """With `$CAFFDET_TIMEOUT` for the seconds without a byte.

    Raises:
        ConfigError: it is no number of seconds.
    """
    text = os.environ.get("CAFFDET_TIMEOUT")
    if not text:
        return Patience()
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"CAFFDET_TIMEOUT={text} is no number of seconds; leave it out, or say for example 60")
    return Patience(silence=seconds)


def patiently(
    what: str,
    attempt: Callable[[], Result],
    patience: Patience,
    say: Callable[[str], None],
    reached: Callable[[], int] = lambda: 0,
    kept: Callable[[], str] = str,
) -> Result:
    """Call `attempt` until it succeeds.

    Args:
        what: the address, for messages.
        reached: bytes that are there; as long as they grow well, faults do not add up.
        kept: what is kept of them, for the last message.

    Raises:
        RunError: a fault that stays, or too many of those that could have passed.
    """
    begun_with = best = reached()
    failures = 0
    while True:
        try:
            return attempt()
        except Faulty as fault:  # noqa: PERF203  # trying again is the point
            if isinstance(fault, Unreachable) and reached() <= begun_with:  # no network: no use in waiting
                raise RunError(f"no connection: {fault}; is there a network, or a proxy (https_proxy)?") from fault
            if reached() >= best + _STEP:
                best, failures = reached(), 0
            failures += 1
            if failures >= patience.tries:
                rest = "; ".join(filter(None, ["try again later", kept()]))
                raise RunError(f"{what}: {fault}, {failures} times in a row; {rest}") from fault
            wait = max(fault.wait, patience.pause * 2 ** (failures - 1))
            say(f"{fault}; trying again in {wait:.0f} s")
            time.sleep(wait)
