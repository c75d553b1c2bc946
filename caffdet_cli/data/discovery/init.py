"""A data set's TOML from what is found in its folder; what was guessed is told.

COCO annotation files (paired, or of one spectrum) are described. A raw layout is not: it is converted first.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from caffdet_cli.data.discovery.files import Chosen, CocoFile, choose_files, coco_files
from caffdet_cli.data.discovery.pictures import Found, find_pictures
from caffdet_cli.data.discovery.thermal import suggest_thermal
from caffdet_cli.data.formats.layout import SplitName, entries
from caffdet_cli.data.images import picture_size
from caffdet_cli.data.raw import described, recognise, source_folder
from caffdet_cli.data.splits import load_split
from caffdet_cli.errors import DatasetError, OutputError
from caffdet_cli.paths import whole_file
from caffdet_cli.progress import Progress
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.settings.data import Data, PercentileRule, RangeRule, Thermal
from caffdet_cli.settings.load import load_config

_TRIED = 24  # image records whose pictures are looked for
_FILE = "dataset.toml"


@dataclass(frozen=True)
class SplitFound:
    """One split as it was found; paths are relative to the source."""

    annotations: str
    rgb: str | None  # None: names in the file lead there by themselves
    ir: str | None
    pictures: int
    boxes: int


@dataclass(frozen=True)
class InitReport:
    """What `init` has written, and what it had to guess."""

    file: Path
    source: Path
    name: str
    splits: Mapping[SplitName, SplitFound]
    classes: tuple[str, ...]
    spectra: tuple[Spectrum, ...]
    label_spectrum: Spectrum
    thermal: Thermal | None
    guesses: tuple[str, ...]
    remarks: tuple[str, ...]


def init(
    source: Path,
    output: Path | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> InitReport:
    """Write the TOML of a data set that lies in `source`; `--dataset` takes it.

    Args:
        output: the file; None: `dataset.toml` in `source`.
        name: of the data set; None: its folder's.

    Raises:
        DatasetError: no annotation files or no pictures; a raw layout is told with the command that converts it.
        OutputError, DiskFull: the file exists, or cannot be written.
    """
    source = source_folder(source)
    file = Path(os.path.abspath(output or source / _FILE))
    if file.is_dir():
        raise OutputError(f"{file} is a folder; name the file: -o {file / _FILE}")
    if file.exists() and not overwrite:
        raise OutputError(f"{file} exists; choose another -o FILE or add --overwrite")
    progress = progress or Progress()
    progress.say(f"looking for annotation files in {source}")
    found, remarks = coco_files(source)
    if not found:
        raise DatasetError(_nothing(source, remarks))
    chosen = choose_files([one for one in found if one.images], source)
    if not chosen.files:
        raise DatasetError(f"{found[0].path} and its like have no pictures (images is empty)")
    return _describe(source, file, name or _name_of(source), chosen, remarks, overwrite, progress)


def _describe(
    source: Path, file: Path, name: str, chosen: Chosen, remarks: list[str], overwrite: bool, progress: Progress
) -> InitReport:
    """Look at pictures and write down what there is."""
    pictures = {
        split: _pictures(one, source, split)
        for split, one in progress.track(chosen.files.items(), "looking for pictures", total=len(chosen.files))
    }
    both: tuple[Spectrum, ...] = ("rgb", "ir")
    spectra = tuple(one for one in both if any(one in found.pictures for found in pictures.values()))
    guesses = [*chosen.guesses, *(f"{split}: {guess}" for split, found in pictures.items() for guess in found.guesses)]
    label = _label_spectrum(chosen.files, pictures, spectra, guesses)
    infrared = [path for found in pictures.values() for path in found.pictures.get("ir", [])]
    thermal, why = suggest_thermal(infrared) if infrared else (None, "")
    if thermal is not None:
        guesses.append(f"thermal rule: {why}")
    if "val" not in chosen.files and "test" not in chosen.files:
        remarks.append(
            "there is neither val nor test, and training is judged on one of them: caffdet convert coco DIR -o OTHER "
            "--val 0.2 holds some pictures out"
        )
    splits = {split: _split(one, pictures[split], source) for split, one in chosen.files.items()}
    classes = _classes(chosen.files, remarks)
    report = InitReport(file, source, name, splits, classes, spectra, label, thermal, tuple(guesses), tuple(remarks))
    return replace(report, splits=_write(report))


def _pictures(one: CocoFile, source: Path, split: SplitName) -> Found:
    """Where a split's pictures are. A file of our own form says it by itself."""
    places = np.unique(np.linspace(0, len(one.images) - 1, min(_TRIED, len(one.images))).round().astype(int))
    records = [one.images[place] for place in places.tolist()]
    root = one.info.get("root", "")
    beside = one.path.parent / root if isinstance(root, str) and "\0" not in root else one.path.parent
    return find_pictures(source, records, beside, split, certain=one.own is not None)


def _split(one: CocoFile, found: Found, source: Path) -> SplitFound:
    """Folders are named where the file's own names do not lead to the pictures."""
    beside = one.path.parent / str(one.info.get("root", ""))
    single = len(found.pictures) == 1
    by_itself = one.own is not None or (not single and {found.rgb, found.ir} == {beside})
    folders = [None if by_itself or folder is None else _relative(folder, source) for folder in (found.rgb, found.ir)]
    return SplitFound(_relative(one.path, source), folders[0], folders[1], len(one.images), 0)


def _label_spectrum(
    files: Mapping[SplitName, CocoFile],
    pictures: Mapping[SplitName, Found],
    spectra: Sequence[Spectrum],
    guesses: list[str],
) -> Spectrum:
    """What a file says, else the spectrum whose pictures have the annotated size, else infrared."""
    said: list[Any] = [one.own.get("label_spectrum") for one in files.values() if one.own]
    if len(spectra) == 1:
        return spectra[0]
    if said and said[0] in ("rgb", "ir"):
        return "rgb" if said[0] == "rgb" else "ir"
    split, found = next((split, found) for split, found in pictures.items() if len(found.pictures) == 2)
    sizes = {spectrum: picture_size(found.pictures[spectrum][0]) for spectrum in spectra}
    record = files[split].images[0]
    annotated = record.get("height"), record.get("width")
    fitting = [spectrum for spectrum in spectra if sizes[spectrum] == annotated]
    if len(fitting) == 1:
        guesses.append(f"boxes are in {fitting[0]} pixels, because those pictures have the annotated size")
        return fitting[0]
    guesses.append("boxes are in ir pixels, because nothing says otherwise; look with caffdet visualize")
    return "ir"


def _classes(files: Mapping[SplitName, CocoFile], remarks: list[str]) -> tuple[str, ...]:
    """Those of the first split; others that differ are told."""
    (first, known), *others = ((split, one.classes) for split, one in files.items())
    remarks += [
        f"{split} has the classes {', '.join(names) or 'none'}, {first} has {', '.join(known) or 'none'}"
        for split, names in others
        if set(names) != set(known)
    ]
    return known


def _write(report: InitReport) -> dict[SplitName, SplitFound]:
    """Write the file, once caffdet itself has read every split through it; the splits with their counts."""
    with whole_file(report.file) as part:
        part.write_text(to_toml(report), encoding="utf-8")
        data = load_config(dataset=str(part)).config.data
        return {split: _counted(data, split, one) for split, one in report.splits.items()}


def _counted(data: Data, split: SplitName, one: SplitFound) -> SplitFound:
    _, annotations = load_split(data, split)
    boxes = sum(len(example.objects) for example in annotations.examples)
    return replace(one, pictures=len(annotations.examples), boxes=boxes)


def to_toml(report: InitReport) -> str:
    """The file's text: the [data] table with a comment on what may have to be changed."""
    kind = "caff-lite-dino" if len(report.spectra) == 2 else "lite-dino"
    away = Path(os.path.relpath(report.source, report.file.parent))
    root = away if away.parts.count("..") <= 1 else report.source
    lines = [
        "# caffdet data init: written from what was found; correct what is wrong",
        "[data]",
        _line("name", report.name),
        _line(
            "root", root.as_posix(), "where the files are" + ("" if root.is_absolute() else ", relative to this file")
        ),
        _line("classes", list(report.classes), "in the order of the model's outputs"),
        _line("label_spectrum", report.label_spectrum, "in whose pixels the boxes are"),
        _line("model", f"{kind}-r18"),
        _line("recipe", "from-scratch"),
    ]
    for split, one in report.splits.items():
        lines += ["", f"[data.splits.{split}]", _line("annotations", one.annotations and [one.annotations])]
        lines += [_line(key, folder) for key, folder in (("rgb", one.rgb), ("ir", one.ir)) if folder is not None]
    lines += _thermal(report.thermal)
    if report.spectra == ("ir",):  # the shipped models of one spectrum look at RGB
        lines += ["", "[model]", _line("spectra", ["ir"])]
    return "\n".join(lines) + "\n"


def _thermal(rule: Thermal | None) -> list[str]:
    match rule:
        case RangeRule(low=low, high=high):
            values = [_line("low", low, "counts that become 0 and 1"), _line("high", high)]
        case PercentileRule():
            values = []
        case _:
            return []
    return ["", "[data.thermal]", _line("name", rule.name, "how counts of more than 8 bits become 0..1"), *values]


def _line(key: str, value: object, comment: str = "") -> str:
    items = value if isinstance(value, list) else None
    text = f"[{', '.join(map(_value, items))}]" if items is not None else _value(value)
    return f"{key} = {text}" + (f"  # {comment}" if comment else "")


def _value(value: object) -> str:
    return tomli_w.dumps({"_": value}).removeprefix("_ = ").rstrip("\n")


def _relative(path: Path, source: Path) -> str:
    return os.path.relpath(path, source).replace(os.sep, "/")


def _name_of(source: Path) -> str:
    name = re.sub(r"[^\w.+-]", "-", source.name)
    return name if re.search(r"\w", name) else "mine"


def _nothing(source: Path, remarks: Sequence[str]) -> str:
    """Why there is nothing to describe, and what to do."""
    if layout := recognise(source):
        return (
            f"{source} is a raw {layout} data set; convert it, which writes the TOML too: "
            f"caffdet convert {layout} {shlex.quote(str(source))} -o {shlex.quote(f'{source}-coco')}"
        )
    for folder in sorted(entries(source)):
        if folder.is_dir() and (layout := recognise(folder)):
            there = shlex.quote(str(folder))
            return f"{source} has no COCO file, and a folder in it is raw {layout}: caffdet data init {there}"
    said = f" ({remarks[0]})" if remarks else ""
    return f"{source} has no COCO annotation file{said}. What caffdet convert reads:\n{described()}"
