"""Building and keeping the CPU library: processes at once, kills, bad caches, bad compilers, and none at all."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kernels.conftest import Problem, problem
from privileges import without_privileges
from torch import Tensor

from caffdet_cli.errors import RunError
from caffdet_cli.kernels import build, choice, compiler, cpu, prebuild
from caffdet_cli.kernels.choice import CaffdetPerformanceWarning, NotAvailable
from caffdet_cli.kernels.operators import msda

CPU = torch.device("cpu")
SOURCE = """#include <cstdint>
extern "C" __attribute__((visibility("default"))) int64_t caffdet_abi_version(void) { return 99; }
"""
CHILD = """
import contextlib, sys
from pathlib import Path
from caffdet_cli.kernels import build
build.sources = lambda: [Path(sys.argv[1])]
if "no-lock" in sys.argv:
    build._lock = lambda path: contextlib.nullcontext()
library = build.build()
print(library.how, library.path, library.note, sep="|")
"""


@pytest.fixture(scope="module")
def found() -> choice.Found:
    """What this machine has, found before a test turns the cache away."""
    return choice.look(CPU)


@pytest.fixture
def own(found: choice.Found) -> build.Library:
    """The library that this machine really uses."""
    if not isinstance(found.native, cpu.CpuOperators):
        pytest.skip(f"no native operators: {found.reason}")
    return found.native.library


@pytest.fixture(autouse=True)
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the folder that libraries will lie in."""
    monkeypatch.setenv("CAFFDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of one function takes the place of the operators: it is compiled in no time."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler")
    path = tmp_path / "tiny.cpp"
    path.write_text(SOURCE)
    monkeypatch.setattr(build, "sources", lambda: [path])
    return path


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a fake compiler: a shell script that says the real one's version, then does what it is told."""
    real = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), "false")

    def write(body: str) -> Path:
        path = tmp_path / "fake-c++"
        version = f'[ "$1" = --version ] && exec {real} --version'
        path.write_text(f"#!/bin/sh\n{version}\nreal={real}\n{body}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found yet, and nothing will be; only for this test."""
    monkeypatch.setattr(choice, "_found", {})
    monkeypatch.setattr(choice, "_warned", set())
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(build, "find_shipped", lambda capability: None)


def child(source: Path, *words: str, **more: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, str(source), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload]


def answer(process: "subprocess.Popen[str]") -> tuple[str, Path, str]:
    """How, where and what is to be noted."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    how, path, note = out.rstrip("\n").split("|")
    return how, Path(path), note


def computed(given: Problem) -> Tensor:
    return msda(given.value, given.sizes, given.locations, given.weights, points_per_level=given.points)


def left_over(kernels: Path) -> list[str]:
    return [path.name for path in kernels.iterdir() if path.suffix not in (".so", ".lock")]


@pytest.mark.parametrize("words", [(), ("no-lock",)], ids=["lock", "no lock"])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_processes_that_start_at_once_all_get_the_one_library(source, kernels, count, words):
    answers = [answer(process) for process in [child(source, *words) for _ in range(count)]]
    (library,) = kernels.glob("*.so")
    assert {path for _, path, _ in answers} == {library}
    assert not left_over(kernels)
    if not words:
        assert sorted(how.split()[0] for how, _, _ in answers) == ["built"] + ["cached"] * (count - 1)


def test_a_build_that_is_killed_half_way_is_in_nobodys_way(source, kernels, script, tmp_path):
    begun = tmp_path / "begun"
    slow = script(f'echo $$ > "{begun}.part"; mv "{begun}.part" "{begun}"; exec sleep 100')
    process = child(source, env={**os.environ, "CXX": str(slow), "TMPDIR": str(tmp_path)})
    try:
        limit = time.monotonic() + 60
        while not begun.exists():
            assert time.monotonic() < limit
            time.sleep(0.02)
    finally:
        process.kill()
        process.communicate()
    os.kill(int(begun.read_text()), signal.SIGKILL)
    before = time.monotonic()
    library = build.build()
    assert time.monotonic() - before < build._LOCK_SECONDS / 2
    assert library.how.startswith("built")
    assert list(kernels.glob("*.so")) == [library.path]


def test_a_lock_that_nobody_gives_back_is_not_waited_for_for_ever(source, kernels, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    first = build.build()
    (lock,) = kernels.glob("*.lock")
    first.path.unlink()
    monkeypatch.setattr(build, "_LOCK_SECONDS", 0.2)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert build.build().path == first.path


def test_a_file_system_without_locks_is_not_waited_for(source, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(handle: int, kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = time.monotonic()
    build.build()
    assert time.monotonic() - before < build._LOCK_SECONDS / 2


def test_a_cache_that_cannot_be_written_is_noted_and_what_it_holds_is_used(source, kernels):
    kernels.mkdir(parents=True)
    kernels.chmod(0o555)
    how, path, note = answer(child(source, preexec_fn=without_privileges))
    assert how.startswith("built")
    assert "cache directory not writable" in note
    assert str(kernels) in note
    assert not path.exists()  # it was that process's own
    kernels.chmod(0o755)
    kept = build.build().path
    kernels.chmod(0o555)
    assert answer(child(source, preexec_fn=without_privileges)) == ("cached", kept, "")
    kernels.chmod(0o755)


def test_a_cache_that_cannot_even_be_looked_into_is_noted(source, kernels):
    kernels.mkdir(parents=True)
    kernels.chmod(0)
    _, _, note = answer(child(source, preexec_fn=without_privileges))
    kernels.chmod(0o755)
    assert "cache directory not writable" in note


def test_a_file_in_place_of_the_cache_is_noted(source, kernels):
    kernels.parent.write_text("no folder")
    assert "cache directory not writable" in build.build().note


@pytest.mark.parametrize("damage", ["corrupted", "truncated", "empty"])
def test_a_damaged_library_is_built_again(source, kernels, damage):
    first = build.build()
    whole = first.path.read_bytes()
    assert build.build().how == "cached"
    broken = {"corrupted": b"\xff" * 64 + whole[64:], "truncated": whole[: len(whole) // 2], "empty": b""}[damage]
    first.path.write_bytes(broken)
    again = build.build()
    assert again.how.startswith("built")
    assert again.path.read_bytes() == whole


def test_other_sources_make_another_library(source):
    first = build.build()
    source.write_text(SOURCE.replace("99", "98"))
    second = build.build()
    assert second.how.startswith("built")
    assert second.path != first.path
    assert first.path.exists()


def test_no_compiler_is_said_in_one_line_and_plain_pytorch_computes(no_compiler):
    given = problem()
    reason = r"\(reason: no C\+\+ compiler found \(install g\+\+ or clang\)\)"
    with pytest.warns(CaffdetPerformanceWarning, match=reason) as caught:
        found = [computed(given) for _ in range(3)][-1]
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    torch.testing.assert_close(found, given.msda())


def test_no_compiler_is_an_error_where_native_operators_are_asked_for(no_compiler, monkeypatch):
    monkeypatch.setenv("CAFFDET_OPS", "native")
    given = problem()
    with pytest.raises(RunError, match=r"no native deformable attention on cpu \(no C\+\+ compiler found"):
        computed(given)


@pytest.mark.e2e
def test_the_command_line_shows_the_warning_once_and_nothing_with_it(no_compiler, tmp_path):
    words = ("from caffdet_cli.main import entry", "from caffdet_cli.kernels import trial", "trial.CHANNELS = (2,)")
    command = [sys.executable, "-c", "; ".join((*words, "entry()")), "ops", "test", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: deformable attention runs in slow pure-PyTorch mode on cpu (reason: no C++ comp")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_only_the_first_process_of_several_warns(no_compiler, monkeypatch, recwarn, rank):
    monkeypatch.setenv("RANK", rank)
    assert choice.native(CPU) is None
    assert len(recwarn) == (rank == "0")


def test_a_compiler_that_fails_is_quoted(source, script, kernels, monkeypatch):
    monkeypatch.setenv("CXX", str(script('echo "In file:" >&2; echo "tiny.cpp:1: error: no such thing" >&2; exit 1')))
    with pytest.raises(NotAvailable, match=r"^fake-c\+\+ failed: tiny.cpp:1: error: no such thing$"):
        build.build()
    assert not left_over(kernels)


def test_a_compiler_that_hangs_is_ended_with_its_children(source, script, kernels, monkeypatch, tmp_path):
    pid = tmp_path / "pid"
    monkeypatch.setenv("CXX", str(script(f'sleep 100 & echo $! > "{pid}"; wait')))
    monkeypatch.setattr(compiler, "_COMPILE_SECONDS", 1)
    with pytest.raises(NotAvailable, match=r"fake-c\+\+ did not end within 1 s"):
        build.build()
    assert not alive(int(pid.read_text()))
    assert not left_over(kernels)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def test_the_environment_names_the_compiler_and_its_words(source, script, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", f'{script("echo $* >> words; exec $real $*")} -DHELLO="a"')
    monkeypatch.chdir(tmp_path)
    build.build()
    compiled = [line for line in (tmp_path / "words").read_text().splitlines() if "tiny.cpp" in line]
    assert len(compiled) == 1
    assert compiled[0].startswith("-DHELLO=a -O3 ")


@pytest.mark.parametrize("chosen", ["/no/such/compiler", '"open', " "])
def test_a_named_compiler_that_does_not_exist_is_said(monkeypatch, chosen):
    monkeypatch.setenv("CXX", chosen)
    with pytest.raises(NotAvailable, match=r"^\$CXX = .* is no compiler that can be found$"):
        build.build()


@pytest.mark.parametrize(
    "body",
    [
        'case "$*" in *-fopenmp*) echo "error: unsupported option -fopenmp" >&2; exit 1;; esac; exec $real "$@"',
        'case "$*" in *openmp.cpp*) echo __kmpc_fork_call > "$5";; *) exec $real "$@";; esac',
    ],
    ids=["none", "of another kind"],
)
def test_a_compiler_without_openmp_gives_one_thread_and_it_is_noted(source, script, monkeypatch, body):
    monkeypatch.setenv("CXX", str(script(body)))
    for how in ("built", "cached"):
        library = build.build()
        assert library.how.startswith(how)
        assert library.note == "one thread: the compiler has no OpenMP that goes with torch's"


def test_a_library_with_openmp_has_nothing_to_note(source):
    if not compiler._openmp(compiler.find_compiler(), source.parent):
        pytest.skip("this compiler has no OpenMP that goes with torch's")
    assert build.build().note == ""


def test_a_library_of_another_version_is_refused(source):
    with pytest.raises(NotAvailable, match=r"has version 99 of the interface, 1 is needed"):
        cpu.CpuOperators(build.build())


def test_a_shipped_library_that_does_not_fit_is_passed_over(source, own, monkeypatch):
    other = build.build()
    monkeypatch.setattr(build, "find_shipped", lambda capability: other._replace(how="shipped (AVX2)"))
    monkeypatch.setattr(build, "build", lambda say: own)
    assert cpu.load_cpu().library == own


def test_a_kept_library_that_does_not_fit_is_built_again(source, own, monkeypatch):
    build.build()
    offered = [build.build(), own]
    assert offered[0].how == "cached"
    monkeypatch.setattr(build, "find_shipped", lambda capability: None)
    monkeypatch.setattr(build, "build", lambda say: offered.pop(0))
    assert cpu.load_cpu().library == own
    assert not list(build.folder().glob("*.so"))


def test_what_came_out_wrong_is_not_used(own, monkeypatch):
    monkeypatch.setattr(build, "find_shipped", lambda capability: None)
    monkeypatch.setattr(build, "build", lambda say: own._replace(how="built in 1.0 s"))
    monkeypatch.setattr(cpu, "largest_error", lambda operators, device: 0.03)
    with pytest.raises(NotAvailable, match=r"^self-check failed \(max error 3e-02\)$"):
        cpu.load_cpu()


def in_child(queue: "multiprocessing.Queue[bytes]", given: Problem) -> None:
    queue.put(computed(given).numpy().tobytes())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it has threads is the point
def test_a_forked_process_computes_too(found, own, monkeypatch):
    monkeypatch.setattr(choice, "_found", {"cpu": found})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    given = problem(queries=300)
    expected = computed(given).numpy().tobytes()  # the parent has its threads now
    process = context.Process(target=in_child, args=(queue, given), daemon=True)
    process.start()
    try:
        assert queue.get(timeout=60) == expected
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
        torch.set_num_threads(before)


def test_building_ahead_takes_no_network_and_the_first_use_finds_it(source, kernels, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (done,) = prebuild.prebuild(cpu_only=True)
    assert (done.target, done.path.parent) == ("cpu", kernels)
    assert done.how.startswith("built")
    assert build.build() == build.Library(done.path, "cached", compiler.version_of(compiler.find_compiler()), "")
    removed, folder = prebuild.clear()
    assert (removed, folder) == (2, kernels)
    assert not list(kernels.iterdir())


def test_what_was_built_ahead_is_used_where_there_is_no_compiler(source, monkeypatch, tmp_path):
    ahead = build.build()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert build.build() == build.Library(ahead.path, "cached", "", "")


def test_another_compiler_makes_another_library(source, script, monkeypatch):
    first = build.build()
    monkeypatch.setenv("CXX", str(script('exec $real "$@"')))
    assert build.build().how == "cached"  # the same one under another name
    monkeypatch.setattr(build, "version_of", lambda compiler: "g++ 99")
    second = build.build()
    assert second.how.startswith("built")
    assert {first.path, second.path} == set(build.folder().glob("*.so"))


def test_building_ahead_without_a_compiler_is_an_error(no_compiler):
    with pytest.raises(RunError, match=r"the operators cannot be built: no C\+\+ compiler found"):
        prebuild.prebuild(cpu_only=True)
