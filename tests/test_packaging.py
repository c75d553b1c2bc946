"""The wheel holds what it should, and works from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without network and without a trace in the checkout."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


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


def run(installed: Path, folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
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
