"""The documents tell the truth: marked blocks are run, and every `caffdet` line has a command and options that exist.

Marks are comments in front of a block:
  <!-- run -->              the block's `$ caffdet ...` lines are run; the other lines must occur in what they print
                            ("..." stands for any lines)
  <!-- run: exit 2 -->      the same, with this exit code
  <!-- file: NAME -->       the block is written to NAME in the folder where the page's blocks are run
"""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from caffdet_cli.main import app, main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKED = re.compile(r"<!-- (run|file)(?:: ([^>]+))? -->\n```\w+\n(.*?)```", re.S)
CONSOLE = re.compile(r"```console\n(.*?)```", re.S)


def commands(block: str) -> Iterator[list[str]]:
    """The words after `caffdet` of a block's commands; lines may be continued with a backslash."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ ") and Path((words := shlex.split(line[2:], comments=True))[0]).name == "caffdet":
            yield words[1:]


def documented() -> list[tuple[str, list[str]]]:
    blocks = [(page.name, block) for page in PAGES for block in CONSOLE.findall(page.read_text(encoding="utf-8"))]
    return [(name, words) for name, block in blocks for words in commands(block)]


@pytest.mark.parametrize(
    ("page", "words"), documented(), ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_documented_command_and_its_options_exist(page, words):
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands") or not words or words[0].startswith("-"), f"no command {words[0]!r}"
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in words if re.match(r"-{1,2}[a-z]", word)}
    assert used <= known | {"--help", "-h"}


def named_in_python() -> set[str]:
    """`package.module.name` of everything that the pages tell to call from Python."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "CHANGELOG.md"])
    dotted = set(re.findall(r"`(caffdet_cli(?:\.\w+)+)", text))
    listed = re.findall(r"((?:`\w+[^`\n]*`(?: and )?)+)\s(?:of|in)\s`(caffdet_cli[\w.]+)`", text)
    imported = re.findall(r"^from (caffdet_cli[\w.]*) import ([\w, ]+)$", text, re.M)
    for names, module in [*listed, *((names, module) for module, names in imported)]:
        words = re.findall(r"`(\w+)", names) or names.split(", ")
        dotted |= {f"{module}.{word}" for word in words}
    return dotted


def test_the_pages_name_what_can_be_imported():
    assert {"caffdet_cli.check_dataset", "caffdet_cli.data.alignment.points.rig_from_points"} <= named_in_python()
    for name in sorted(named_in_python()):
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ImportError:
            assert hasattr(importlib.import_module(module), attribute), (
                f"{name}: a page names it, and it does not exist"
            )


@pytest.mark.parametrize("page", [page for page in PAGES if "<!-- run" in page.read_text()], ids=lambda page: page.name)
def test_marked_blocks_do_what_the_page_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind, detail, block in MARKED.findall(page.read_text(encoding="utf-8")):
        if kind == "file":
            Path(detail).write_text(block, encoding="utf-8")
            continue
        expected = int(detail.removeprefix("exit ")) if detail else 0
        assert [main(words) for words in commands(block)][-1] == expected
        out, err = capsys.readouterr()
        printed = [line.rstrip() for line in (out + err).splitlines()]
        shown = [line.rstrip() for line in block.splitlines() if not line.startswith("$ ")]
        missing = [line for line in shown if line not in ("...", "") and squeezed(line) not in map(squeezed, printed)]
        assert not missing, f"{page.name} shows lines that are not printed: {missing}"


def squeezed(line: str) -> str:
    """Columns are as wide as their longest cell, which a page need not show."""
    return " ".join(line.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
