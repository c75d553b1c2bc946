"""How miss rates read: JSON for programs, a table for people, and files in a result folder."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from caffdet_cli.evaluation.miss_rate import Curve, MissRateReport, SettingScore
from caffdet_cli.evaluation.miss_rate_truth import PARTS
from caffdet_cli.evaluation.report import Table
from caffdet_cli.paths import write_text
from caffdet_cli.visualization.miss_rate import MissRateCurve, draw_miss_rates
from caffdet_cli.visualization.sheet import save_picture
from caffdet_cli.visualization.text import Picture

FILES = ("miss-rate.json", "miss-rate.png")
"""What `write_miss_rates` writes."""

Reports = Mapping[str, MissRateReport]  # by what a detector was given, or "file"


def miss_rate_json(reports: Reports) -> dict[str, Any]:
    """What `caffdet eval --metric mr --json` prints; miss rates in percent, null where nothing counts or is known.

    Of a detector there is one more key, `spectra`: the same list for each choice of spectra, of which `settings` is
    the first.
    """
    first = next(iter(reports.values()))
    value: dict[str, Any] = {
        "schema": 1,
        "metric": "mr",
        "compatible": first.compatible,
        "settings": _rows(first),
        "images": first.pictures,
    }
    if set(reports) != {"file"}:
        value["spectra"] = {name: _rows(report) for name, report in reports.items()}
    return value


def miss_rate_table(report: MissRateReport) -> Table:
    """One setting a row."""
    rows = [
        [row["setting"], *("-" if row[part] is None else f"{row[part]:.2f}" for part in PARTS), str(row["counted"])]
        for row in _rows(report)
    ]
    return Table(["setting", *PARTS, "counted"], rows)


def draw_reports(reports: Reports, width: int = 1200) -> Picture:
    """The curve of each setting; of one setting by day and night too; of several reports their first setting."""
    first = next(iter(reports.values()))
    form = ", as the public script counts" if first.compatible else ""
    setting = f", {first.scores[0].setting.name}" if len(reports) > 1 else ""
    curves = [
        MissRateCurve(f"{name} {100 * curve.mean:.2f} %", curve.fppi, curve.miss)
        for name, curve in _chosen(reports)
        if curve.mean is not None
    ]
    return draw_miss_rates(f"Miss rate on {first.pictures} pictures{setting}{form}", curves, width)


def _chosen(reports: Reports) -> Iterator[tuple[str, Curve]]:
    if len(reports) > 1:
        yield from ((name, report.scores[0].curves["all"]) for name, report in reports.items())
        return
    for score in next(iter(reports.values())).scores:
        yield score.setting.name, score.curves["all"]
    if len(next(iter(reports.values())).scores) == 1:
        yield from ((part, curve) for part, curve in score.curves.items() if part != "all")


def write_miss_rates(reports: Reports, folder: Path) -> None:
    """The figures, and the curves as a picture."""
    figures, picture = (folder / name for name in FILES)
    write_text(figures, json.dumps(miss_rate_json(reports), indent=2, allow_nan=False) + "\n")
    save_picture(draw_reports(reports), picture)


def _rows(report: MissRateReport) -> list[dict[str, Any]]:
    return [_row(score) for score in report.scores]


def _row(score: SettingScore) -> dict[str, Any]:
    percents: dict[str, float | None] = {part: _percent(score, part) for part in PARTS}
    counted = score.curves["all"].counted if "all" in score.curves else 0
    return {"setting": score.setting.name, **percents, "counted": counted}


def _percent(score: SettingScore, part: Any) -> float | None:
    curve = score.curves.get(part)
    return None if curve is None or curve.mean is None else 100 * curve.mean
