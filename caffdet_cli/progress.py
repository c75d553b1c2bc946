"""How long work tells what it is doing. Library functions take a `Progress`; who calls them decides how it looks.

`Progress` itself is silent. `Bars` is what the Python API uses (tqdm: terminals and notebooks); the commands bring
rich bars for a terminal and plain lines for a pipe (`commands/console.py`).
"""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Says nothing."""

    def say(self, text: str) -> None:
        """One line about what is happening."""

    def warn(self, text: str) -> None:
        """One line that deserves attention."""

    def track(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        """The items themselves; shows how far it is. `total` where the items have no length."""
        yield from items


class Bars(Progress):
    """tqdm bars and messages on standard error."""

    def say(self, text: str) -> None:
        from tqdm.auto import tqdm

        tqdm.write(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")

    def track(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        from tqdm.auto import tqdm

        yield from tqdm(items, desc=label, total=total)
