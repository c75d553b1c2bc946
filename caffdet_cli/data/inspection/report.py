"""What `caffdet data check` and `caffdet data info` write: JSON objects, and the answer of --strict."""

from collections import Counter
from typing import Any

from caffdet_cli.data.inspection.advice import ADVICE
from caffdet_cli.data.inspection.alignment import Alignment
from caffdet_cli.data.inspection.check import CheckReport
from caffdet_cli.data.inspection.info import Info, SplitInfo
from caffdet_cli.errors import Findings

_LISTED = 1000  # findings of one kind


def refuse_faults(report: CheckReport) -> None:
    """What --strict means.

    Raises:
        Findings: there are faults; what is only noted is none.
    """
    if report.findings.faults:
        raise Findings(f"{report.findings.faults} faults in {report.root}: {_summary(report)}")


def check_json(report: CheckReport) -> dict[str, Any]:
    """All findings, at most 1000 of a kind, and the numbers of all."""
    listed: Counter[str] = Counter()
    findings = []
    for finding in report.findings:
        listed[finding.kind] += 1
        if listed[finding.kind] <= _LISTED:
            about = {"kind": finding.kind, "place": finding.place, "what": finding.what, "action": finding.action}
            findings.append(about)
    return {
        "schema": 1,
        "root": str(report.root),
        "splits": report.splits,
        "faults": report.findings.faults,
        "noted": len(report.findings) - report.findings.faults,
        "kinds": [
            {"kind": row.kind, "number": row.number, "action": row.action, "advice": ADVICE[row.kind]}
            for row in report.findings.rows()
        ],
        "findings": findings,
        "shift": None if report.alignment is None else _alignment(report.alignment),
    }


def info_json(info: Info) -> dict[str, Any]:
    """Everything that was counted."""
    return {
        "schema": 1,
        "root": str(info.root),
        "label_spectrum": info.label_spectrum,
        "splits": {name: _split(split) for name, split in info.splits.items()},
    }


def shift_words(found: Alignment) -> str:
    """The shift between the spectra in a sentence."""
    if found.right is None or found.down is None or found.spread is None:
        return f"Shift between the spectra: not known, {found.trusted} of {found.pairs} pairs can be measured"
    return (
        f"Shift between the spectra: infrared lies {found.right:+.1f} right, {found.down:+.1f} down of RGB (pixels; "
        f"median of {found.trusted} pairs that can be measured of {found.pairs}, half within {found.spread:.1f})"
    )


def _summary(report: CheckReport) -> str:
    return ", ".join(f"{row.number} {row.kind}" for row in report.findings.rows() if row.action != "noted")


def _alignment(found: Alignment) -> dict[str, Any]:
    about = {"right": found.right, "down": found.down, "spread": found.spread}
    rounded = {key: None if value is None else round(value, 2) for key, value in about.items()}
    return {"pairs": found.pairs, "trusted": found.trusted, **rounded, "doubts": len(found.doubts)}


def _split(split: SplitInfo) -> dict[str, Any]:
    return {
        "pictures": split.pictures,
        "with_rgb": split.with_rgb,
        "with_ir": split.with_ir,
        "unreadable": split.unreadable,
        "without_objects": split.without_objects,
        "boxes": split.boxes,
        "crowd": split.crowd,
        "most_boxes": split.most_boxes,
        "light": split.light,
        "light_from": split.light_from,
        "forms": [{**form._asdict(), "number": number} for form, number in split.forms.items()],
        "classes": {name: one._asdict() for name, one in split.classes.items()},
    }
