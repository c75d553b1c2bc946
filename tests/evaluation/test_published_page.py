"""The table of published numbers: every row says what it takes to compare."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/published.md"
SAYS = ["data set version", "split", "label spectrum", "metric form", "source"]


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_table_has_the_same_last_columns():
    heads = [row for row, below in zip(rows(), rows()[1:], strict=False) if set("".join(below)) == {"-"}]
    assert len(heads) >= 5
    assert [head[2:] for head in heads] == [SAYS] * len(heads)


def test_no_cell_is_empty():
    assert [row for row in rows() if len(row) != 7 or "" in row] == []


def test_sources_have_one_of_three_kinds():
    body = [row for row in rows() if row[-1] not in ("source", "---")]
    assert len(body) > 90
    assert [row for row in body if row[-1].split(",")[0].split()[0] not in ("read", "told", "recomputed")] == []


def test_what_was_read_says_where():
    read = [row for row in rows() if row[-1].startswith("read")]
    assert len(read) > 20
    assert [row for row in read if not row[-1].startswith("read, ")] == []


def test_figures_of_one_table_are_not_written_twice():
    told = [tuple(row) for row in rows() if row[-1] not in ("source", "---")]
    assert len(told) == len(set(told))
