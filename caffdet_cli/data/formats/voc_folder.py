"""The plain `voc` layout.

Annotations/NAME.xml  (or the XML files themselves)
JPEGImages/NAME.jpg   or  visible|rgb/NAME.*  and  infrared|ir|thermal/NAME.*
ImageSets/Main/{train,val,test}.txt            optional; without them all is one split, train
"""

from pathlib import Path

from caffdet_cli.data.formats.frames import read_frames
from caffdet_cli.data.formats.hostile import BrokenXml
from caffdet_cli.data.formats.layout import (
    PICTURES,
    Frame,
    Frames,
    Raw,
    Request,
    SplitName,
    by_name,
    entries,
    list_files,
    note_unlisted,
    read_list,
    subfolder,
)
from caffdet_cli.data.formats.voc_xml import read_voc
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.base import Spectrum

LOOKS = "Annotations/*.xml (or *.xml) beside JPEGImages/, or visible/ and infrared/"

RGB_FOLDERS = ("visible", "rgb", "vis", "vi", "color")
IR_FOLDERS = ("infrared", "ir", "thermal", "lwir", "tir")
ANY_FOLDERS = ("JPEGImages", "images")
LISTS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "trainval"),
    "val": ("val", "validation"),
    "test": ("test",),
}


def looks_like_voc(source: Path) -> bool:
    """Whether a folder has this layout."""
    annotations = subfolder(source, "Annotations")
    return any(path.suffix.lower() == ".xml" for folder in (annotations, source) if folder for path in entries(folder))


def read_voc_folder(request: Request) -> Raw:
    """The plain `voc` layout. Labels belong to the infrared pictures where there are both, unless told otherwise.

    Raises:
        DatasetError: no picture folder, or nothing usable.
    """
    source = request.source
    annotations = by_name(subfolder(source, "Annotations") or source, [".xml"], request)
    rgb, ir = _pictures(request)
    spectra: tuple[Spectrum, ...] = ("rgb",) if ir is None else ("ir",) if rgb is None else ("rgb", "ir")
    found = {
        name: Frame(name, (rgb or {}).get(name), (ir or {}).get(name), annotations.get(name))
        for name in sorted({*annotations, *(rgb or {}), *(ir or {})})
    }
    frames = _through_filenames(_listed(found, request), found, request)
    label_spectrum = request.label_spectrum or ("ir" if ir is not None else "rgb")
    if label_spectrum not in spectra:
        raise DatasetError(f"{source} has only {spectra[0]} pictures; boxes in {label_spectrum} pixels need those too")
    return Raw(read_frames(frames, request, label_spectrum=label_spectrum), spectra)


def _pictures(request: Request) -> tuple[dict[str, Path] | None, dict[str, Path] | None]:
    """Pictures of each spectrum by name; None for one that the data set does not have."""
    source = request.source
    rgb, ir = subfolder(source, *RGB_FOLDERS), subfolder(source, *IR_FOLDERS)
    if rgb is None and ir is None:
        rgb = subfolder(source, *ANY_FOLDERS) or source
        if request.label_spectrum == "ir":
            rgb, ir = None, rgb
    found = [None if folder is None else by_name(folder, PICTURES, request) for folder in (rgb, ir)]
    if not any(found):
        looked = ", ".join(sorted({request.place(folder) for folder in (rgb, ir) if folder is not None}))
        raise DatasetError(f"{source}: no pictures in {looked}; looked for {LOOKS}")
    return found[0], found[1]


def _listed(found: dict[str, Frame], request: Request) -> Frames:
    """Frames by split: as ImageSets/Main says, else all in train."""
    folder = request.source / "ImageSets" / "Main"
    lists = list_files(folder, LISTS) if folder.is_dir() else {}
    if not lists:
        return {"train": list(found.values())}
    frames = {split: [_frame(name, found) for name in read_list(path, request)] for split, path in lists.items()}
    note_unlisted(found, frames, request)
    return frames


def _frame(name: str, found: dict[str, Frame]) -> Frame:
    return found.get(name) or Frame(name, None, None, None)


def _through_filenames(frames: Frames, found: dict[str, Frame], request: Request) -> Frames:
    """Give an annotation without a picture of its name the picture that its <filename> names."""
    unclaimed = {name for name, frame in found.items() if frame.annotation is None}
    orphans = [frame for some in frames.values() for frame in some if frame.annotation and not (frame.rgb or frame.ir)]
    claimed: dict[str, Frame] = {}
    for frame in orphans:
        stem = Path(_filename(frame)).stem
        if stem in unclaimed:
            unclaimed.remove(stem)
            claimed[frame.name] = found[stem]._replace(annotation=frame.annotation)
            what = f"named after no picture; <filename> says {stem}"
            request.findings.add("other file name", request.place(frame.annotation or request.source), what, "repaired")
    taken = {frame.name for frame in claimed.values()}
    return {
        split: [claimed.get(frame.name, frame) for frame in some if frame.name not in taken]
        for split, some in frames.items()
    }


def _filename(frame: Frame) -> str:
    try:
        return read_voc(frame.annotation).filename if frame.annotation else ""
    except (BrokenXml, DatasetError):
        return ""
