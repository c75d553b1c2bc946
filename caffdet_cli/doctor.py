"""What this machine has: versions, devices, what is fast, what is missing and the command that brings it.

Looks without trusting: a package that is missing or broken is a finding, never an error.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from caffdet_cli import paths

_PACKAGES = {  # distribution -> module that proves it works
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "scipy": "scipy",
    "opencv-python": "cv2",
    "pycocotools": "pycocotools.mask",
    "accelerate": "accelerate",
    "safetensors": "safetensors",
    "pydantic": "pydantic",
    "typer": "typer",
    "rich": "rich",
}


@dataclass(frozen=True)
class Line:
    """One finding: what, its value, and a remark."""

    what: str
    value: str
    note: str = ""


@dataclass
class Report:
    """All findings, by topic."""

    versions: list[Line] = field(default_factory=list)
    devices: list[Line] = field(default_factory=list)
    speed: list[Line] = field(default_factory=list)
    folders: list[Line] = field(default_factory=list)
    missing: list[Line] = field(default_factory=list)
    """`value` is the command that brings it."""

    def json(self) -> dict[str, Any]:
        """As `caffdet doctor --json` writes it."""
        return {"schema": 1, **asdict(self)}


def examine() -> Report:
    """Look at this machine. Never raises because of what it finds."""
    report = Report()
    for look in (_versions, _devices, _speed, _evaluation, _folders, _datasets, _weights):
        _guarded(look, report)
    return report


def _guarded(look: Callable[[Report], None], report: Report) -> None:
    """A look that fails is a finding itself: torch and drivers fail in ways that nobody can list."""
    try:
        look(report)
    except Exception as error:
        topic = look.__name__.strip("_")
        report.missing.append(Line(topic, "", f"could not be examined: {_first_line(error)}"))


def _versions(report: Report) -> None:
    from caffdet_cli import __version__

    report.versions += [Line("caffdet", __version__), Line("python", platform.python_version(), sys.executable)]
    for name, module in _PACKAGES.items():
        version, trouble = _installed(name, module)
        report.versions.append(Line(name, version or "missing", trouble))
        if version is None or trouble:
            command = f"pip install --force-reinstall {name}" if version else f"pip install {name}"
            report.missing.append(Line(name, command, trouble or "is not installed"))


def _installed(name: str, module: str) -> tuple[str | None, str]:
    """A package's version (None: not installed) and what is wrong with it (empty: nothing)."""
    try:
        version: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = None
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        absent = error.name is not None and error.name.split(".")[0] == module.split(".")[0]
        return (version, "") if absent and version is None else (version or "?", f"broken: {_first_line(error)}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return version or "?", f"broken: {_first_line(error)}"
    return version or str(getattr(found, "__version__", "?")), ""  # opencv-python-headless has cv2 as well


def _devices(report: Report) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu = Line("cpu", platform.processor() or platform.machine(), f"{cores} cores")
    torch = _torch()
    if torch is None:
        report.devices.append(cpu)
        return
    report.devices.append(Line(cpu.what, cpu.value, f"{cpu.note}, torch uses {torch.get_num_threads()} threads"))
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.cuda.get_device_properties(index)
        memory = f"{device.total_memory / 2**30:.0f} GiB, compute capability {device.major}.{device.minor}"
        report.devices.append(Line(f"cuda:{index}", device.name, memory))
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"torch is built for CUDA {built} and finds no device" if built else "this torch is built without CUDA"
        report.devices.append(Line("cuda", "no", why))
    if torch.backends.mps.is_available():
        report.devices.append(Line("mps", "yes", "Apple GPU"))


def _speed(report: Report) -> None:
    torch = _torch()
    if torch is None:
        return
    from caffdet_cli.kernels.info import about_operators

    for about in about_operators():
        report.speed.append(Line(f"deformable attention, {about.device}", about.implementation, about.note))
    from caffdet_cli.inference.device import HALF_TYPES, about_precision

    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for precision in HALF_TYPES:
        is_fast, why = about_precision(precision, place)
        report.speed.append(Line(f"--precision {precision}", "fast" if is_fast else "slow", why))
    if place.type == "cpu":
        report.speed.append(Line("training", "CPU only", "small models and pictures; the published models need a GPU"))


def _evaluation(report: Report) -> None:
    from caffdet_cli.evaluation.engines import about_engine

    report.speed.append(Line("caffdet eval, COCO figures", *about_engine()))


def _folders(report: Report) -> None:
    cache = paths.cache()
    report.folders.append(Line("cache", str(cache), _state(cache)))
    chosen = os.environ.get("CAFFDET_DATA")
    note = _state(Path(chosen).expanduser()) if chosen else "export CAFFDET_DATA=DIR says where data sets are"
    report.folders.append(Line("$CAFFDET_DATA", chosen or "not set", note))


def _state(folder: Path) -> str:
    """Whether results can go there, and how much."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        return f"cannot be written: no permission for {there}"
    free = f"{shutil.disk_usage(there).free / 2**30:.0f} GiB free"
    return free if folder.is_dir() else f"is made when needed, {free}"


def _datasets(report: Report) -> None:
    """Shipped data sets whose files are not there. The demo's are made on first use."""
    from caffdet_cli.settings.load import load_config, names

    for shipped in names():
        if shipped.kind != "dataset" or shipped.name == "demo":
            continue
        data = load_config(files=[shipped.path]).config.data
        root = Path(data.root) if data.root else paths.data_root(data.name or shipped.name)
        if root is not None and root.is_dir():
            report.folders.append(Line(f"data set {shipped.name}", str(root), "found"))
            continue
        place = root or f"$CAFFDET_DATA/{shipped.name}"
        command = f"caffdet convert {shipped.name} DOWNLOADED -o {place}"
        report.missing.append(Line(f"data set {shipped.name}", command, data.homepage and f"from {data.homepage}"))


def _weights(report: Report) -> None:
    """Published weights that shipped recipes start from and that are not there."""
    from caffdet_cli.errors import WeightsError
    from caffdet_cli.settings.load import load_config, names
    from caffdet_cli.weights.known import find_weights

    recipes = [
        load_config(files=[shipped.path]).config.train.weights for shipped in names() if shipped.kind == "recipe"
    ]
    for name in sorted(filter(None, recipes)):
        try:
            report.folders.append(Line(f"weights {name}", str(find_weights(name)), "found"))
        except WeightsError as error:  # noqa: PERF203  # a handful
            command = next((line.strip() for line in str(error).splitlines() if "download-weights" in line), "")
            report.missing.append(Line(f"weights {name}", command, "what caffdet train starts from"))


def _torch() -> Any:
    """torch, or None where it cannot be imported; `_versions` has told why."""
    try:
        return import_module("torch")
    except Exception:
        return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
