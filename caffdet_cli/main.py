"""The command `caffdet`, and the one place where what went wrong becomes a message and an exit code.

Nothing here or at the top of a command module imports torch, numpy or pydantic: `caffdet --help` must not wait.
"""

import errno
import os
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import TextIO

import typer

from caffdet_cli.commands import (
    benchmark,
    config,
    convert,
    data,
    demo,
    doctor,
    download_weights,
    evaluate,
    ops,
    options,
    predict,
    train,
    visualize,
    weights,
)
from caffdet_cli.commands.console import clean, wants_rich
from caffdet_cli.errors import CaffdetError

_UsageError = typer.BadParameter.__base__  # Typer does not export it, and its copy of click has no public name
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    name="caffdet",
    help="Object detection with transformers on paired RGB + infrared pictures.",
    epilog="caffdet COMMAND --help explains a command. Nothing is ever sent anywhere.",
    rich_markup_mode="rich" if wants_rich(sys.stdout) else None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("demo")(demo.command)
app.command("convert")(convert.command)
app.add_typer(data.app, name="data")
app.command("train")(train.command)
app.command("eval")(evaluate.command)
app.command("predict")(predict.command)
app.command("visualize")(visualize.command)
app.command("download-weights")(download_weights.command)
app.add_typer(weights.app, name="weights")
app.command("benchmark")(benchmark.command)
app.add_typer(config.app, name="config")
app.add_typer(ops.app, name="ops")
app.command("doctor")(doctor.command)


def _version(wanted: bool) -> None:
    if wanted:
        from caffdet_cli import __version__

        typer.echo(f"caffdet {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
    debug: options.Debug = False,
) -> None:
    options.help_if_alone(context)


def entry() -> None:
    """The console script."""
    sys.stdout, sys.stderr = _stream(sys.stdout), _stream(sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)
    warnings.showwarning = _show_warning
    if "_CAFFDET_COMPLETE" in os.environ:
        app(prog_name="caffdet")
    sys.exit(main())


class _Terminated(BaseException):
    """SIGTERM came: what is half written is removed on the way out. (Training finishes its step first.)"""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Ours is one line for the user; others come with their place in the source, as ever."""
    if category.__module__.startswith("caffdet_cli."):
        text = f"warning: {clean(str(message)).removeprefix('caffdet: ')}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    with suppress(OSError, ValueError):
        (file or sys.stderr).write(text)


def _stream(stream: TextIO | None) -> TextIO:
    """A standard stream that exists and takes every file name."""
    if stream is None:  # closed by the caller: caffdet ... >&-
        return open(os.devnull, "w")  # lives as long as the process
    with suppress(AttributeError, ValueError):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    return stream


def main(argv: Sequence[str] | None = None) -> int:
    """Run `caffdet` in this process with the present `sys.stdout` and `sys.stderr`.

    Args:
        argv: the words after `caffdet`; None: those of this process.

    Returns:
        The exit code; nothing is raised but what ends the interpreter itself.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        code = _run(words)
        sys.stdout.flush()
    except BaseException as error:
        code = _explain(error, debug)
    return _flush(code, debug)


def _run(words: list[str]) -> int:
    """Parse and run; what a command returns is not an exit code."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("caffdet", words) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _explain(error: BaseException, debug: bool) -> int:
    """Say on standard error what happened, in one sentence; the exit code that belongs to it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BrokenPipeError) and any(_reader_left(stream) for stream in (sys.stdout, sys.stderr)):
        return 0
    code, message = _sentence(error)
    with suppress(OSError, ValueError):  # standard error itself may be closed or full
        if debug:
            traceback.print_exception(error, file=sys.stderr)
        typer.secho(clean(message), err=True, fg=typer.colors.RED if wants_rich(sys.stderr) else None)
    return code


def _sentence(error: BaseException) -> tuple[int, str]:
    """Exit code and message of an error."""
    match error:
        case CaffdetError():
            return error.exit_code, f"error: {error}"
        case KeyboardInterrupt():
            return 130, f"interrupted: {error}" if error.args else "interrupted"
        case _Terminated():
            return 143, "terminated"
        case typer.Abort():
            return 1, "error: aborted"
        case OSError(errno=number, filename=name) if number in _NO_ROOM:
            return 1, f"error: no room to write {name or 'the output'}: {error.strerror}; free some space"
        case OSError(filename=str(name)):
            return 2, f"error: cannot use {name}: {error.strerror}"
        case MemoryError() | RuntimeError() if _is_out_of_memory(error):
            return 1, (
                "error: out of memory; take a smaller --batch, smaller pictures (model.input.short_side, "
                "--size of benchmark), or another --device"
            )
        case RuntimeError() if "DataLoader worker" in str(error):
            return 1, (
                "error: a process that reads pictures was killed, perhaps for its memory; "
                "try fewer --workers, or --workers 0"
            )
        case _ if isinstance(error, _UsageError or ()):
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "caffdet"
            return 2, f"error: {_usage(error)}\nTry '{path} --help'."
        case _:
            what = f"{type(error).__name__}: {error}".strip().rstrip(":")
            return 1, f"error: this is a bug in caffdet: {what}; run again with --debug to see where"


def _is_out_of_memory(error: BaseException) -> bool:
    """Of the machine or of the GPU; torch has several ways to say so."""
    said = str(error)
    return isinstance(error, MemoryError) or "out of memory" in said or "DefaultCPUAllocator" in said


def _usage(error: BaseException) -> str:
    """What Typer says about a wrong command line, without its first capital."""
    text = str(error.format_message()).replace("\n\t", " ").replace("Value error, ", "").rstrip(".")  # type: ignore[attr-defined]
    return text[:1].lower() + text[1:]


def _flush(code: int, debug: bool) -> int:
    """Bring out what is still buffered, so that a closed pipe or a full disk is told here and not at shutdown."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:  # noqa: PERF203  # two streams, once
            _silence(stream)
            if stream is sys.stdout and code == 0 and not isinstance(error, BrokenPipeError):
                code = _explain(error, debug)
    return code


def _reader_left(stream: TextIO) -> bool:
    """Whether `stream` is a pipe that nobody reads any more."""
    try:
        stream.flush()
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except BrokenPipeError:
        return True
    except (OSError, ValueError, AttributeError):  # no file behind it, or a system without poll
        return False


def _silence(stream: TextIO) -> None:
    """Point the file behind `stream` to nowhere: the interpreter flushes once more when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
