"""The results of one evaluation, and how they read: JSON for programs, tables and one sentence for people."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from caffdet_cli.evaluation.coco import NUMBERS, CocoReport
from caffdet_cli.evaluation.receipt import Published
from caffdet_cli.paths import write_text
from caffdet_cli.settings.late import Late

_LATE = {
    "late": "late fusion",
    "rgb": "rgb alone",
    "ir": "ir alone",
    "pair": "the pair detector",
    "pair-ir": "the other pair detector",
}
"""Words of a table for the keys of a late fusion."""


@dataclass(frozen=True)
class SpectraReport:
    """One detector, scored on the same pictures with each choice of spectra."""

    spectra: Mapping[str, CocoReport]
    """By what the detector was given: "pair", and with the other removed "rgb" and "ir". Of a file: "file".

    Of a late fusion: "late" for both detectors together, and each alone under what it looks at.
    """
    against: Mapping[str, CocoReport] = field(default_factory=dict)
    """By spectrum: detectors that were trained on it alone."""
    published: Published | None = None
    """Of a released file on its own data set: what was published, beside what was measured."""
    metric: Literal["coco", "segm"] = "coco"
    """Whether boxes or masks were matched."""
    late: Late | None = None
    """How detections of two detectors were fused; None: there is one detector."""

    @property
    def images(self) -> int:
        """How many pictures or pairs were scored."""
        return next(iter(self.spectra.values())).images


class Verdict(NamedTuple):
    """What the comparison with single-spectrum detectors says."""

    pays: bool
    sentence: str


class Table(NamedTuple):
    """Heads and cells, as text."""

    columns: list[str]
    rows: list[list[str]]


def verdict(report: SpectraReport) -> Verdict | None:
    """Whether a fusion beats the better of the detectors trained on one spectrum alone, by AP.

    The same detector with one spectrum removed is no yardstick: it never learned to do without.

    Returns:
        None where there is nothing to compare: no pair, no such detectors, or no object to find.
    """
    if report.late:
        return _late_verdict(report.spectra)
    if "pair" not in report.spectra or not report.against:
        return None
    pair = report.spectra["pair"].ap
    spectrum, best = max(((name, one.ap) for name, one in report.against.items()), key=lambda pairing: pairing[1])
    if min(pair, best) < 0:
        return None
    figures = f"AP {percent(pair)} for the pair, {percent(best)} for the detector trained on {spectrum} alone"
    if pair > best:
        return Verdict(True, f"The fusion pays: {figures}.")
    return Verdict(False, f"The fusion does not pay: {figures}; use that one, or train the pair longer.")


def _late_verdict(spectra: Mapping[str, CocoReport]) -> Verdict | None:
    """Whether a late fusion beats the better of its two detectors, by AP."""
    late = spectra["late"].ap
    name, best = max(((name, one.ap) for name, one in spectra.items() if name != "late"), key=lambda pair: pair[1])
    if min(late, best) < 0:
        return None
    figures = f"AP {percent(late)} for both detectors together, {percent(best)} for {_LATE.get(name, name)}"
    if late > best:
        return Verdict(True, f"The late fusion pays: {figures}.")
    return Verdict(False, f"The late fusion does not pay: {figures}; use that one, or look at --late prior=X.")


def to_json(report: SpectraReport) -> dict[str, Any]:
    """What `caffdet eval --json` prints; figures 0..1, -1 where undefined.

    With single-spectrum detectors there are two more keys: `against`, of the same form as `spectra`, and
    `fusion_pays` (null where undefined); of a late fusion `late`, its settings, and `fusion_pays`; of a released file
    on its own data set there is `published`.
    """
    value: dict[str, Any] = {
        "schema": 1,
        "metric": report.metric,
        "spectra": {name: _form(one) for name, one in report.spectra.items()},
        "images": report.images,
    }
    if report.against:
        value["against"] = {name: _form(one) for name, one in report.against.items()}
    if report.late:
        value["late"] = report.late.model_dump(mode="json")
    if report.against or report.late:
        judged = verdict(report)
        value["fusion_pays"] = judged.pays if judged else None
    if report.published:
        numbers = {
            each.number: {"published": each.published, "measured": each.measured} for each in report.published.numbers
        }
        value["published"] = {
            "name": report.published.name,
            "numbers": numbers,
            "reproduced": report.published.reproduced,
        }
    return value


def write_report(report: SpectraReport, path: Path) -> None:
    """Write `to_json` to a file, whole or not at all."""
    write_text(path, json.dumps(to_json(report), indent=2, allow_nan=False) + "\n")


def summary_table(report: SpectraReport) -> Table:
    """The twelve numbers, one per row, in percent."""
    columns = _columns(report)
    rows = [[number, *(percent(one.numbers[number]) for one in columns.values())] for number in NUMBERS]
    return Table(["", *columns], rows)


def class_table(report: SpectraReport, number: Literal["AP", "AP50"] = "AP") -> Table:
    """One number of each class, in percent."""
    columns = _columns(report)
    classes = next(iter(columns.values())).per_class
    rows = [
        [name, *(percent(getattr(one.per_class[name], number.lower())) for one in columns.values())] for name in classes
    ]
    return Table([number, *columns], rows)


def percent(value: float) -> str:
    """One decimal, or "-" where undefined."""
    return f"{100 * value:.1f}" if value >= 0 else "-"


def _columns(report: SpectraReport) -> dict[str, CocoReport]:
    """Every report under the words that a table has for it."""
    if report.late:
        return {_LATE.get(name, name): one for name, one in report.spectra.items()}
    is_pair = "pair" in report.spectra
    removed = {"rgb": "pair without ir", "ir": "pair without rgb"} if is_pair else {}
    columns = {removed.get(name, name): one for name, one in report.spectra.items()}
    return columns | {f"{name} alone": one for name, one in report.against.items()}


def _form(report: CocoReport) -> dict[str, Any]:
    per_class = {name: {"AP": score.ap, "AP50": score.ap50} for name, score in report.per_class.items()}
    return {**report.numbers, "per_class": per_class}
