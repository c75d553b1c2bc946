"""Pictures and pairs that differ from the others of their data set, and what all of them have in common."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from caffdet_cli.data.inspection.alignment import Alignment
from caffdet_cli.data.inspection.notes import Notes
from caffdet_cli.data.inspection.pictures import PairFacts, PictureFacts
from caffdet_cli.data.inspection.reading import Splits
from caffdet_cli.data.inspection.shift import Shift
from caffdet_cli.settings.base import Spectrum

_ENOUGH, _NEARLY_ALL = 20, 0.9  # coloured pictures, and share of them, from which their tint says something

Facts = Mapping[str, Sequence[PairFacts]]  # by split


def note_channels(notes: Notes, splits: Splits, facts: Facts) -> None:
    """Depths and colours that most pictures of a spectrum do not have, and the tint of all."""
    both: tuple[Spectrum, ...] = ("rgb", "ir")
    for spectrum in both:
        _note_depths(notes, splits, facts, spectrum)
    _note_grey(notes, splits, facts)
    _note_tint(notes, facts)


def note_step(notes: Notes, splits: Splits, facts: Facts, together: Alignment) -> None:
    """What the shifts say: of the whole data set, and of pairs that differ from it."""
    if together.right is None or together.down is None:
        return
    usual = f"{together.right:+.1f}, {together.down:+.1f}"
    if together.large:
        what = f"infrared lies {usual} pixels (right, down) of RGB, the median of {together.trusted} pairs"
        notes.note("spectra shifted", "all pairs", what, "noted")
    places = list(splits)
    for kind, positions in (("out of step", together.doubts), ("nothing in common", together.strangers)):
        for position in positions:
            split, index, example = places[position]
            what = _step(facts[split][index].shift, usual)
            place = f"{split}: {splits.name(example)}"
            notes.show(kind, place, what, "noted", splits.shown(split, example))


def _step(shift: Shift | None, usual: str) -> str:
    """A pair's shift in words."""
    if shift is None:
        return ""
    if not shift.trusted:
        return f"no edges of infrared lie on those of RGB, wherever it is moved (confidence {shift.confidence:.2f})"
    where = f"{shift.right:+.1f}, {shift.down:+.1f}"
    return f"infrared lies {where} pixels of RGB (confidence {shift.confidence:.2f}), usually {usual}"


def _pictures(facts: Facts, spectrum: Spectrum) -> Iterator[PictureFacts]:
    """Those of a spectrum that can be read."""
    return (picture for some in facts.values() for pair in some if (picture := pair.whole(spectrum)))


def _note_depths(notes: Notes, splits: Splits, facts: Facts, spectrum: Spectrum) -> None:
    depths = Counter(picture.depth for picture in _pictures(facts, spectrum))
    if len(depths) < 2:
        return
    usual = depths.most_common(1)[0][0]
    for split, index, example in splits:
        picture = facts[split][index].whole(spectrum)
        if picture is not None and picture.depth != usual:
            place, what = f"{split}: {splits.file(example, spectrum)}", f"it is {picture.depth}, most are {usual}"
            notes.show("another bit depth", place, what, "kept", splits.shown(split, example))


def _note_grey(notes: Notes, splits: Splits, facts: Facts) -> None:
    coloured = [picture.coloured for picture in _pictures(facts, "rgb")]
    if 2 * sum(coloured) <= len(coloured):
        return
    for split, index, example in splits:
        picture = facts[split][index].whole("rgb")
        if picture is not None and picture.grey and not picture.flat:
            place, what = f"{split}: {splits.file(example, 'rgb')}", "it has no colours, most have"
            notes.show("grey RGB", place, what, "noted", splits.shown(split, example))


def _note_tint(notes: Notes, facts: Facts) -> None:
    """Light outdoors and skin are rather red than blue: nearly all pictures bluish is a reason to look."""
    warmth = [picture.warmth for picture in _pictures(facts, "rgb") if picture.coloured]
    blue = sum(one < 0 for one in warmth)
    if len(warmth) >= _ENOUGH and blue >= _NEARLY_ALL * len(warmth):
        what = f"{blue} of {len(warmth)} coloured pictures are more blue than red"
        notes.note("red and blue swapped", "rgb pictures", what, "noted")
