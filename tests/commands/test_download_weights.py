"""`caffdet download-weights` and `caffdet weights add`: what they fetch, print and leave, from a real server."""

import hashlib
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from privileges import without_privileges
from released.file_server import FileServer, serving

from caffdet_cli.main import main
from caffdet_cli.released.registry import registry

CONTENT = b"PK\x03\x04" + random.Random(0).randbytes(300_000)
OTHER = b"PK\x03\x04" + random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "mine.pth"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, this test's own; with files of this machine's server in the list."""
    for name in list(os.environ):
        if name.startswith("CAFFDET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    own = tmp_path / "own.toml"
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CAFFDET_REGISTRY", str(own))
    monkeypatch.setenv("CAFFDET_TIMEOUT", "20")
    monkeypatch.chdir(tmp_path)
    url = f'url = "{server.address}/files'
    own.write_text(
        f'[mine]\nkind = "weights"\nabout = "mine"\nfile = "{NAME}"\n{url}/{NAME}"\nsha256 = "{SHA256}"\n'
        f'[second]\nkind = "weights"\nabout = "of a record"\nfile = "second.pth"\n{url}/second.pth"\n'
        f'record = "{server.address}/api/records/7"\n'
        '[manual]\nkind = "weights"\nabout = "by hand"\nfile = "manual.pth"\npage = "https://drive.example/folder"\n'
    )
    return tmp_path / "cache" / "weights"


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What a command with --json says."""

    def ask(*words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert found.pop("schema") == 1
        return found

    return ask


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], cache: Path) -> Callable[..., str]:
    """The sentence of a command that fails and leaves nothing under a final name."""

    def ask(code: int, *words: str) -> str:
        assert main(list(words)) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert final_names(cache) == []
        return err[err.index("error: ") :]

    return ask


def final_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


# what it prints


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


# what was fetched by hand


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


# addresses and names in other commands


def test_weights_are_named_or_fetched_from_an_address_in_every_command(server, cache, capsys, monkeypatch):
    predict = ["predict", "--rgb", ".", "-o", "out", "--device", "cpu", "--weights"]
    assert main([*predict, "mine"]) == 2
    assert "caffdet download-weights mine" in capsys.readouterr().err
    server.put("/a/free.pth", CONTENT)
    assert main([*predict, f"{server.address}/a/free.pth"]) == 2  # it is no checkpoint, and nothing in it runs
    err = capsys.readouterr().err
    assert f"fetching {server.address}/a/free.pth into " in err
    assert "free-" in err.splitlines()[-1]
    monkeypatch.setenv("CAFFDET_OFFLINE", "1")
    assert main([*predict, f"{server.address}/a/other.pth"]) == 2
    assert "offline" in capsys.readouterr().err


# real processes


def start(*words: str, path: Path | str = "", **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "caffdet_cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{Path(__file__).parents[2]}"},
        **options,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.e2e
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_came_before_a_signal_is_kept_and_gone_on_with(server, cache, number, code):
    server.put(f"/files/{NAME}", CONTENT, stalls=[100_000])
    process = start("download-weights", "mine")
    server.wait_for_bytes(100_000)
    part = cache / f".{NAME}.part"
    while not part.exists() or part.stat().st_size < 100_000:
        time.sleep(0.01)
    process.send_signal(number)
    found, out, err = finish(process)
    assert (found, out) == (code, "")
    assert "0.1 MB of mine.pth are kept; the same command goes on from there" in err
    assert final_names(cache) == []
    assert finish(start("download-weights", "mine"))[0] == 0
    assert server.asked[-1].headers["range"] == "bytes=100000-"
    assert (cache / NAME).read_bytes() == CONTENT


@pytest.mark.e2e
def test_a_killed_download_leaves_nothing_that_others_wait_for(server, cache):
    server.put(f"/files/{NAME}", CONTENT, stalls=[100_000])
    process = start("download-weights", "mine")
    server.wait_for_bytes(100_000)
    process.kill()
    process.communicate(timeout=60)
    assert finish(start("download-weights", "mine"))[0] == 0
    assert (cache / NAME).read_bytes() == CONTENT


@pytest.mark.e2e
def test_parallel_commands_fetch_once(server, cache):
    server.put(f"/files/{NAME}", CONTENT, hold=(second_waits := threading.Event()))
    first = start("download-weights", "mine")
    server.wait_for_bytes(1)
    second = start("download-weights", "mine")
    assert second.stderr is not None
    assert second.stderr.readline() == "waiting for another caffdet that fetches mine.pth\n"
    second_waits.set()
    assert finish(first)[0] == 0
    assert finish(second)[0] == 0
    assert len(server.asked) == 1


@pytest.mark.e2e
def test_a_full_disk_is_one_sentence_and_what_came_is_kept(server, cache):
    server.put(f"/files/{NAME}", CONTENT)
    limited = start(
        "download-weights", "mine", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    )
    code, out, err = finish(limited)
    assert (code, out) == (1, "")
    assert "error: no room to write " in err
    assert "CAFFDET_CACHE" in err
    assert final_names(cache) == []
    assert (cache / f".{NAME}.part").stat().st_size == 100_000
    assert finish(start("download-weights", "mine"))[0] == 0
    assert (cache / NAME).read_bytes() == CONTENT


@pytest.mark.e2e
def test_a_full_disk_keeps_nothing_of_what_was_added(cache, tmp_path):
    (tmp_path / "manual.pth").write_bytes(CONTENT)
    limited = start(
        "weights", "add", "manual.pth", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    )
    code, _, err = finish(limited)
    assert code == 1
    assert "error: no room to write " in err
    assert "kept" not in err
    assert [path.name for path in cache.iterdir()] == [".manual.pth.lock"]


@pytest.mark.e2e
def test_without_locks_nothing_is_said_to_be_kept(server, cache, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import fcntl\ndef refuse(*_): raise OSError(38, 'Function not implemented')\nfcntl.flock = refuse\n"
    )
    server.put(f"/files/{NAME}", CONTENT, stalls=[100_000])
    process = start("download-weights", "mine", path=tmp_path)
    server.wait_for_bytes(100_000)
    while not any(path.stat().st_size for path in cache.glob(f".{NAME}.*.part")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert "what came of mine.pth is not kept: the file system has no locks" in err
    assert [path.name for path in cache.iterdir()] == [f".{NAME}.lock"]


@pytest.mark.e2e
def test_a_cache_that_cannot_be_written_is_one_sentence(server, cache):
    server.put(f"/files/{NAME}", CONTENT)
    cache.mkdir(parents=True)
    cache.chmod(0o555)
    code, out, err = finish(start("download-weights", "mine", preexec_fn=without_privileges))
    cache.chmod(0o755)
    assert (code, out) == (2, "")
    assert err.startswith("error: cannot write ")
    assert "set CAFFDET_CACHE to a folder that can be written" in err
    assert server.asked == []


@pytest.mark.e2e
def test_a_cache_that_cannot_be_written_serves_what_it_has(server, cache):
    server.put(f"/files/{NAME}", CONTENT)
    assert main(["download-weights", "mine"]) == 0
    cache.chmod(0o555)
    code, out, _ = finish(start("download-weights", "mine", preexec_fn=without_privileges))
    cache.chmod(0o755)
    assert code == 0
    assert "was at hand" in out


@pytest.mark.e2e
def test_a_pipe_gets_plain_lines(server):
    server.put(f"/files/{NAME}", CONTENT, statuses=[503])
    code, out, err = finish(start("download-weights", "mine", "--verbose"))
    assert code == 0
    assert all(char.isprintable() or char == "\n" for char in out + err)
    assert "the server answers 503; trying again in 1 s" in err
