"""What is odd about single pairs: files, sizes, channels, boxes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from caffdet_cli.data.annotations import AnnotationSet, Example
from caffdet_cli.data.findings import Action
from caffdet_cli.data.inspection.boxes import labelled_apart, odd_boxes
from caffdet_cli.data.inspection.leakage import same_files
from caffdet_cli.data.inspection.notes import Notes
from caffdet_cli.data.inspection.pictures import PairFacts, PictureFacts
from caffdet_cli.data.inspection.reading import Splits
from caffdet_cli.data.warp import fits
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.rig import Rig

_ASPECT = 0.02  # relative difference of width : height that is seen
_BOTH: tuple[Spectrum, ...] = ("rgb", "ir")


class _Odd(NamedTuple):
    """Something odd about an example."""

    kind: str
    what: str
    action: Action = "kept"
    spectrum: Spectrum | None = None  # whose file it is about; None: the pair


def note_pairs(notes: Notes, splits: Splits, split: str, facts: Sequence[PairFacts]) -> None:
    """Everything that one pair alone says."""
    annotations = splits.sets[split]
    spectra = [spectrum for spectrum in _BOTH if any(pair.of(spectrum) is not None for pair in facts)]
    for example, pair in zip(annotations.examples, facts, strict=True):
        place, shown = f"{split}: {splits.name(example)}", splits.shown(split, example)
        for odd in _odd(example, pair, annotations, spectra):
            where = place if odd.spectrum is None else f"{split}: {splits.file(example, odd.spectrum)}"
            notes.show(odd.kind, where, odd.what, odd.action, shown)
        label = pair.whole(annotations.label_spectrum)
        size = (example.width, example.height) if label is None else (label.width, label.height)
        for kind, row, what in odd_boxes(example.objects, *size):
            action: Action = "noted" if kind == "box reaches out" else "kept"
            notes.show(kind, f"{place}: object {example.objects.ids[row]}", what, action, shown)
        if apart := labelled_apart(example.objects):
            notes.show("labels differ", place, apart, "noted", shown)
    for spectrum in spectra:
        for index, first in same_files([pair.of(spectrum) for pair in facts]):
            both = annotations.examples[index], annotations.examples[first]
            one, other = (splits.file(example, spectrum) for example in both)
            shown_both = [splits.shown(split, example) for example in both]
            notes.show("same picture twice", f"{split}: {one}", f"the same content as {other}", "kept", *shown_both)


class _Size(NamedTuple):
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def _odd(example: Example, pair: PairFacts, annotations: AnnotationSet, spectra: Sequence[Spectrum]) -> Iterator[_Odd]:
    """What is wrong with the files of one example."""
    label, rig = annotations.label_spectrum, annotations.rig
    yield from _odd_files(pair, spectra)
    wholes = {spectrum: picture for spectrum in _BOTH if (picture := pair.whole(spectrum))}
    sizes = {spectrum: _Size(picture.width, picture.height) for spectrum, picture in wholes.items()}
    said = _Size(example.width, example.height)
    if label in sizes and sizes[label] != said:
        yield _Odd("other size", f"the annotation says {said}, the {label} picture is {sizes[label]}", spectrum=label)
    if rig is not None:
        yield from _odd_for_rig(sizes, rig)
    elif len(sizes) == 2 and sizes["rgb"] != sizes["ir"]:
        yield _odd_sizes(sizes["rgb"], sizes["ir"])
    if len(wholes) == 2:
        yield from _odd_couple(wholes["rgb"], wholes["ir"])
    for spectrum, picture in wholes.items():
        if picture.flat:
            yield _Odd("blank picture", f"nothing can be seen in {spectrum}", spectrum=spectrum)
        if picture.depth == "uint16" and picture.largest < 256:
            what = f"{spectrum} has 16 bits, and no value above {picture.largest}"
            yield _Odd("8 bits in 16", what, "noted", spectrum)
    if not len(example.objects):
        yield _Odd("no objects", "no object is annotated", "noted")


def _odd_files(pair: PairFacts, spectra: Sequence[Spectrum]) -> Iterator[_Odd]:
    problems: list[_Odd] = []
    for spectrum in spectra:
        picture = pair.of(spectrum)
        if picture is None:
            problems.append(_Odd("missing partner", f"no {spectrum} picture is named"))
        elif picture.missing:
            problems.append(_Odd("missing partner", f"there is no such {spectrum} picture", spectrum=spectrum))
        elif picture.problem:
            problems.append(_Odd("unreadable picture", picture.problem, spectrum=spectrum))
    lost = len(problems) == len(spectra)
    for odd in problems:
        yield odd._replace(kind="no picture") if lost and odd.kind == "missing partner" else odd


def _odd_sizes(rgb: _Size, ir: _Size) -> _Odd:
    wide, other = rgb.width / rgb.height, ir.width / ir.height
    what = f"rgb is {rgb}, ir {ir}"
    if abs(wide / other - 1) > _ASPECT:
        return _Odd("partner of another aspect", what)
    return _Odd("partner of another size", what, "noted")


def _odd_for_rig(sizes: Mapping[Spectrum, _Size], rig: Rig) -> Iterator[_Odd]:
    """Pictures that the data set's rig does not warp, or warp nothing onto."""
    for spectrum, size in sizes.items():
        known = rig.moved_size if spectrum == rig.moved else rig.fixed_size
        if not fits(size, known):
            what = f"{spectrum} is {size}, and the rig was made for {_Size(*known)}"
            yield _Odd("not of the rig", what, spectrum=spectrum)


def _odd_couple(rgb: PictureFacts, ir: PictureFacts) -> Iterator[_Odd]:
    if rgb.digest == ir.digest:
        yield _Odd("one picture for both spectra", "the rgb and the ir file have the same content")
    elif rgb.grey and ir.coloured:
        yield _Odd("spectra swapped", "rgb is grey and infrared is coloured", "noted")
    elif ir.coloured:
        what = f"the channels of ir differ by {ir.colour:.0f} levels on average"
        yield _Odd("coloured infrared", what, "noted", "ir")
