"""Time of `caffdet --help` beside a bare Typer program with as many commands.

    python benchmarks/help_time.py [--repeat 20] [--json FILE]

Runs the two in turn, each in a process of its own, and compares the medians; the machine's speed cancels in the ratio.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """import typer

app = typer.Typer()
{commands}
app()
"""
COMMAND = '@app.command("c{number}")\ndef c{number}(name: str = "x") -> None:\n    "Does nothing."\n\n'


def seconds(words: list[str]) -> float:
    """Wall time of one run of a command."""
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=20, help="runs of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE.format(commands="".join(COMMAND.format(number=number) for number in range(8))))
        subjects = {
            "caffdet": [sys.executable, "-m", "caffdet_cli", "--help"],
            "typer": [sys.executable, str(bare), "--help"],
        }
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(options.repeat + 1):
            for name, words in subjects.items():
                times[name].append(seconds(words))
    caffdet, typer = (statistics.median(runs[1:]) for runs in times.values())  # the first run fills the disk's cache
    print(f"caffdet --help {caffdet * 1000:.0f} ms, bare Typer {typer * 1000:.0f} ms, ratio {caffdet / typer:.2f}")
    if options.json:
        row = {"subject": "caffdet --help", "against": "bare Typer", "ratio": caffdet / typer}
        figures = {"rows": [{**row, "seconds": caffdet, "against_seconds": typer}], "machine": platform.platform()}
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
