"""A validation split taken from the training pictures, so that no scene is on both sides.

Neighbouring frames of a video are nearly the same picture: a random split would be scored on what was trained on.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from caffdet_cli.data.annotations import AnnotationSet, Example, label_picture
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.layout import SplitName
from caffdet_cli.data.inspection.pictures import look_at
from caffdet_cli.data.inspection.scenes import scenes
from caffdet_cli.data.threads import in_threads
from caffdet_cli.errors import DatasetError
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum

_FEWEST = 10  # pictures
_ROOM = 0.5  # the split may be larger or smaller by this share of itself, to end where a scene does
_ALIKE = 12  # of 64 bits: pictures with fewer that differ show nearly the same
_NAMED = 5  # scenes in a message


def hold_out(
    splits: dict[SplitName, AnnotationSet], share: float, source: Path, findings: FindingLog, progress: Progress
) -> dict[SplitName, AnnotationSet]:
    """The same with a `val` that was part of `train`.

    Where names say scenes (`inspection.scenes`), it has whole scenes. Else it is the last pictures in the order of
    their names, from where the view changes most.

    Args:
        share: of the training pictures, about.

    Raises:
        DatasetError: there is a `val`, no `train`, too few pictures, or one scene only.
    """
    if "val" in splits or "train" not in splits:
        what = "has a val split of its own" if "val" in splits else "has no train split"
        raise DatasetError(f"--val {share:g}: {source} {what}; leave --val out")
    train = splits["train"]
    if len(train.examples) < _FEWEST:
        raise DatasetError(f"--val {share:g}: {len(train.examples)} training pictures are too few to hold some out")
    names = [_name(one, train.label_spectrum, source) for one in train.examples]
    found = scenes(names)
    if any(found):
        held, how = _whole_scenes(found, share)
        if len(held) < (1 - _ROOM) * share * len(names):
            progress.warn(
                f"--val {share:g}: no scenes have together about so many pictures; {len(held)} of {len(names)} are "
                "held out. Lists of names say which pictures are whose (data.splits.val.names)"
            )
    else:
        held, how = _the_last(train, names, share, progress)
    what = f"{len(held)} of {len(train.examples)} pictures are val: {how}"
    findings.add("held out for val", "train", what, "noted")
    progress.say(what)
    val = tuple(one for place, one in enumerate(train.examples) if place in held)
    rest = tuple(one for place, one in enumerate(train.examples) if place not in held)
    parts: dict[SplitName, AnnotationSet] = {
        "train": replace(train, examples=rest),
        "val": replace(train, examples=val),
    }
    return {**parts, **{split: one for split, one in splits.items() if split != "train"}}


def _whole_scenes(found: Sequence[str | None], share: float) -> tuple[set[int], str]:
    """In an order that their names decide alone, as many as fit. Pictures without a scene are trained on."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, scene in enumerate(found):
        if scene is not None:
            places[scene].append(place)
    wanted, most = share * len(found), min((1 + _ROOM) * share, 0.5) * len(found)
    chosen: list[str] = []
    held: set[int] = set()
    for scene in sorted(places, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(held) < wanted and len(held) + len(places[scene]) <= most:
            chosen.append(scene)
            held.update(places[scene])
    rest = [scene for scene in places if scene not in chosen and len(held) + len(places[scene]) <= 0.5 * len(found)]
    nearer = min(rest, key=lambda name: (abs(len(held) + len(places[name]) - wanted), name), default=None)
    if nearer is not None and abs(len(held) + len(places[nearer]) - wanted) < abs(len(held) - wanted):
        chosen.append(nearer)
        held.update(places[nearer])
    if not held:
        chosen = [min(places, key=lambda name: (len(places[name]), name))]
        held.update(places[chosen[0]])
    if len(held) > len(found) / 2:
        raise DatasetError(
            f"--val {share:g}: the smallest scene, {chosen[0]}, has {len(held)} of {len(found)} pictures; there are "
            "too few scenes to hold one out"
        )
    more = f" and {len(chosen) - _NAMED} more" if len(chosen) > _NAMED else ""
    return held, f"the scenes {', '.join(sorted(chosen)[:_NAMED])}{more} ({len(places)} scenes, by their names)"


def _the_last(train: AnnotationSet, names: Sequence[str], share: float, progress: Progress) -> tuple[set[int], str]:
    """From the place, near to where the share begins, before which the view is least like the one behind it."""
    order = sorted(range(len(names)), key=lambda place: _natural(names[place]))
    count = len(order)
    target = round(count * (1 - share))
    room = max(1, round(count * share * _ROOM))
    first, last = max(1, target - room, count - count // 2), min(count - 1, target + room)
    near = [train.examples[place] for place in order[first - 1 : last + 1]]
    with closing(in_threads(partial(_hash, spectrum=train.label_spectrum), near)) as found:
        hashes = list(progress.track(found, "looking for a change of the view", total=len(near)))
    apart = [-1 if one is None or other is None else (one ^ other).bit_count() for one, other in pairwise(hashes)]
    best = max(range(len(apart)), key=lambda at: (apart[at], -abs(first + at - target)))
    cut = first + best
    how = f"the last ones by name, from {names[order[cut]]} on, where the view changes most"
    if apart[best] < _ALIKE:
        progress.warn(
            f"the pictures before and behind {names[order[cut]]} look alike, and no place nearby is better: figures of "
            "val will be too good; lists of names say which pictures are whose (data.splits.val.names)"
        )
    return set(order[cut:]), how


def _hash(example: Example, spectrum: Spectrum) -> int | None:
    """What one picture looks like; None where it cannot be read."""
    alone = replace(example, ir=None) if spectrum == "rgb" else replace(example, rgb=None)
    picture = look_at(alone, spectrum).whole(spectrum)
    return None if picture is None else picture.hash


def _name(example: Example, spectrum: Spectrum, source: Path) -> str:
    path = label_picture(example, spectrum)
    if path is None:
        return str(example.id)
    return path.relative_to(source).as_posix() if path.is_relative_to(source) else path.as_posix()


def _natural(name: str) -> list[tuple[int, str]]:
    """Frame 9 comes before frame 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]
