"""A small paired data set of two splits with nothing wrong, for tests that break it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 128
TOML = '[data]\nname = "mine"\nroot = "."\n'
SPLIT = '[data.splits.{name}]\nannotations = ["{name}.json"]\n'


def scene(seed: int, width: int = WIDTH, height: int = HEIGHT) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A warm RGB picture with many edges, and its infrared partner (h, w): the same edges, inverted."""
    random = np.random.default_rng(seed)
    rgb = np.full((height, width, 3), (120, 90, 70), np.uint8)
    for _ in range(40):
        x, y = int(random.integers(width)), int(random.integers(height))
        corner = (x + int(random.integers(6, 40)), y + int(random.integers(6, 40)))
        red = int(random.integers(60, 255))
        cv2.rectangle(rgb, (x, y), corner, (red, int(red * random.uniform(0.4, 0.9)), red // 3), -1)
    return rgb, 255 - cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


class InspectedSet:
    """The data set on disk; `images` and `annotations` of each split are written by `save`."""

    def __init__(self, root: Path, train: int = 6, val: int = 3):
        self.root = root
        self.splits: dict[str, dict[str, Any]] = {}
        for folder in ("rgb", "ir"):
            (root / folder).mkdir(parents=True)
        for split, numbers in (("train", range(train)), ("val", range(100, 100 + val))):
            images = [self.pair(f"{number:03}.png", number) for number in numbers]
            annotations = [
                {"id": number + 1, "image_id": number, "category_id": 0, "bbox": [10 + number % 50, 20, 30, 40]}
                for number in numbers
            ]
            self.splits[split] = {
                "info": {"caffdet": {"version": 1, "label_spectrum": "ir"}},
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 0, "name": "person"}],
            }
        self.save()

    def pair(self, name: str, seed: int) -> dict[str, Any]:
        """Write a pair; its image record."""
        rgb, ir = scene(seed)
        self.write("rgb", name, rgb)
        self.write("ir", name, ir)
        files = {"file_name": f"rgb/{name}", "file_name_IR": f"ir/{name}"}
        return {"id": seed, "width": WIDTH, "height": HEIGHT, **files}

    def write(self, spectrum: str, name: str, pixels: NDArray[Any]) -> Path:
        path = self.root / spectrum / name
        assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
        return path

    def change(self, spectrum: str, name: str, how: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        """Read a picture and write it again."""
        pixels = cv2.imread(str(self.root / spectrum / name), cv2.IMREAD_UNCHANGED)
        self.write(spectrum, name, how(pixels[..., ::-1] if pixels.ndim == 3 else pixels))

    def save(self) -> Path:
        """Write `dataset.toml` and the annotation files; the folder."""
        for split, content in self.splits.items():
            (self.root / f"{split}.json").write_text(json.dumps(content))
        (self.root / "dataset.toml").write_text(TOML + "".join(SPLIT.format(name=name) for name in self.splits))
        return self.root
