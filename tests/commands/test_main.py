"""The frame of the command line: help, exit codes, messages, closed pipes, full disks, Ctrl-C."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

import caffdet_cli
from caffdet_cli.errors import DatasetError, Diverged, Stopped
from caffdet_cli.main import app, main

CAFFDET = [sys.executable, "-m", "caffdet_cli"]


@pytest.fixture
def failing():
    """A hidden command that raises what it is told to, for the time of one test."""
    raised: list[BaseException] = []

    @app.command("fail", hidden=True)
    def fail() -> None:
        typer.echo("begun")
        raise raised[0]

    yield raised
    app.registered_commands.pop()


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([*CAFFDET, *words], stderr=subprocess.PIPE, text=True, check=False, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


# help and usage


def test_help_lists_the_commands_on_standard_output(capsys):
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert "config" in out
    assert "doctor" in out
    assert err == ""


def test_no_command_lists_what_exists_and_exits_2(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "doctor" in err


def test_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"caffdet {caffdet_cli.__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["confg"], ["'confg'", "Did you mean 'config'?", "Try 'caffdet --help'."]),
        (["config", "shw"], ["'shw'", "Did you mean 'show'?", "Try 'caffdet config --help'."]),
        (["config", "list", "--jsn"], ["--jsn", "--json", "Try 'caffdet config list --help'."]),
        (["config", "list", "extra"], ["extra"]),
    ],
)
def test_wrong_command_line_is_one_error_and_exit_2(words, expected, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert all(part in err for part in expected)  # the sentence around them is Typer's


def test_help_loads_no_heavy_library():
    script = (
        "import sys; from caffdet_cli.main import main; main(['--help']); "
        "sys.exit(' '.join({'torch', 'numpy', 'pydantic', 'cv2', 'rich'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_loads_no_heavy_library():
    script = "import sys, caffdet_cli; sys.exit(len({'torch', 'numpy', 'pydantic', 'typer'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("name", [name for name in caffdet_cli.__all__ if name != "__version__"])
def test_every_public_name_exists_and_is_documented(name):
    assert getattr(caffdet_cli, name).__doc__
    assert name in dir(caffdet_cli)


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        importlib.import_module("caffdet_cli").trian  # noqa: B018


# errors


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DatasetError("a.json: image 3 has no width"), 2, "error: a.json: image 3 has no width\n"),
        (Diverged("the loss is nan in step 7"), 1, "error: the loss is nan in step 7\n"),
        (Stopped("stopped after step 7"), 143, "error: stopped after step 7\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (typer.BadParameter("no such thing"), 2, "error: invalid value: no such thing\nTry 'caffdet fail --help'.\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "error: cannot use /x: Permission denied\n"),
        (OSError(28, "No space left on device", "/x"), 1, "error: no room to write /x: No space left on device"),
        (
            KeyError("width"),
            1,
            "error: this is a bug in caffdet: KeyError: 'width'; run again with --debug to see where\n",
        ),
        (typer.Exit(7), 7, ""),
        (SystemExit(3), 3, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_error_becomes_its_code_and_one_sentence(failing, capsys, error, code, message):
    failing.append(error)
    assert main(["fail"]) == code
    out, err = capsys.readouterr()
    assert out == "begun\n"
    assert err.startswith(message)
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["--debug", "config", "show", "nothing"], ["config", "show", "nothing", "--debug"]])
def test_debug_adds_the_traceback_wherever_it_stands(words, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: there is no configuration 'nothing'")


def test_messages_spell_out_control_characters(failing, capsys):
    failing.append(DatasetError("a\x1b[31mb\u202ec"))
    assert main(["fail"]) == 2
    assert capsys.readouterr().err == "error: a\\x1b[31mb\\u202ec\n"


def test_broken_pipe_inside_the_work_is_not_taken_for_a_closed_output(failing, capsys):
    failing.append(BrokenPipeError(32, "Broken pipe"))
    assert main(["fail"]) == 1
    assert "this is a bug in caffdet: BrokenPipeError" in capsys.readouterr().err


# a real process


@pytest.mark.e2e
@pytest.mark.parametrize("words", [["--help"], ["config", "list"], ["config", "show", "caff-lite-dino-r50", "--json"]])
def test_closed_pipe_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = run(*words, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.e2e
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["config", "list"]])
def test_full_disk_behind_standard_output_is_told_with_exit_1(words):
    with open("/dev/full", "w") as full:
        done = run(*words, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "error: no room to write the output: No space left on device; free some space\n"


@pytest.mark.e2e
def test_closed_streams_are_no_error():
    for streams in (">&-", "2>&-", ">&- 2>&-"):
        line = f'"{sys.executable}" -m caffdet_cli config list {streams}'
        assert subprocess.run(line, shell=True, capture_output=True, check=False).returncode == 0


@pytest.mark.e2e
def test_ctrl_c_is_one_line_and_exit_130():
    script = (
        "import sys, time\nfrom caffdet_cli import main as frame\n"
        "@frame.app.command('wait')\ndef wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "sys.argv[1:] = ['wait']\nframe.entry()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")


@pytest.mark.e2e
def test_sigterm_cleans_up_and_exits_143(tmp_path):
    script = (
        "import sys, time, pathlib\nfrom caffdet_cli import main as frame\n"
        "from caffdet_cli.folders import whole_folder\n"
        "@frame.app.command('wait')\ndef wait():\n"
        "    with whole_folder(pathlib.Path('out')):\n        print('ready', flush=True)\n        time.sleep(60)\n"
        "sys.argv[1:] = ['wait']\nframe.entry()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "terminated\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_names_that_no_encoding_can_print_do_not_break_a_message(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.toml")
    done = run("config", "show", name, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "there is no file" in done.stderr


@pytest.mark.e2e
def test_console_script_and_module_are_the_same_command():
    script = Path(sys.executable).with_name("caffdet")
    if not script.exists():
        pytest.skip("caffdet is not installed beside this interpreter")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == run("--version").stdout


@pytest.mark.e2e
def test_completion_script_is_made():
    done = run(
        env={**os.environ, "_CAFFDET_COMPLETE": "complete_bash", "COMP_WORDS": "caffdet conf", "COMP_CWORD": "1"}
    )
    assert done.stdout.split() == ["config"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), 1, "--batch"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "out of memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), 1, "--workers 0"),
        (OSError(36, "File name too long", "x" * 300), 2, "File name too long"),
        (KeyboardInterrupt("stopped after step 3"), 130, "interrupted: stopped after step 3"),
    ],
)
def test_what_the_machine_lacks_is_no_bug(monkeypatch, capsys, error, code, words):
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("caffdet_cli.main._run", fail)
    assert main(["doctor"]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "bug" not in said
