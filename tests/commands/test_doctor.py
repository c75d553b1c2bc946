"""`caffdet doctor` tells what is there, and survives what is broken."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import caffdet_cli
from caffdet_cli.main import main


def examined(**environment: str) -> dict[str, dict[str, dict[str, str]]]:
    """What a process with this environment finds: topic -> what -> line."""
    done = subprocess.run(
        [sys.executable, "-m", "caffdet_cli", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    report = json.loads(done.stdout)
    assert report.pop("schema") == 1
    return {topic: {line["what"]: line for line in lines} for topic, lines in report.items()}


def test_versions_devices_and_slow_paths_are_told(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert caffdet_cli.__version__ in out
    assert torch.__version__.split("+")[0] in out
    for word in ("cpu", "deformable attention", "bf16", "cache", "CAFFDET_DATA"):
        assert word in out


@pytest.mark.e2e
def test_broken_and_missing_packages_are_findings(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libcudart.so.99: cannot open shared object file')")
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    (tmp_path / "accelerate.py").write_text("import no_such_module")
    report = examined(PYTHONPATH=str(tmp_path))
    assert "libcudart.so.99" in report["versions"]["torch"]["note"]
    assert "libGL.so.1" in report["missing"]["opencv-python"]["note"]
    assert "no_such_module" in report["missing"]["accelerate"]["note"]
    assert report["missing"]["torch"]["value"] == "pip install --force-reinstall torch"
    assert "cpu" in report["devices"]


@pytest.mark.e2e
def test_package_that_ends_the_process_is_a_finding(tmp_path):
    (tmp_path / "scipy.py").write_text("raise SystemExit(3)")
    assert "SystemExit" in examined(PYTHONPATH=str(tmp_path))["versions"]["scipy"]["note"]


@pytest.mark.e2e
def test_what_the_command_line_needs_is_enough_for_a_report(tmp_path):
    """Without site-packages only Typer and what it imports exist."""
    names = "typer rich shellingham annotated_doc platformdirs click pydantic pydantic_core annotated_types"
    for name in (*names.split(), "typing_extensions", "typing_inspection", "caffdet_cli"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin)
            path = path.parent if path.name == "__init__.py" else path
            (tmp_path / path.name).symlink_to(path)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from caffdet_cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, "doctor", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    missing = {line["what"]: line["value"] for line in json.loads(done.stdout)["missing"]}
    assert missing["torch"] == "pip install torch"
    assert missing["numpy"] == "pip install numpy"


@pytest.mark.e2e
def test_data_folder_is_looked_into(tmp_path):
    report = examined(CAFFDET_DATA=str(tmp_path), CAFFDET_CACHE=str(tmp_path / "cache"), CAFFDET_OPS="reference")
    assert report["folders"]["$CAFFDET_DATA"]["value"] == str(tmp_path)
    assert report["folders"]["cache"]["value"] == str(tmp_path / "cache")


@pytest.mark.parametrize("words", [["doctor", "extra"], ["doctor", "--jsn"]])
def test_wrong_words_exit_2(words, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: ")
