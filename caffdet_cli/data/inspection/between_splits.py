"""Pictures and scenes that two splits share: what is learned there is no test."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from caffdet_cli.data.annotations import Example
from caffdet_cli.data.inspection.leakage import NEAR, Lookalike, lookalikes, same_files
from caffdet_cli.data.inspection.notes import Notes
from caffdet_cli.data.inspection.pictures import PairFacts
from caffdet_cli.data.inspection.reading import Splits
from caffdet_cli.data.inspection.scenes import scenes
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum

_SAID = 20  # scenes, and groups of scenes, that are named one by one for each two splits

Scenes = Mapping[str, Sequence[str | None]]


def note_leaks(notes: Notes, splits: Splits, facts: Mapping[str, Sequence[PairFacts]], progress: Progress) -> None:
    """The same files, the same scenes, and pictures that look alike, for each two splits."""
    said = iter(scenes([splits.name(example) for _, _, example in splits]))
    of = {split: [next(said) for _ in annotations.examples] for split, annotations in splits.sets.items()}
    for first, second in progress.track(list(combinations(splits.sets, 2)), "comparing splits"):
        same = _note_same(notes, splits, facts, first, second)
        _note_scenes(notes, of, first, second)
        _note_alike(notes, splits, facts, of, (first, second), same)


def _note_same(
    notes: Notes, splits: Splits, facts: Mapping[str, Sequence[PairFacts]], first: str, second: str
) -> set[int]:
    """Positions in `second` of pictures that `first` has too."""
    start, found = len(facts[first]), set()
    both: tuple[Spectrum, ...] = ("rgb", "ir")
    for spectrum in both:
        pictures = [pair.of(spectrum) for pair in (*facts[first], *facts[second])]
        for later, earlier in same_files(pictures):
            index = later - start
            if earlier >= start or index < 0 or index in found:
                continue
            found.add(index)
            one, other = splits.sets[second].examples[index], splits.sets[first].examples[earlier]
            place = f"{second}: {splits.file(one, spectrum)}"
            what = f"the same content as {splits.file(other, spectrum)} of {first}"
            shown = splits.shown(first, other), splits.shown(second, one)
            notes.show("same picture in two splits", place, what, "kept", *shown)
    return found


def _note_scenes(notes: Notes, of: Scenes, first: str, second: str) -> None:
    """Names that say that a camera or video is in both."""
    counts = [Counter(scene for scene in of[split] if scene) for split in (first, second)]
    shared = sorted(counts[0].keys() & counts[1].keys())
    for scene in shared[:_SAID]:
        what = f"{counts[0][scene]} pictures of {first} and {counts[1][scene]} of {second}, by their names"
        notes.note("same scene in two splits", f"scene {scene}", what, "noted")
    if len(shared) > _SAID:
        what = f"{first} and {second} share {len(shared) - _SAID} further scenes"
        notes.note("same scene in two splits", f"{first}, {second}", what, "noted")


def _note_alike(
    notes: Notes,
    splits: Splits,
    facts: Mapping[str, Sequence[PairFacts]],
    of: Scenes,
    pair: tuple[str, str],
    same: set[int],
) -> None:
    """Near-duplicates, those of two scenes together; pictures in `same` are told already."""
    first, second = pair
    found: dict[tuple[str, str], list[Lookalike]] = defaultdict(list)
    for near in lookalikes(facts[second], facts[first]):
        if near.position not in same:
            found[of[first][near.other] or "", of[second][near.position] or ""].append(near)
    groups = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    for scene, alike in groups[:_SAID]:
        closest = min(alike, key=lambda near: (near.bits, near.position))
        one, other = _example(splits, second, closest.position), _example(splits, first, closest.other)
        where = f" (scene {scene[0] or '?'} and {scene[1] or '?'})" if any(scene) else ""
        what = (
            f"{len(alike)} of {len(facts[second])} pictures of {second} look like one of {first}{where}, {NEAR} of 64 "
            f"bits apart or less, for example {splits.name(one)} and {splits.name(other)}"
        )
        shown = splits.shown(first, other), splits.shown(second, one)
        notes.show("alike in two splits", f"{first}, {second}", what, "noted", *shown)
    if rest := sum(len(alike) for _, alike in groups[_SAID:]):
        notes.note("alike in two splits", f"{first}, {second}", f"{rest} further pictures look alike", "noted")


def _example(splits: Splits, split: str, index: int) -> Example:
    return splits.sets[split].examples[index]
