"""The wheel holds what it should, and works from any folder."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from caffdet_cli.kernels.compiler import levels, stem

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.e2e


def built(folder: Path, compiler: str) -> tuple[Path, str]:
    """The wheel of this checkout, built without network and without a trace in the checkout; what was said."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    environment = {**os.environ, "CXX": compiler}
    done = subprocess.run(build, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The wheel that comes out without a compiler, and what was said."""
    return built(tmp_path_factory.mktemp("pure"), "none")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The wheel with compiled operators where there is a compiler; not optimised, for that takes minutes."""
    real = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if real is None:
        return request.getfixturevalue("pure")[0]
    script = tmp_path_factory.mktemp("compiler") / "quick-c++"
    script.write_text(f'#!/bin/sh\nexec {real} "$@" -O0\n')
    script.chmod(0o755)
    return built(tmp_path_factory.mktemp("wheel"), str(script))[0]


@pytest.fixture
def compiled(wheel: Path) -> Path:
    if wheel.name.endswith("-none-any.whl"):
        pytest.skip("no compiler whose libraries go into wheels")
    return wheel


@pytest.fixture(scope="module")
def inside(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def below(folder: str, pattern: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern) if path.is_file()}


def test_top_level_holds_only_the_package_and_its_metadata(inside):
    tops = {name.split("/")[0] for name in inside}
    assert "caffdet_cli" in tops
    assert all(top == "caffdet_cli" or top.endswith(".dist-info") for top in tops)
    assert len(tops) == 2


def test_every_configuration_and_native_source_is_inside(inside):
    wanted = below("configs", "*.toml") | below("ops", "*")
    assert wanted
    assert {f"caffdet_cli/{name}" for name in wanted} <= inside


def test_every_module_and_the_mark_of_types_is_inside(inside):
    assert below("caffdet_cli", "*.py") <= inside
    assert "caffdet_cli/py.typed" in inside


def test_tests_and_documents_stay_out(inside):
    assert not [name for name in inside if "test" in name.lower() or name.startswith(("docs", "benchmarks"))]


def test_licence_is_in_the_metadata(inside):
    assert [name for name in inside if name.endswith(".dist-info/licenses/LICENSE")]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed beside the environment, without what it depends on."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return target


def run(installed: Path, folder: Path, *words: str, **settings: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), **settings}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_installed_command_knows_every_configuration(installed, tmp_path):
    listed = run(installed, tmp_path, "-m", "caffdet_cli", "config", "list")
    assert all(Path(name).stem in listed for name in below("configs", "*/*.toml"))
    shown = run(installed, tmp_path, "-m", "caffdet_cli", "config", "show", "caff-lite-dino-r50")
    assert "# configs/lite-dino/lite-dino-r50.toml" in shown


def test_installed_package_is_the_one_that_runs(installed, tmp_path):
    script = "import caffdet_cli; from caffdet_cli.paths import shipped; print(caffdet_cli.__file__, shipped('ops'))"
    package, ops = run(installed, tmp_path, "-c", script).split()
    assert Path(package).is_relative_to(installed)
    assert Path(ops).is_relative_to(installed)


def libraries(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if name.endswith(".so")}


def test_wheel_with_operators_is_for_this_platform_and_any_python(compiled):
    assert "-py3-none-" in compiled.name
    assert libraries(compiled) == {f"caffdet_cli/ops/lib/{stem(level)}.so" for level in levels()}


@pytest.mark.parametrize("capability", list(levels()))
def test_operators_of_the_wheel_need_no_compiler(compiled, installed, tmp_path, capability):
    order = list(levels())
    if order.index(capability) < order.index(here := torch.backends.cpu.get_cpu_capability()):
        pytest.skip(f"this processor has {here} only")
    (tmp_path / "empty").mkdir()
    script = (
        "import os, sys, torch;"
        "from caffdet_cli.kernels import choice;"
        "from caffdet_cli.kernels.selfcheck import largest_error;"
        f"torch.backends.cpu.get_cpu_capability = lambda: {capability!r};"
        "device = torch.device('cpu');"
        "native = choice.native(device);"
        "print(native.about, native.library.path, largest_error(native, device), sep='|')"
    )
    settings = {"PATH": str(tmp_path / "empty"), "CAFFDET_OPS": "native", "CAFFDET_CACHE": str(tmp_path / "cache")}
    about, path, error = run(installed, tmp_path, "-c", script, **settings).split("|")
    assert about == f"C++ (shipped ({capability}))"
    assert Path(path).is_relative_to(installed)
    assert float(error) < 1e-4
    assert not (tmp_path / "cache").exists()


def test_wheel_without_a_compiler_is_pure_and_says_so(pure):
    path, said = pure
    assert path.name.endswith("-py3-none-any.whl")
    assert not libraries(path)
    assert "a wheel without compiled operators: $CXX = none is no compiler that can be found" in said


def test_editable_install_compiles_nothing(tmp_path):
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hook = module.CustomBuildHook(str(ROOT), {}, None, None, str(tmp_path), "wheel")
    asked = {"force_include": {}, "pure_python": True}
    hook.initialize("editable", asked)
    assert asked == {"force_include": {}, "pure_python": True}
