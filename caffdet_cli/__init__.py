"""Object detection with transformers on paired RGB + infrared pictures.

Everything the commands do can be called from Python; a name is imported when it is first used, so that
`import caffdet_cli` and `caffdet --help` do not wait for torch:

    from caffdet_cli import load_config
"""

from typing import Any

_PUBLIC = {  # name -> the module that has it
    "align": "caffdet_cli.visualization.rig_report",
    "check_dataset": "caffdet_cli.visualization.dataset_report",
    "convert": "caffdet_cli.data.convert",
    "describe_dataset": "caffdet_cli.visualization.dataset_report",
    "draw_model": "caffdet_cli.benchmark.model_drawing",
    "evaluate": "caffdet_cli.evaluation.detector",
    "load_config": "caffdet_cli.settings.load",
    "predict": "caffdet_cli.inference.predict",
    "run_demo": "caffdet_cli.demo",
    "train": "caffdet_cli.engine.train",
    "visualize": "caffdet_cli.visualization.show",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _PUBLIC:
        from importlib import import_module

        value = getattr(import_module(_PUBLIC[name]), name)
    else:
        raise AttributeError(f"module 'caffdet_cli' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The installed version."""
    from importlib import metadata

    try:
        return metadata.version("caffdet")
    except metadata.PackageNotFoundError:  # run from a folder that was never installed
        return "0+unknown"
