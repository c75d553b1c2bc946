"""`caffdet download-weights`: what it prints, what it refuses, and `--weights` of other commands."""

import hashlib
import io
import json
import os
import re
import sys

import pytest
from cached import CONTENT, NAME, OTHER, SHA256, final_names

from caffdet_cli.main import main
from caffdet_cli.released.registry import registry


def test_alone_it_lists_what_exists_and_what_to_type(refusal):
    said = refusal(2, "download-weights")
    assert "caff-lite-dino-r50-llvip:" in said
    assert "caffdet download-weights lite-dino-r50-coco" in said


def test_the_list_says_what_is_known(answer, capsys):
    files = {file["name"]: file for file in answer("download-weights", "--list")["files"]}
    assert files["lite-dino-r50-coco"]["published"]["AP"] == 0.504
    assert files["caff-lite-dino-r50-llvip"]["stream_order"] == ["ir", "rgb"]
    assert not files["mine"]["at_hand"]
    assert main(["download-weights", "--list", "lite-dino-r50-coco"]) == 0
    out = capsys.readouterr().out
    assert "50.4" in out
    assert "mine" not in out


def test_a_file_is_fetched_and_its_place_printed(server, cache, capsys):
    server.put(f"/files/{NAME}", CONTENT)
    assert main(["download-weights", "mine"]) == 0
    out, err = capsys.readouterr()
    assert str(cache / NAME) in out
    assert "fetched" in out
    assert err.startswith(f"fetching {server.address}/files/{NAME} into ")
    assert main(["download-weights", "mine", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "was at hand" in out
    assert err == ""


def test_json_is_one_object(server, cache, answer):
    server.put(f"/files/{NAME}", CONTENT)
    (file,) = answer("download-weights", "mine")["files"]
    assert file["sha256"] == SHA256
    assert file["size"] == len(CONTENT)
    assert file["path"] == str(cache / NAME)
    assert file["fetched"]


def test_a_dry_run_shows_sizes_and_fetches_nothing(server, cache, answer, capsys):
    server.put(f"/files/{NAME}", CONTENT)
    server.put_record(7, **{"second.pth": OTHER})
    told = answer("download-weights", "mine", "second", "manual", "--dry-run")
    assert [file["state"] for file in told["files"]] == ["to fetch", "to fetch", "by hand"]
    assert [file["size"] for file in told["files"]] == [len(CONTENT), len(OTHER), None]
    assert told["bytes"] == 2 * len(CONTENT)
    assert main(["download-weights", "mine", "--dry-run"]) == 0
    assert f"would fetch 0.3 MB into {cache}" in capsys.readouterr().out
    assert not cache.exists()
    assert main(["download-weights", "mine", "--dry-run", "--offline"]) == 0
    assert "would refuse 1 file: not at hand, and nothing is fetched offline" in capsys.readouterr().out
    assert main(["download-weights", "manual", "--dry-run"]) == 0
    assert "would refuse: a person must fetch manual" in capsys.readouterr().out


def test_a_dry_run_names_the_mirror(server, answer, monkeypatch, capsys):
    monkeypatch.setenv("CAFFDET_MIRROR", f"{server.address}/mirror")
    server.put("/mirror/manual.pth", CONTENT)
    (file,) = answer("download-weights", "manual", "--dry-run")["files"]
    assert (file["state"], file["size"]) == ("to fetch", len(CONTENT))
    assert file["from"] == f"{server.address}/mirror/manual.pth"
    server.put("/mirror/manual.pth", statuses=[403])
    assert main(["download-weights", "manual", "--dry-run"]) == 0
    assert "would fetch 1 file of unknown size" in capsys.readouterr().out


def test_all_fetches_the_rest_where_one_is_missing(server, monkeypatch, capsys, cache):
    monkeypatch.setenv("https_proxy", server.address)  # it lets nobody through: what the list ships is out of reach
    server.put(f"/files/{NAME}", CONTENT)
    server.put_record(7, **{"second.pth": OTHER})
    server.put("/files/second.pth", OTHER)
    assert main(["download-weights", "--all"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "lite-dino-r50-coco" in err.splitlines()[-1]
    assert "files were not fetched" in err.splitlines()[-1]
    assert final_names(cache) == [NAME, f"{NAME}.json", "second.pth", "second.pth.json"]


def test_what_a_person_must_fetch_keeps_no_other_file_away(server, monkeypatch, cache, tmp_path, capsys):
    own = tmp_path / "own.toml"
    mirror = f"{server.address}/mirror"
    monkeypatch.setenv("CAFFDET_MIRROR", mirror)
    monkeypatch.setenv("https_proxy", server.address)
    server.put(f"/files/{NAME}", CONTENT)
    server.put_record(7, **{"second.pth": OTHER})
    server.put("/files/second.pth", OTHER)
    assert main(["download-weights", "manual", "mine", "second"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("error: 1 of 3 files were not fetched: manual; reasons are above\n")
    assert final_names(cache) == [NAME, f"{NAME}.json", "second.pth", "second.pth.json"]
    monkeypatch.setattr("caffdet_cli.released.registry.shipped", lambda _: tmp_path)
    (tmp_path / "weights.toml").write_bytes(own.read_bytes())
    own.write_text("")
    assert main(["download-weights", "--all", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [file["name"] for file in json.loads(out)["files"]] == ["mine", "second"]
    assert [file["name"] for file in json.loads(out)["by_hand"]] == ["manual"]
    assert "caffdet weights add manual.pth" in err


def test_offline_all_checks_what_is_there_and_names_what_is_missing(server, monkeypatch, cache, capsys):
    server.put(f"/files/{NAME}", CONTENT)
    assert main(["download-weights", "mine"]) == 0
    assert main(["download-weights", "--all", "--offline"]) == 2
    err = capsys.readouterr().err
    assert "second" in err.splitlines()[-1]
    assert "mine" not in err.splitlines()[-1]
    (cache / NAME).write_bytes(OTHER)
    assert main(["download-weights", "--all", "--offline"]) == 1
    assert f"{cache / NAME} is damaged" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_the_rate(server, cache, monkeypatch):
    server.put(f"/files/{NAME}", CONTENT, pause=0.01)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["download-weights", "mine"]) == 0
    assert re.search(r"mine\.pth .*[0-9]/300\.0 kB [0-9.]+ [kM]B/s left 0:00:0", terminal.getvalue())


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_names_in_the_list_are_never_folded(monkeypatch, width):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["download-weights", "--list"]) == 0
    lines = terminal.getvalue().splitlines()
    assert [line.split()[0] for line in lines if line.strip()][2:] == list(registry())
    assert ("backbone" in terminal.getvalue()) == (width > 80)


# wrong requests


def test_unknown_names_and_contradictions_are_refused(refusal):
    assert "did you mean 'mine'" in refusal(2, "download-weights", "mne")
    assert "--all and mine contradict" in refusal(2, "download-weights", "mine", "--all")
    assert "nothing is fetched offline" in refusal(2, "download-weights", "mine", "--offline")


def test_behind_a_login_the_page_and_the_command_are_told(refusal):
    said = refusal(2, "download-weights", "manual")
    assert "open https://drive.example/folder, save manual.pth" in said
    assert "caffdet weights add manual.pth" in said


@pytest.mark.parametrize("mirror", ["ftp://x", "example.org", "https://me:secret@x"])
def test_a_mirror_that_is_no_address_is_refused(refusal, monkeypatch, mirror):
    monkeypatch.setenv("CAFFDET_MIRROR", mirror)
    assert "secret" not in refusal(2, "download-weights", "mine")


def test_a_missing_file_exits_1(refusal):
    assert "/files/mine.pth is not there (404)" in refusal(1, "download-weights", "mine")


def test_a_changed_file_exits_1_and_names_both(server, refusal):
    server.put(f"/files/{NAME}", OTHER)
    said = refusal(1, "download-weights", "mine")
    assert SHA256 in said
    assert hashlib.sha256(OTHER).hexdigest() in said


# addresses and names in other commands


WITH_WEIGHTS = {
    "train": ("train", "--dataset", "demo", "-o", "run", "--device", "cpu", "--weights", "{}"),
    "eval": ("eval", "--dataset", "demo", "--device", "cpu", "--weights", "{}"),
    "predict": ("predict", "--rgb", ".", "-o", "out", "--device", "cpu", "--weights", "{}"),
    "benchmark": ("benchmark", "--device", "cpu", "--weights", "{}"),
    "weights info": ("weights", "info", "{}"),
    "weights convert": ("weights", "convert", "{}", "-o", "out.safetensors"),
    "weights check": ("weights", "check", "{}", "--dataset", "demo", "--device", "cpu"),
}


@pytest.mark.parametrize("words", WITH_WEIGHTS.values(), ids=WITH_WEIGHTS)
def test_weights_are_named_or_fetched_from_an_address(server, cache, capsys, monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)

    def said(weights: str, *more: str) -> str:
        assert main([*(word.format(weights) for word in words), *more]) == 2
        return capsys.readouterr().err

    assert "caffdet download-weights mine" in said("mine")
    address = f"{server.address}/a/free.pth"
    server.put("/a/free.pth", CONTENT)
    assert "nothing is fetched offline" in said(address, "--offline")
    assert not server.asked_for("/a/free.pth")
    err = said(address)  # it is no checkpoint, and nothing in it runs
    assert f"fetching {address} into " in err
    assert "free-" in err.splitlines()[-1]
    assert "fetching" not in said(address, "--offline")  # at hand now
    monkeypatch.setenv("CAFFDET_OFFLINE", "1")
    assert "offline" in said(f"{server.address}/a/other.pth")


def test_offline_is_of_one_command_and_ends_with_it(monkeypatch, server, cache, capsys):
    before = os.environ.get("CAFFDET_OFFLINE")
    assert main(["weights", "info", f"{server.address}/a/free.pth", "--offline"]) == 2
    assert os.environ.get("CAFFDET_OFFLINE") == before
    monkeypatch.setenv("CAFFDET_OFFLINE", "0")
    assert main(["weights", "info", f"{server.address}/a/free.pth", "--offline"]) == 2
    assert os.environ["CAFFDET_OFFLINE"] == "0"
