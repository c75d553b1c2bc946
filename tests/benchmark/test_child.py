"""A process of its own for a measurement: what comes back, and that it ends with the one that asked."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffdet_cli.benchmark import child
from caffdet_cli.errors import RunError, WeightsError

STAND_IN = """\
import sys, types
sys.path[:] = sys.argv[1:]
module = types.ModuleType("report")
exec({body!r}, module.__dict__)
sys.modules["caffdet_cli.benchmark.report"] = module
from caffdet_cli.benchmark.child import main
main()
"""
PARENT = """\
import signal, sys
from caffdet_cli.benchmark import child

class Terminated(BaseException):
    pass

def end(number, frame):
    raise Terminated

signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.default_int_handler)
child._START = sys.argv[1]
child.ask_child({"folder": sys.argv[2]}, "a model")
"""
BUSY = """\
import os, subprocess, sys, time
def answer(request):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    with open(os.path.join(request["folder"], "part"), "w") as file:
        file.write(f"{os.getpid()} {helper.pid}")
    os.rename(file.name, os.path.join(request["folder"], "pids"))
    while True:
        pass
"""


def stand_in(body: str) -> str:
    """What a child runs whose `answer` is this."""
    return STAND_IN.format(body=body)


@pytest.fixture
def ask(monkeypatch, tmp_path):
    def ask(body: str) -> dict[str, object]:
        monkeypatch.setattr(child, "_START", stand_in(body))
        return child.ask_child({"folder": str(tmp_path), "number": 7}, "a model")

    return ask


def test_an_answer_comes_back_whatever_else_is_printed(ask, capfd):
    assert ask("def answer(request):\n    print('noise')\n    return {'twice': 2 * request['number']}") == {"twice": 14}
    assert capfd.readouterr() == ("", "noise\n")


def test_errors_come_back_as_they_are(ask):
    with pytest.raises(WeightsError, match=r"^no such file$") as caught:
        ask("from caffdet_cli.errors import WeightsError\ndef answer(request):\n    raise WeightsError('no such file')")
    assert "in answer" in str(caught.value.__cause__)
    with pytest.raises(MemoryError):
        ask("def answer(request):\n    raise MemoryError")
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator: can't allocate"):
        ask('def answer(request):\n    raise RuntimeError("DefaultCPUAllocator: can\'t allocate")')
    with pytest.raises(RuntimeError, match=r"^KeyError: 'x'$"):
        ask("def answer(request):\n    raise KeyError('x')")
    with pytest.raises(OSError, match="No space") as no_room:
        ask("def answer(request):\n    raise OSError(28, 'No space left on device', '/tmp/x')")
    assert (no_room.value.errno, no_room.value.filename) == (errno.ENOSPC, "/tmp/x")


def test_a_process_that_was_killed_is_one_sentence_about_memory(ask):
    with pytest.raises(
        RunError, match=r"^a model: the process .* was killed \(signal 9\), perhaps for its memory; take"
    ):
        ask("import os\ndef answer(request):\n    os.kill(os.getpid(), 9)")


def test_a_process_that_says_nothing_is_no_success(ask, monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="a model ended with code 3 and said nothing"):
        ask("import os\ndef answer(request):\n    os._exit(3)")
    monkeypatch.setattr(child, "_START", "import sys; sys.exit(4)")  # before it reads
    with pytest.raises(RuntimeError, match="ended with code 4"):
        child.ask_child({"folder": str(tmp_path)}, "a model")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_it_ends_at_once_with_the_process_that_asked(number, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, stand_in(BUSY), str(folder)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert within(60, (folder / "pids").exists)
        pids = [int(pid) for pid in (folder / "pids").read_text().split()]
        os.killpg(parent.pid, number)
        parent.wait(10)
        assert within(10, lambda: not any(running(pid) for pid in pids))
        assert number != signal.SIGKILL or not folder.exists()  # else the parent's own to remove
    finally:
        parent.kill()
        parent.wait()


def within(seconds, true):
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def running(pid: int) -> bool:
    """Whether a process is there and no zombie, which is for whoever adopted it to bury."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except OSError:  # gone meanwhile, or a system without /proc
        return Path("/proc/self").exists() is False
