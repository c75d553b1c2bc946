"""What reading a data set found: every item that is odd, with its place, and what was done about it.

The books balance: items read = items kept + items that findings say were left out.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Action = Literal["dropped", "repaired", "kept", "noted"]
"""`noted` is no fault: a strict check lets it pass."""

_SHOWN = 3  # examples per row of a summary
_LONGEST = 300  # characters of a place, and of what is wrong; names in files from outside may have millions


@dataclass(frozen=True)
class Finding:
    """One odd item."""

    kind: str  # what summaries count: "missing partner", "box outside"
    place: str  # file, and where in it
    what: str  # what is wrong there
    action: Action
    pictures: int = 0  # left out; a pair counts once
    boxes: int = 0  # left out


class Row(NamedTuple):
    """All findings of one kind that were treated alike."""

    kind: str
    number: int
    action: Action
    examples: tuple[str, ...]  # the first few, place and what


class FindingLog:
    """Findings in the order in which they were made, beside the number of items read."""

    def __init__(self) -> None:
        self.items: list[Finding] = []
        self.pictures = 0  # pairs or single pictures read, faulty ones included
        self.boxes = 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def add(self, kind: str, place: str, what: str, action: Action, *, pictures: int = 0, boxes: int = 0) -> None:
        """Write down one finding."""
        self.items.append(Finding(kind, _one_line(place), _one_line(what), action, pictures, boxes))

    def saw(self, *, pictures: int = 0, boxes: int = 0) -> None:
        """Count items that were read."""
        self.pictures += pictures
        self.boxes += boxes

    @property
    def faults(self) -> int:
        """How many findings a strict check does not let pass."""
        return sum(finding.action != "noted" for finding in self.items)

    @property
    def lost_pictures(self) -> int:
        """Pairs or single pictures that were left out."""
        return sum(finding.pictures for finding in self.items)

    @property
    def lost_boxes(self) -> int:
        """Boxes that were left out, those of left out pictures included."""
        return sum(finding.boxes for finding in self.items)

    def rows(self) -> list[Row]:
        """A summary: faults first, then by number."""
        groups: dict[tuple[str, Action], list[Finding]] = defaultdict(list)
        for finding in self.items:
            groups[finding.kind, finding.action].append(finding)
        rows = [
            Row(kind, len(found), action, tuple(f"{one.place}: {one.what}" for one in found[:_SHOWN]))
            for (kind, action), found in groups.items()
        ]
        return sorted(rows, key=lambda row: (row.action == "noted", -row.number, row.kind))

    def summary(self) -> str:
        """The faults in a few words: `2 box outside (repaired), 1 missing partner (kept)`."""
        return ", ".join(f"{row.number} {row.kind} ({row.action})" for row in self.rows() if row.action != "noted")

    def told(self) -> str:
        """The same with the first fault: `1 missing partner (kept); for example visible/1.jpg: no ir picture`."""
        first = next((row.examples[0] for row in self.rows() if row.action != "noted"), None)
        return self.summary() if first is None else f"{self.summary()}; for example {first}"


def _one_line(text: str) -> str:
    """Text that is not too long, with line breaks and other signs that cannot be printed spelt out."""
    half = _LONGEST // 2
    short = text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]}"
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in short)
