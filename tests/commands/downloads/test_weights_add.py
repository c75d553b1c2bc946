"""`caffdet weights add`: a file that a person fetched."""

import os

import pytest
from cached import CONTENT, NAME, OTHER, SHA256, final_names

from caffdet_cli.main import main


def test_a_file_fetched_by_hand_is_added_under_its_name(cache, tmp_path, answer, capsys):
    saved = tmp_path / "manual (1).pth"
    saved.write_bytes(CONTENT)
    assert answer("weights", "add", str(saved)) == {
        "path": str(cache / "manual.pth"),
        "size": len(CONTENT),
        "sha256": SHA256,
        "added": True,
    }
    assert not answer("weights", "add", str(saved))["added"]
    assert main(["download-weights", "manual"]) == 0
    assert "was at hand" in capsys.readouterr().out


def test_a_renamed_file_is_added_by_its_released_name(cache, tmp_path):
    saved = tmp_path / "download.bin"
    saved.write_bytes(CONTENT)
    assert main(["weights", "add", str(saved), "--name", "mine"]) == 0
    assert (cache / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "content", "words", "says"),
    [
        ("manual.pth", None, [], "cannot read manual.pth: No such file"),
        ("manual.pth", b"<!DOCTYPE html>", [], "manual.pth is a web page"),
        ("manual.pth", b"text", [], "not what its name says"),
        ("manual.pth", b"", [], "not what its name says"),
        (NAME, OTHER, [], "is not the released mine.pth: sha256"),
        ("manul.pth", CONTENT, [], "no released file is called 'manul.pth'; did you mean 'manual.pth'"),
        ("manual.pth", CONTENT, ["--name", "manul"], "no released file is called 'manul'"),
    ],
)
def test_what_cannot_be_added_is_told(refusal, tmp_path, name, content, words, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert says in refusal(2, "weights", "add", name, *words)


def test_a_file_of_a_record_is_checked_by_it(server, cache, tmp_path, refusal, answer):
    server.put_record(7, **{"second.pth": CONTENT})
    (tmp_path / "second.pth").write_bytes(OTHER)
    assert "not the released second.pth: md5" in refusal(2, "weights", "add", "second.pth")
    (tmp_path / "second.pth").write_bytes(CONTENT)
    assert answer("weights", "add", "second.pth")["added"]
    assert answer("download-weights", "second", "--offline")["files"][0]["sha256"] == SHA256
    assert len(server.asked_for("/api/records/7")) == 2


def test_a_record_out_of_reach_is_told_with_the_way_around(refusal, tmp_path):
    (tmp_path / "second.pth").write_bytes(OTHER)
    assert "CAFFDET_OFFLINE=1" in refusal(1, "weights", "add", "second.pth")


def test_what_was_added_offline_is_not_checked_until_its_record_is_asked(server, cache, tmp_path, monkeypatch, capsys):
    (tmp_path / "second.pth").write_bytes(OTHER)
    monkeypatch.setenv("CAFFDET_OFFLINE", "1")
    assert main(["weights", "add", "second.pth", "--quiet"]) == 0
    assert "warning: second.pth: not checked, because nothing is asked offline" in capsys.readouterr().err
    assert main(["download-weights", "second"]) == 0
    (tmp_path / "second.pth").write_bytes(CONTENT)
    assert main(["weights", "add", "second.pth"]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    monkeypatch.delenv("CAFFDET_OFFLINE")
    assert main(["download-weights", "second"]) == 0  # the record does not answer
    assert "not checked: " in capsys.readouterr().err
    server.put_record(7, **{"second.pth": CONTENT})
    server.put("/files/second.pth", CONTENT)
    assert main(["download-weights", "second"]) == 1
    assert "as the record " in capsys.readouterr().err
    assert main(["download-weights", "second", "--overwrite"]) == 0
    assert (cache / "second.pth").read_bytes() == CONTENT


def test_what_was_added_offline_counts_as_checked_once_it_was(server, cache, tmp_path, monkeypatch, answer):
    (tmp_path / "second.pth").write_bytes(CONTENT)
    monkeypatch.setenv("CAFFDET_OFFLINE", "1")
    answer("weights", "add", "second.pth")
    monkeypatch.delenv("CAFFDET_OFFLINE")
    server.put_record(7, **{"second.pth": CONTENT})
    for _ in range(2):
        assert not answer("download-weights", "second")["files"][0]["fetched"]
    assert len(server.asked_for("/api/records/7")) == 1


def test_a_pipe_is_not_waited_for(refusal, tmp_path):
    os.mkfifo(tmp_path / "manual.pth")
    assert "manual.pth is not a file" in refusal(2, "weights", "add", "manual.pth")


def test_another_file_of_the_name_is_not_replaced_unasked(cache, tmp_path, capsys):
    (tmp_path / "manual.pth").write_bytes(CONTENT)
    assert main(["weights", "add", "manual.pth"]) == 0
    (cache / "manual.pth.json").unlink()
    (tmp_path / "manual.pth").write_bytes(OTHER)
    assert main(["weights", "add", "manual.pth"]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert (cache / "manual.pth").read_bytes() == CONTENT
    assert main(["weights", "add", "manual.pth", "--overwrite"]) == 0
    assert (cache / "manual.pth").read_bytes() == OTHER


def test_a_file_in_its_place_already_is_checked_and_remembered(cache):
    cache.mkdir(parents=True)
    (cache / "manual.pth").write_bytes(CONTENT)
    assert main(["weights", "add", str(cache / "manual.pth")]) == 0
    assert final_names(cache) == ["manual.pth", "manual.pth.json"]


def test_the_group_alone_lists_its_commands(capsys):
    assert main(["weights"]) == 2
    assert "add" in capsys.readouterr().err
