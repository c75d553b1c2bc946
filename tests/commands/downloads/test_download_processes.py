"""`caffdet download-weights` in processes of its own: signals, parallel callers, full disks."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cached import CONTENT, NAME, final_names
from privileges import without_privileges

from caffdet_cli.main import main


def start(*words: str, path: Path | str = "", **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "caffdet_cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{Path(__file__).parents[3]}"},
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
