"""`caffdet demo`: what it prints of a finished demonstration, for people and for programs."""

import json
from pathlib import Path

import pytest

import caffdet_cli.demo
from caffdet_cli.demo import DemoReport
from caffdet_cli.main import main

FIGURES = DemoReport(
    pair=0.5, rgb_alone=0.3, ir_alone=0.375, pair_without_rgb=0.25, pair_without_ir=0.125, seconds=90.0
)


@pytest.fixture(autouse=True)
def _finished(monkeypatch):
    """The work itself is tested in test_demo.py."""
    monkeypatch.setattr(caffdet_cli.demo, "run_demo", lambda output, **words: (Path(output), FIGURES))


def test_json_is_one_object_with_the_figures(capsys):
    assert main(["demo", "-o", "somewhere", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": 1,
        "output": "somewhere",
        "pair": 0.5,
        "rgb_alone": 0.3,
        "ir_alone": 0.375,
        "pair_without_rgb": 0.25,
        "pair_without_ir": 0.125,
        "seconds": 90.0,
    }
    assert err == ""


def test_the_table_says_what_the_pair_is_worth_and_where_everything_lies(capsys):
    assert main(["demo", "-o", "somewhere"]) == 0
    out = capsys.readouterr().out
    assert "the pair is 12.5 AP above the better detector of one spectrum" in out
    assert "somewhere/pictures/sheet.jpg" in out
    assert "somewhere/report.json" in out
