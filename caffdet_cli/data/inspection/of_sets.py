"""What is odd about whole splits: classes, ids, and files that no annotation names."""

import os
from collections import Counter
from pathlib import Path

from caffdet_cli.data.formats.layout import PICTURES
from caffdet_cli.data.inspection.notes import Notes
from caffdet_cli.data.inspection.reading import Splits

_SAID = 8  # classes that are named


def note_classes(notes: Notes, splits: Splits) -> None:
    """Classes that differ between splits or have no objects; ids that are numbers here and words there."""
    first: dict[int, tuple[str, str]] = {}
    for split, annotations in splits.sets.items():
        place = annotations.source.name
        used = Counter(label for example in annotations.examples for label in example.objects.labels.tolist())
        for key, name in annotations.categories:
            where, before = first.setdefault(key, (split, name))
            if before != name:
                what = f"category id {key} is {name!r}, and {before!r} in {where}"
                notes.note("other classes", place, what)
        absent = [category.name for label, category in enumerate(annotations.categories) if not used[label]]
        if absent:
            more = f" and {len(absent) - _SAID} more" if len(absent) > _SAID else ""
            what = f"there is no {', '.join(absent[:_SAID])}{more} in {split}"
            notes.note("class without objects", place, what, "noted")
        words = sum(isinstance(example.id, str) for example in annotations.examples)
        if 0 < words < len(annotations.examples):
            what = f"{words} of {len(annotations.examples)} picture ids are words, the others numbers"
            notes.note("mixed ids", place, what, "noted")


def note_unlisted(notes: Notes, splits: Splits) -> None:
    """Pictures that lie beside those that are named, and are not named by any split."""
    named: dict[Path, set[str]] = {}
    for _, _, example in splits:
        for path in (example.rgb, example.ir):
            if path is not None:
                named.setdefault(path.parent, set()).add(path.name)
    for folder in sorted(named):
        try:
            found = {name for name in os.listdir(folder) if os.path.splitext(name)[1].lower() in PICTURES}
        except OSError:
            continue  # its pictures are findings already
        if strangers := sorted(name for name in found - named[folder] if not name.startswith(".")):
            what = f"pictures that no annotation file names: {len(strangers)}, for example {strangers[0]}"
            notes.note("not listed", splits.place(folder), what, "noted")
