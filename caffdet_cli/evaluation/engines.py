"""Which code matches detections with objects for COCO figures.

pycocotools is the reference. faster-coco-eval gives the same figures in a fraction of the time and is taken where it is
installed; tests hold the two against each other.
"""

from importlib import import_module, metadata
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.errors import ConfigError

Engine = Literal["faster-coco-eval", "pycocotools"]
Kind = Literal["bbox", "segm"]

Records = dict[int, list[dict[str, Any]]]  # by class position, as pycocotools wants them
Size = tuple[int, int]  # height, width

_MODULE = "faster_coco_eval.core.faster_eval_api"


class Judge(Protocol):
    """Takes the pictures of a data set one by one, and then gives the curves of all."""

    def add(self, position: int, size: Size, objects: Records, detections: Records) -> None:
        """The annotated objects and the detections of the picture at `position`."""
        ...

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Precision (T, R, K, A, M) and recall (T, K, A, M); -1 where a class has no object."""
        ...


def choose_engine(wanted: Engine | None = None) -> Engine:
    """The engine that is asked for, else the fastest that works.

    Raises:
        ConfigError: it is none of the two, or is not installed.
    """
    if wanted is not None and wanted not in get_args(Engine):
        raise ConfigError(f"{wanted!r} is no engine; there are {', '.join(get_args(Engine))}")
    if wanted == "pycocotools":
        return "pycocotools"
    works = _faster_works()
    if wanted == "faster-coco-eval" and not works:
        raise ConfigError("faster-coco-eval is not installed or broken: pip install 'caffdet[fast-eval]'")
    return "faster-coco-eval" if works else "pycocotools"


def about_engine() -> tuple[str, str]:
    """The engine that is taken with its version, and a remark."""
    engine = choose_engine()
    if engine == "pycocotools":
        return _called(engine), "pip install 'caffdet[fast-eval]' brings the same figures in a fraction of the time"
    return _called(engine), "the same figures as pycocotools, faster"


def _called(engine: Engine) -> str:
    try:
        return f"{engine} {metadata.version(engine)}"
    except metadata.PackageNotFoundError:
        return engine


def _faster_works() -> bool:
    """Whether it is there; one that is broken is as good as missing."""
    try:
        import_module(_MODULE)
    except Exception:
        return False
    return True
