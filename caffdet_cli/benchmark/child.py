"""A process of its own for a measurement: its peak of resident memory shows nothing of what ran before.

Not `multiprocessing`, whose children run the main script again. The parent writes one line of JSON to the child's
standard input and keeps that pipe open: when it closes, the parent is gone, and the child ends at once with whatever it
has started. The answer is one line of JSON on its standard output.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any

from caffdet_cli import errors

_START = "import sys; sys.path[:] = sys.argv[1:]; from caffdet_cli.benchmark.child import main; main()"


class _InChild(Exception):
    """Where it happened, as the child tells it."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def ask_child(request: dict[str, Any], title: str) -> dict[str, Any]:
    """What `report.answer` makes of a request, in a process that never outlives this call.

    Args:
        request: for JSON; "folder" is removed if this process is killed.
        title: of what is measured, for messages.

    Raises:
        CaffdetError, MemoryError, OSError: as it was raised there; other errors as a RuntimeError.
        RunError: the process was killed.
    """
    command = [sys.executable, "-c", _START, *sys.path]
    # A session of its own: Ctrl-C is for this process, which then ends the other.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    ) as child:
        try:
            said = _conversation(child, json.dumps(request).encode() + b"\n")
        finally:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
    if said:
        return _result(json.loads(said))
    if child.returncode < 0:
        raise errors.RunError(
            f"{title}: the process that measured it was killed (signal {-child.returncode}), perhaps for its memory; "
            "take a smaller --size or --batch"
        )
    raise RuntimeError(f"the process that measured {title} ended with code {child.returncode} and said nothing")


def _conversation(child: "subprocess.Popen[bytes]", request: bytes) -> bytes:
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError):  # it has ended already: its exit code tells more
        child.stdin.write(request)
    said = child.stdout.read()
    child.wait()
    return said


def _result(said: dict[str, Any]) -> dict[str, Any]:
    if "error" not in said:
        found: dict[str, Any] = said["found"]
        return found
    cause = _InChild(said["traceback"])
    if "os" in said:
        raise OSError(*said["os"]) from cause
    if (kind := {**vars(errors), "MemoryError": MemoryError}.get(said["error"])) is not None:
        raise kind(said["message"]) from cause
    raise RuntimeError(f"{said['error']}: {said['message']}") from cause


def main() -> None:
    """The child."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no answer
    request = json.loads(_line())
    threading.Thread(target=_end_with_parent, args=(request["folder"],), daemon=True).start()
    try:
        from caffdet_cli.benchmark.report import answer
        from caffdet_cli.denormals import denormals_as_zero

        with denormals_as_zero():  # as `caffdet predict` computes
            said: dict[str, Any] = {"found": answer(request)}
    except Exception as error:
        said = {"error": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
        if isinstance(error, OSError):
            said["os"] = [error.errno, error.strerror, error.filename and str(error.filename)]
    with suppress(BrokenPipeError), answers:
        answers.write(json.dumps(said) + "\n")


def _line() -> bytes:
    """The request. Not through `sys.stdin`, whose lock a waiting thread would hold when the interpreter ends."""
    said = b""
    while not said.endswith(b"\n") and (more := os.read(0, 1 << 16)):
        said += more
    return said


def _end_with_parent(folder: str) -> None:
    """Wait until the parent is gone; then leave nothing behind, neither files nor processes (as compilers)."""
    os.read(0, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
