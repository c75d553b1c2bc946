"""Raw data sets -> paired COCO: reads a layout, checks every picture and box, and writes what fits.

How the output looks is in `exporting/`: `paired.py`, and `export.py` for forms that other programs read.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from caffdet_cli.data.exporting.dataset_toml import Known
from caffdet_cli.data.exporting.export import Export, earlier_files, remove_stale, write_back
from caffdet_cli.data.exporting.paired import Paired, remove_stale_splits, write_paired
from caffdet_cli.data.exporting.sayable import Target, fitting
from caffdet_cli.data.findings import FindingLog
from caffdet_cli.data.formats.layout import LabelPolicy, Raw, Request, SplitName
from caffdet_cli.data.holding_out import hold_out
from caffdet_cli.data.mending import Mended, mend
from caffdet_cli.data.raw import is_verified, read_raw, source_folder
from caffdet_cli.errors import DatasetError, Findings, OutputError
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import fresh_folder
from caffdet_cli.progress import Bars, Progress
from caffdet_cli.settings.base import Spectrum


@dataclass(frozen=True)
class SplitReport:
    """What one split holds now."""

    pictures: int  # a pair counts once
    boxes: int


@dataclass(frozen=True)
class ConvertReport:
    """What was converted: pictures and boxes read = those of the splits + those that findings say were left out."""

    format: str
    source: Path
    output: Path
    written: bool  # False after a dry run
    splits: Mapping[SplitName, SplitReport]
    classes: tuple[str, ...]
    spectra: tuple[Spectrum, ...]
    label_spectrum: Spectrum
    findings: FindingLog
    verified: bool  # False: the layout was written from a description, and never tried on real files
    release: str  # which annotations these are, where several were published
    dataset: str  # the shipped data set that it is
    to: Target | None  # None: paired COCO


def convert(
    format: str,
    source: Path,
    output: Path,
    *,
    to: Target | None = None,
    strict: bool = False,
    copy: bool = False,
    classes: Sequence[str] | None = None,
    label_spectrum: Spectrum | None = None,
    labels: LabelPolicy | None = None,
    variant: str | None = None,
    first_category_id: int = 0,
    val: float | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    findings: FindingLog | None = None,
    progress: Progress | None = None,
) -> ConvertReport:
    """Convert one data set.

    Args:
        to: the form to write, for other programs; None: paired COCO, which all of caffdet reads.
        strict: any fault is an error, and nothing is written. Else it is repaired, or the item dropped.
        copy: copy the pictures too, so that the output can be moved; `yolo` and `voc` always do.
        classes: the only ones to keep, in this order. None: those of the format, or all that are found.
        label_spectrum: in whose pixels the boxes are; None: infrared where there are both.
        labels: whose labels count, for formats that label each spectrum by itself; None: the label spectrum's. `rgb`
            and `ir` are given in the pixels of their own picture.
        variant: which annotations, where a format was published with several; None: the usual ones.
        first_category_id: of the first class, where the source has no ids.
        val: share of the training pictures that become a `val` split of whole scenes; None: splits as the source has
            them.
        overwrite: replace an earlier conversion.
        dry_run: look at everything, write nothing.
        findings: takes what was found; also there after an error.

    Raises:
        DatasetError: not this layout, or nothing usable in it.
        Findings: `strict`, and there are faults.
        OutputError, DiskFull: the output exists or cannot be written.
    """
    progress, findings = progress or Bars(), FindingLog() if findings is None else findings
    with _friendly_reads(source):
        source = source_folder(source)
    output = Path(os.path.abspath(output))
    _keep_apart(source, output)
    fresh_folder(output, overwrite)
    earlier = set() if to is None else earlier_files(output)
    wanted = None if classes is None else _distinct(classes)
    if labels in ("rgb", "ir") and label_spectrum not in (None, labels):
        raise DatasetError(f"labels of {labels} are in {labels} pixels; leave out label_spectrum = {label_spectrum}")
    request = Request(source, wanted, label_spectrum, first_category_id, findings, progress, labels, variant)
    folder = nullcontext() if dry_run else whole_folder(output, overwrite=overwrite)
    with folder as part:
        with _friendly_reads(source):
            raw = read_raw(format, request)
            if val is not None:
                raw = raw._replace(splits=hold_out(raw.splits, val, source, findings, progress))
            mended = {
                split: mend(one, raw.spectra, split, request, whole_boxes=raw.whole_boxes)
                for split, one in raw.splits.items()
            }
        root = _picture_root(mended, source)
        _keep_apart(root, output)
        if to is not None:
            mended = fitting(to, mended, raw.spectra, request)
            _tell_rig(raw, request)
        report = _report(format, output, raw, mended, request, to, written=part is not None)
        if strict and findings.faults:
            raise Findings(
                f"{findings.faults} findings in {source}: {findings.summary()}; nothing was written. "
                "Mend the files, or leave --strict out to drop or repair them"
            )
        if part is not None:
            _write(part, mended, report, request, copy, root, raw.rig)
    if report.written and to is None:
        remove_stale_splits(output, report.splits.keys())
    elif report.written:
        remove_stale(output, earlier)
    return report


def _write(
    part: Path,
    mended: Mapping[SplitName, Mended],
    report: ConvertReport,
    request: Request,
    copy: bool,
    root: Path,
    rig: str,
) -> None:
    root_as, made_by = _root_as(root, report.output), _made_by(report.format)
    if report.to is not None:
        sets = {split: one.annotations for split, one in mended.items()}
        made_by = f"{made_by} --to {report.to}"
        write_back(part, Export(report.to, sets, report.spectra, root, root_as, copy, made_by, report.release, request))
        return
    known = Known(
        report.format,
        report.dataset,
        report.source,
        report.output.name,
        report.classes,
        report.spectra,
        report.label_spectrum,
        rig,
    )
    write_paired(part, Paired(mended, known, root, root_as, copy, made_by, report.release, request))


@contextmanager
def _friendly_reads(source: Path) -> Iterator[None]:
    """Turn what the system says about a failed read into one sentence; it is no fault of the output."""
    try:
        yield
    except OSError as error:
        place = error.filename or source
        raise DatasetError(f"cannot read {place}: {error.strerror}; check its permissions and its disk") from error


def _keep_apart(source: Path, output: Path) -> None:
    """The output may lie in the source, but must not be it or hold it."""
    here, there = Path(os.path.realpath(source)), Path(os.path.realpath(output))
    if here == there or here.is_relative_to(there):
        raise OutputError(f"--output {output} holds the source {source}; choose another --output")


def _tell_rig(raw: Raw, request: Request) -> None:
    """Other programs have no rigs."""
    if raw.rig:
        label_spectrum = next(iter(raw.splits.values())).label_spectrum
        request.progress.warn(
            f"the pictures are written as they are, without {raw.rig}: boxes fit the {label_spectrum} pictures only"
        )


def _picture_root(mended: Mapping[SplitName, Mended], source: Path) -> Path:
    """The source, or the folder that all pictures are in where a converted source has them elsewhere."""
    examples = (example for one in mended.values() for example in one.annotations.examples)
    folders = {path.parent for example in examples for path in (example.rgb, example.ir) if path is not None}
    if all(folder.is_relative_to(source) for folder in folders):
        return source
    return Path(os.path.commonpath(folders))


def _made_by(format: str) -> str:
    from caffdet_cli import __version__

    return f"caffdet {__version__} convert {format}"


def _distinct(classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in classes)
    if not names or not all(names) or len(set(names)) < len(names):
        raise DatasetError(f"classes = {', '.join(classes)}: give each class name once, separated by commas")
    return names


def _report(
    format: str,
    output: Path,
    raw: Raw,
    mended: Mapping[SplitName, Mended],
    request: Request,
    to: Target | None,
    *,
    written: bool,
) -> ConvertReport:
    sets = {split: one.annotations for split, one in mended.items()}
    splits = {
        split: SplitReport(len(one.examples), sum(len(example.objects) for example in one.examples))
        for split, one in sets.items()
    }
    if not any(split.pictures for split in splits.values()):
        summary = request.findings.told() or "it has none"
        raise DatasetError(f"{request.source}: no picture can be used: {summary}")
    return ConvertReport(
        format=format,
        source=request.source,
        output=output,
        written=written,
        splits=splits,
        classes=tuple(dict.fromkeys(category.name for one in sets.values() for category in one.categories)),
        spectra=raw.spectra,
        label_spectrum=next(iter(sets.values())).label_spectrum,
        findings=request.findings,
        verified=is_verified(format) and raw.verified,
        release=raw.release,
        dataset=raw.dataset or format,
        to=to,
    )


def _root_as(source: Path, output: Path) -> str:
    """How annotation files in `output` call the source: relative where the two lie close together."""
    relative = Path(os.path.relpath(source, output))
    return relative.as_posix() if relative.parts.count("..") <= 1 else source.as_posix()
