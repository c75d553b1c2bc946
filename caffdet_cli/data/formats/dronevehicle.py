"""DroneVehicle: vehicles from a drone, colour and thermal, each with labels of its own. Unverified.

    train/  trainimg/NNNNN.jpg  trainimgr/NNNNN.jpg  trainlabel/NNNNN.xml  trainlabelr/NNNNN.xml
    val/    valimg/  ..                                          test/  testimg/  ..

The inner folders may also lie side by side without the outer ones. A folder's split is its own; numbers may start anew
in each. Boxes are oriented (<polygon>) or upright (<bndbox>). A white border of pictures stays: boxes fit them as they
are. A label file of another form refuses the set.

Source: Sun et al., Drone-based RGB-infrared cross-modality vehicle detection, TCSVT 2022, arXiv:2003.02437.
"""

from collections import Counter
from pathlib import Path

from caffdet_cli.data.formats.frames import read_frames, report_orphans
from caffdet_cli.data.formats.label_policy import policy_of
from caffdet_cli.data.formats.layout import PICTURES, SPLITS, Frame, Frames, Raw, Request, SplitName, by_name, subfolder
from caffdet_cli.data.formats.records import BrokenAnnotation, RawRecord
from caffdet_cli.data.formats.voc_xml import read_voc
from caffdet_cli.errors import DatasetError

LOOKS = "train/ with trainimg/, trainimgr/, trainlabel/ and trainlabelr/; val/ and test/ likewise"
CLASSES = ("car", "truck", "bus", "van", "freight car")
ALIASES = {
    "feright car": "freight car",
    "feright_car": "freight car",
    "feright": "freight car",
    "freight_car": "freight car",
    "truvk": "truck",
}
_KINDS = ("img", "imgr", "label", "labelr")


def looks_like_dronevehicle(source: Path) -> bool:
    """Whether a folder has this layout."""
    return any(all(_folders(source, split)[:2]) for split in SPLITS)


def read_dronevehicle(request: Request) -> Raw:
    """The splits that are there. Labels of the infrared pictures count, unless told otherwise.

    Raises:
        DatasetError: a split lacks one of its folders, a label file is not of its form, or nothing is usable.
    """
    spectrum = policy_of(request.labels, request.label_spectrum)[1]
    frames: Frames = {}
    orphans: list[Path] = []
    records: dict[Path, RawRecord] = {}
    for split in SPLITS:
        folders = _folders(request.source, split)
        if not any(folders):
            continue
        rgb, ir, *labels = _files(folders, split, request)
        records |= _records([*labels[0].values(), *labels[1].values()], split, request)
        own, other = labels if spectrum == "rgb" else reversed(labels)
        frames[split] = [
            Frame(f"{split}/{name}", rgb.get(name), ir.get(name), own.get(name), other.get(name))
            for name in sorted({*rgb, *ir})
        ]
        orphans += [path for some in labels for name, path in some.items() if name not in rgb and name not in ir]

    def look_up(path: Path, _picture: Path | None) -> RawRecord:
        return records[path]

    report_orphans(orphans, request, look_up)
    sets = read_frames(
        frames,
        request,
        label_spectrum=spectrum,
        classes=CLASSES,
        aliases=ALIASES,
        numbers=_numbers(frames),
        read=look_up,
    )
    return Raw(sets, ("rgb", "ir"))


def _folders(source: Path, split: SplitName) -> list[Path | None]:
    """RGB and infrared pictures, RGB and infrared labels."""
    place = subfolder(source, split) or source
    return [subfolder(place, f"{split}{kind}") for kind in _KINDS]


def _files(folders: list[Path | None], split: SplitName, request: Request) -> list[dict[str, Path]]:
    """What is in the four folders, by name."""
    if None in folders:
        missing = f"{split}{_KINDS[folders.index(None)]}"
        raise DatasetError(f"{request.source}: a split has four folders; {missing} is missing. Looked for {LOOKS}")
    kinds = (PICTURES, PICTURES, [".xml"], [".xml"])
    return [by_name(folder, kind, request) for folder, kind in zip(folders, kinds, strict=True) if folder is not None]


def _records(paths: list[Path], split: SplitName, request: Request) -> dict[Path, RawRecord]:
    """What label files say; where one is of another form the whole set is refused, as nobody has seen its files."""
    return {path: _record(path) for path in request.progress.track(paths, f"reading label files of {split}")}


def _record(path: Path) -> RawRecord:
    try:
        return read_voc(path)
    except BrokenAnnotation as error:
        raise DatasetError(f"{path}: {error}; a Pascal VOC file is needed, mend it or get it again") from error


def _numbers(frames: Frames) -> dict[str, str]:
    """Digits that make ids, where no number occurs in two splits."""
    stems = {frame.name: frame.name.rpartition("/")[2] for some in frames.values() for frame in some}
    digits = {name: stem for name, stem in stems.items() if stem.isascii() and stem.isdigit()}
    often = Counter(int(stem) for stem in digits.values() if len(stem) < 16)
    return digits if all(count == 1 for count in often.values()) else {}
