"""Finds the parity cases and prints, after the tests, how near each came to its tolerance and what is not built."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # the harness and the runners are modules of this folder
    sys.path.insert(0, str(HERE))

SHARED = HERE.parents[2] / "shared" / "parity"
LARGE = 150_000_000  # parameters above which a case is slow


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "parity_case" in metafunc.fixturenames:
        folders = sorted(path.parent for path in _root(metafunc.config).glob("*/*/case.json"))
        if not folders and metafunc.config.getoption("--parity-root"):
            raise pytest.UsageError("--parity-root holds no case DIR/<family>/<case>/case.json")
        cases = [
            pytest.param(folder, id=f"{folder.parent.name}/{folder.name}", marks=_marks(folder)) for folder in folders
        ]
        metafunc.parametrize("parity_case", cases, indirect=True)


@pytest.fixture
def parity_case(request: pytest.FixtureRequest) -> Any:
    from harness import Case

    return Case(request.param, strict=request.config.getoption("--parity-strict"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = [_line(report, found) for report, found in _measured(terminalreporter.stats)]
    if lines:
        terminalreporter.section("parity: largest difference per case, as a share of its tolerance")
        terminalreporter.write_line("\n".join(lines))
    missing = Counter(
        report.wasxfail.removeprefix("reason: ")
        for report in terminalreporter.stats.get("xfailed", ())
        if "not yet built" in report.wasxfail
    )
    if missing:
        terminalreporter.section("parity: not yet built")
        terminalreporter.write_line("\n".join(f"{what} ({number} cases)" for what, number in sorted(missing.items())))


def _root(config: pytest.Config) -> Path:
    """The folder of the cases: the one asked for, else ../shared/parity, else the selection in this repository."""
    chosen = config.getoption("--parity-root")
    if chosen is not None and not Path(chosen).is_dir():
        raise pytest.UsageError(f"--parity-root {chosen} is not a folder")
    if chosen is not None:
        return Path(chosen).resolve()
    return SHARED if SHARED.is_dir() else HERE / "cases"


def _marks(folder: Path) -> list[pytest.MarkDecorator]:
    parameters = json.loads((folder / "case.json").read_text(encoding="utf-8")).get("num_parameters") or 0
    return [pytest.mark.slow] if parameters > LARGE else []


def _measured(stats: dict[str, list[Any]]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Reports of the tests that compared something, with what they found."""
    for outcome in ("passed", "failed", "xfailed"):
        for report in stats.get(outcome, ()):
            found = dict(getattr(report, "user_properties", ())).get("parity")
            if found:
                yield report, found


def _line(report: Any, found: dict[str, Any]) -> str:
    name = report.nodeid.partition("[")[2].rstrip("]")
    return f"{name:<55} {found['share']:8.3f} {found['name']} ({found['worst']:.3g}), {found['compared']} compared"
