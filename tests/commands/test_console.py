"""Plain lines in a pipe, rich on a terminal, nothing that steers a terminal from a file."""

import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from caffdet_cli.commands import console


def on_a_terminal(script: str, **environment: str) -> str:
    """What a program writes to a terminal of 60 columns."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60", **environment}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=follower, stderr=follower, env=env)
    os.close(follower)
    parts = []
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(leader)
    assert process.wait(timeout=30) == 0
    return b"".join(parts).decode()


TABLE = "from caffdet_cli.commands.console import table; table('T', ['name', 'AP'], [('[red]a', 0.5), ('b', 0.25)])"
BARS = (
    "import time; from caffdet_cli.commands.console import progress; p = progress()\n"
    "for _ in p.track(range(3), 'outer'):\n"
    "    for _ in p.track(range(2), 'inner'): time.sleep(0.06)\n"
    "    p.say('[bold]said')\n"
)


def test_plain_table_is_aligned_and_numbers_stand_right(capsys):
    console.table("", ["name", "AP"], [("person", 0.5), ("car", 12.25)])
    assert capsys.readouterr().out == "name       AP\n------  -----\nperson    0.5\ncar     12.25\n"


def test_table_may_go_to_standard_error(capsys):
    console.table("Findings", ["what"], [("a\nb\x1b",)], to="stderr")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Findings\nwhat\n-------\na b\\x1b\n\n"


def test_table_without_rows_has_its_head(capsys):
    console.table("", ["a", "b"], [])
    assert capsys.readouterr().out == "a  b\n-  -\n"


def test_json_is_json_and_refuses_what_is_not(capsys):
    console.print_json({"schema": 1, "name": "ä"})
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "name": "ä"}
    with pytest.raises(ValueError, match="JSON"):
        console.print_json({"AP": float("nan")})


def test_plain_progress_hands_out_every_item_and_tells_sometimes(capsys):
    lines = console.Lines(interval=0.05)
    assert [time.sleep(0.02) or item for item in lines.track(iter("abcdef"), "reading", total=6)] == list("abcdef")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.match(r"reading: [1-5]/6, 0:00 left\n", err)
    assert err.endswith("reading: 6 done in 0:00\n")


def test_fast_loop_says_nothing(capsys):
    assert list(console.progress().track(range(1000), "reading")) == list(range(1000))
    assert capsys.readouterr().err == ""


def test_quiet_leaves_only_warnings(capsys):
    quiet = console.progress(quiet=True)
    quiet.say("working")
    quiet.warn("odd \x1b")
    assert list(quiet.track([1], "x")) == [1]
    assert capsys.readouterr().err == "warning: odd \\x1b\n"


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "0:00"), (61, "1:01"), (3725, "1:02:05")])
def test_clock(seconds, shown):
    assert console.clock(seconds) == shown


@pytest.mark.e2e
def test_terminal_gets_a_rich_table_without_markup_from_cells():
    shown = on_a_terminal(TABLE)
    assert "[red]a" in shown
    assert "\x1b[" in shown


@pytest.mark.e2e
def test_no_color_has_no_colours():
    shown = on_a_terminal(BARS, NO_COLOR="1")
    assert "said" in shown
    assert "\x1b[3" not in shown


@pytest.mark.e2e
def test_dumb_terminal_gets_plain_lines():
    assert "\x1b" not in on_a_terminal(TABLE + "\n" + BARS, TERM="dumb")


@pytest.mark.e2e
@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_bars_of_nested_loops_fit_any_terminal(columns):
    shown = on_a_terminal(BARS, COLUMNS=columns)
    assert shown.count("[bold]said") == 3
    assert "outer" in shown
    assert "inner" in shown


@pytest.mark.e2e
def test_pipe_gets_no_control_characters_even_with_forced_colour():
    done = subprocess.run(
        [sys.executable, "-c", TABLE + "\n" + BARS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == "[bold]said\n" * 3


def test_bars_of_the_library_speak_on_standard_error(capsys):
    from caffdet_cli.progress import Bars

    Bars().warn("something")
    out, err = capsys.readouterr()
    assert out == ""
    assert "warning: something" in err
