"""Findings, and for each kind the first few examples that show it."""

from collections import defaultdict
from typing import NamedTuple

from caffdet_cli.data.annotations import Example
from caffdet_cli.data.findings import Action, FindingLog
from caffdet_cli.settings.rig import Rig

_SHOWN = 6  # cases that are kept per kind
_NOT_DRAWN = frozenset(("no objects", "partner of another size"))  # nothing is to be seen of them


class Shown(NamedTuple):
    """An example to draw."""

    example: Example
    classes: tuple[str, ...]  # names of its labels
    rig: Rig | None = None  # by which its pictures are warped


class Case(NamedTuple):
    """A finding that can be drawn."""

    kind: str
    place: str
    what: str
    shown: tuple[Shown, ...]  # one, or two that are alike


class Notes:
    """A log of findings that remembers what to show of them."""

    def __init__(self, log: FindingLog) -> None:
        self.log = log
        self._cases: dict[str, list[Case]] = defaultdict(list)

    def note(self, kind: str, place: str, what: str, action: Action = "kept") -> None:
        """Write down a finding that cannot be drawn."""
        self.log.add(kind, place, what, action)

    def show(self, kind: str, place: str, what: str, action: Action, *shown: Shown) -> None:
        """Write down a finding about these examples."""
        self.log.add(kind, place, what, action)
        cases = self._cases[kind]
        drawn = any(case.shown[0].example is shown[0].example for case in cases)
        if kind not in _NOT_DRAWN and len(cases) < _SHOWN and not drawn:
            cases.append(Case(kind, place, what, shown))

    def worst(self, most: int) -> list[Case]:
        """At most so many cases, kind by kind, faults first; no kind has a second one while another has none."""
        order = [row.kind for row in self.log.rows() if row.kind in self._cases]
        kinds = [self._cases[kind] for kind in dict.fromkeys(order)]
        turns = sorted((turn, place) for place, cases in enumerate(kinds) for turn in range(len(cases)))
        return [kinds[place][turn] for turn, place in sorted(turns[:most], key=lambda spot: spot[::-1])]
