"""`caffdet data check`: everything odd about a data set, with its place.

What is wrong for certain is a fault ("kept": nothing is changed); what may well be meant so is only noted.
"""

from dataclasses import dataclass
from pathlib import Path

from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.inspection.alignment import Alignment, alignment
from caffdet_cli.data.inspection.between_splits import note_leaks
from caffdet_cli.data.inspection.differing import note_channels, note_step
from caffdet_cli.data.inspection.notes import Case, Notes
from caffdet_cli.data.inspection.of_pairs import note_pairs
from caffdet_cli.data.inspection.of_sets import note_classes, note_unlisted
from caffdet_cli.data.inspection.pictures import PairFacts
from caffdet_cli.data.inspection.reading import read_splits
from caffdet_cli.data.inspection.survey import survey
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import Data

_WORST = 24  # cases on the page of the worst


@dataclass(frozen=True)
class CheckReport:
    """What `check` found."""

    root: Path
    splits: dict[str, int]  # pairs or pictures of each
    findings: FindingLog
    alignment: Alignment | None  # None: no example has two pictures
    spectra: tuple[Spectrum, ...]  # those that the data set has
    worst: tuple[Case, ...]


def check(
    data: Data,
    *,
    root: Path | None = None,
    split: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Look at every picture and every box of a converted data set.

    Args:
        root: where the files are; None: `data.root`, else `$CAFFDET_DATA/<name>`.
        split: None: all that are there.
        workers: threads that read pictures; 0: none beside this one; None: as many as fit.

    Raises:
        DatasetError: there is nothing to check: as `load_split`.
    """
    progress = progress or Progress()
    log = FindingLog()
    splits = read_splits(data, split, root, log, progress)
    notes = Notes(log)
    facts: dict[str, list[PairFacts]] = {}
    for name, annotations in splits.sets.items():
        facts[name] = survey(annotations, f"looking at pictures of {name}", progress, workers)
        note_pairs(notes, splits, name, facts[name])
    note_channels(notes, splits, facts)
    note_classes(notes, splits)
    if split is None:  # else the other splits' pictures would be strangers
        note_unlisted(notes, splits)
    note_leaks(notes, splits, facts, progress)
    together = _alignment(facts)
    if together is not None:
        note_step(notes, splits, facts, together)
    counts = {name: len(annotations.examples) for name, annotations in splits.sets.items()}
    spectra = _spectra(facts)
    return CheckReport(splits.root, counts, log, together, spectra, tuple(notes.worst(_WORST)))


def _spectra(facts: dict[str, list[PairFacts]]) -> tuple[Spectrum, ...]:
    both: tuple[Spectrum, ...] = ("rgb", "ir")
    named = tuple(one for one in both if any(pair.of(one) is not None for some in facts.values() for pair in some))
    return named or both


def _alignment(facts: dict[str, list[PairFacts]]) -> Alignment | None:
    """Of the pairs of all splits, one after the other."""
    pairs = [pair for some in facts.values() for pair in some]
    together = alignment([pair.shift for pair in pairs], [pair.side for pair in pairs])
    return together if together.pairs else None
