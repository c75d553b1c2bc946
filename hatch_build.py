"""Puts compiled CPU operators into the wheel, so that whoever installs it needs no compiler.

Without a compiler the wheel is the pure one, whose operators are compiled at first use. `CXX=none` asks for that.
"""

import importlib.util
import platform
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles one library per instruction set."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the libraries and the platform's tag; an editable install has the sources beside it and takes none."""
        if version == "editable":
            return
        compiler = _compiler(Path(self.root))
        self._work = tempfile.TemporaryDirectory(prefix="caffdet-wheel-")  # removed with the hook
        try:
            libraries = _compile(compiler, Path(self.root) / "ops" / "cpu", Path(self._work.name))
        except (compiler.NotAvailable, OSError) as reason:
            self.app.display_warning(f"caffdet: a wheel without compiled operators: {reason}")
            return
        for library in libraries:
            build_data["force_include"][str(library)] = f"caffdet_cli/ops/lib/{library.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"  # any Python: the libraries know nothing of it


def _compiler(root: Path) -> ModuleType:
    """The package's own module, without the package: what that needs is not installed here."""
    spec = importlib.util.spec_from_file_location("caffdet_compiler", root / "caffdet_cli" / "kernels" / "compiler.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} is no checkout of caffdet")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compile(compiler: ModuleType, sources: Path, folder: Path) -> list[Path]:
    command = compiler.find_compiler()
    libraries = []
    for level, flags in compiler.levels().items():
        library = folder / f"{compiler.stem(level)}.so"
        if not compiler.compile_library(command, [*compiler.FLAGS, *flags], sorted(sources.glob("*.cpp")), library):
            raise compiler.NotAvailable(f"{command[0]} has no OpenMP that goes with torch's")
        libraries.append(library)
    return libraries


def _platform() -> str:
    """Of this machine, also where Python itself runs on two kinds."""
    name = sysconfig.get_platform().replace("universal2", platform.machine())
    return name.replace("-", "_").replace(".", "_")
