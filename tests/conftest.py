"""What all tests share: which are skipped, the real data beside the repository, and a tiny paired data set."""

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

# A busy machine is no fault of what is tested.
settings.register_profile("caffdet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("caffdet")

SHARED = Path(__file__).resolve().parents[2] / "shared"
CLASSES = ("person", "car", "bicycle")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    group = parser.getgroup("parity", "recorded cases of the reference implementations")
    group.addoption("--parity-root", metavar="DIR", help="run every case DIR/<family>/<case>, the slow ones too")
    group.addoption("--parity-strict", action="store_true", help="what is not built is a failure, not an expected one")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(2)
    # A job in the background of a script ignores Ctrl-C, and so would every command that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--parity-root"):
        config.option.slow = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    run_slow = config.getoption("--slow") or "slow" in (config.option.markexpr or "")
    for item in items:
        if item.get_closest_marker("slow") and not run_slow:
            item.add_marker(pytest.mark.skip(reason="slow: add --slow or -m slow"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """A worker process that a test forgot keeps the interpreter from ending."""
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and specifications beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not at hand")
    return SHARED


@dataclass(frozen=True)
class PairedFiles:
    """A paired data set on disk: `rgb/`, `ir/` and `train.json` in the paired COCO form."""

    root: Path
    annotations: Path
    content: dict[str, Any]  # of the annotation file
    classes: tuple[str, ...]


@pytest.fixture
def make_pairs(tmp_path: Path) -> Callable[..., PairedFiles]:
    """Writes a small paired data set: `make_pairs(count=4, name="pairs", seed=0)` -> PairedFiles."""

    def make(count: int = 4, name: str = "pairs", seed: int = 0) -> PairedFiles:
        return write_pairs(tmp_path / name, count, seed)

    return make


def write_pairs(root: Path, count: int, seed: int, height: int = 48, width: int = 64) -> PairedFiles:
    """`count` noisy pairs with up to three bright boxes each; every third class is brighter in the infrared picture.

    The second example has no objects. Boxes are whole pixels, so the picture shows exactly what the file says.
    """
    random = np.random.default_rng(seed)
    for folder in ("rgb", "ir"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        file = f"{index:03d}.png"
        rgb = random.integers(0, 60, (height, width, 3), np.uint8)
        ir = random.integers(0, 60, (height, width), np.uint8)
        for slot in range(0 if index == 1 else 1 + index % 3):
            left, top = int(random.integers(0, width - 20)), int(random.integers(0, height - 20))
            box = [left, top, int(random.integers(8, 20)), int(random.integers(8, 20))]
            rgb[top : top + box[3], left : left + box[2]] = 180 + 20 * slot
            ir[top : top + box[3], left : left + box[2]] = 250 - 20 * slot
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": slot,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        cv2.imwrite(str(root / "rgb" / file), rgb)
        cv2.imwrite(str(root / "ir" / file), ir)
        images.append(
            {"id": index, "width": width, "height": height, "file_name": f"rgb/{file}", "file_name_IR": f"ir/{file}"}
        )
    content = {
        "info": {"caffdet": {"version": 1, "label_spectrum": "ir"}},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": slot, "name": label} for slot, label in enumerate(CLASSES)],
    }
    path = root / "train.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return PairedFiles(root, path, content, CLASSES)
