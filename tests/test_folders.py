"""Result folders: whole or not at all."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from caffdet_cli.errors import OutputError
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import numbered_folder


def fill(target: Path, text: str, *, overwrite: bool = False, then: Callable[[], object] = str) -> None:
    """One file `a` in a whole folder; `then` runs before it is finished."""
    with whole_folder(target, overwrite=overwrite) as part:
        (part / "a").write_text(text)
        then()


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_appears_when_it_is_whole(tmp_path: Path):
    with whole_folder(tmp_path / "deep" / "out") as part:
        (part / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path) == ["deep", "deep/out", "deep/out/a"]


def test_an_empty_folder_is_filled(tmp_path: Path):
    with whole_folder(tmp_path) as part:
        (part / "sub").mkdir()
        (part / "sub" / "a").write_text("1")
    assert names(tmp_path) == ["sub", "sub/a"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]):
    def fail() -> None:
        raise error

    with pytest.raises(error):
        fill(tmp_path / "out", "1", then=fail)
    assert names(tmp_path) == []


def test_a_failure_leaves_what_was_there(tmp_path: Path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError):
        fill(tmp_path, "new", overwrite=True, then=lambda: 1 / 0)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_full_folder_is_refused_before_the_work(tmp_path: Path):
    (tmp_path / "mine").write_text("1")
    with pytest.raises(OutputError, match="--overwrite"), whole_folder(tmp_path):
        pytest.fail("the work was started")


def test_overwriting_replaces_files_of_the_same_name_only(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for name in ("mine", "a", "sub/mine", "sub/a"):
        (tmp_path / name).write_text("old")
    with whole_folder(tmp_path, overwrite=True) as part:
        (part / "sub").mkdir()
        for name in ("a", "sub/a", "sub/b"):
            (part / name).write_text("new")
    content = {name: (tmp_path / name).read_text() for name in names(tmp_path) if (tmp_path / name).is_file()}
    assert content == {"mine": "old", "a": "new", "sub/mine": "old", "sub/a": "new", "sub/b": "new"}


def test_of_two_at_once_the_second_is_told(tmp_path: Path):
    target = tmp_path / "out"
    with pytest.raises(OutputError, match="meanwhile"):
        fill(target, "first", then=lambda: fill(target, "second"))
    assert names(tmp_path) == ["out", "out/a"]
    assert (tmp_path / "out" / "a").read_text() == "second"


def test_of_two_at_once_that_overwrite_both_end_well(tmp_path: Path):
    with whole_folder(tmp_path / "out", overwrite=True) as first:
        (first / "a").write_text("first")
        with whole_folder(tmp_path / "out", overwrite=True) as second:
            (second / "b").write_text("second")
    assert names(tmp_path / "out") == ["a", "b"]


def test_a_file_in_the_way_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("1")
    with pytest.raises(OutputError), whole_folder(tmp_path / "file", overwrite=True):
        pytest.fail("the work was started")
    with pytest.raises(OutputError), whole_folder(tmp_path / "file" / "out"):
        pytest.fail("the work was started")


def test_folders_with_numbers_are_taken_once_each(tmp_path: Path):
    (tmp_path / "run-3").mkdir()
    (tmp_path / "run-x").mkdir()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: numbered_folder(tmp_path, "run"), range(16)))
    assert sorted(int(path.name.removeprefix("run-")) for path in made) == list(range(4, 20))
    assert numbered_folder(tmp_path, "run", make=False).name == "run-20"
    assert not (tmp_path / "run-20").exists()


def test_a_file_in_the_place_of_the_parent_is_one_sentence(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        numbered_folder(tmp_path / "runs", "run")
