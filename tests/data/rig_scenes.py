"""Scenes that two cameras see: shared edges, unlike brightness; and a known map between the cameras."""

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.alignment.estimate import PairPictures
from caffdet_cli.data.warp import through, warp

WIDTH, HEIGHT = 320, 256

# moved (rgb, 480 x 384) -> fixed (ir, 320 x 256): smaller by a third, turned, shifted, a little perspective
MOVED_SIZE = (480, 384)
TRUTH = np.array([[0.72, -0.03, -8.0], [0.035, 0.71, -14.0], [4e-5, -3e-5, 1.0]])


def scene(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The fixed camera's view in both spectra, (H, W, 3) rgb and (H, W) ir, with a rim for a camera that sees more.

    Every shape has a brightness of its own in each spectrum; some show in one spectrum only.
    """
    random = np.random.default_rng(seed)
    rim = 120
    size = HEIGHT + 2 * rim, WIDTH + 2 * rim
    rgb, ir = np.full((*size, 3), 90, np.uint8), np.full(size, 110, np.uint8)
    for number in range(150):
        middle = random.integers(0, (size[1], size[0]))
        corners = (middle + random.integers(-30, 30, (4, 2))).astype(np.int32)
        hull = cv2.convexHull(corners)
        if number % 5:
            cv2.fillPoly(rgb, [hull], random.integers(0, 255, 3).tolist())
        if number % 7:
            cv2.fillPoly(ir, [hull], int(random.integers(0, 255)))
    rgb = np.clip(rgb + random.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)
    ir = np.clip(ir + random.normal(0, 6, ir.shape), 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(rgb, (0, 0), 1), cv2.GaussianBlur(ir, (0, 0), 1)


def pair(seed: int, *, ir_seed: int | None = None) -> PairPictures:
    """What the two cameras of `TRUTH` record; with `ir_seed` the infrared one looks somewhere else."""
    rim = np.array([[1.0, 0.0, 120.0], [0.0, 1.0, 120.0], [0.0, 0.0, 1.0]])
    rgb = warp(scene(seed)[0], np.linalg.inv(rim @ TRUTH), MOVED_SIZE[::-1])
    ir = warp(scene(seed if ir_seed is None else ir_seed)[1], np.linalg.inv(rim), (HEIGHT, WIDTH))
    return PairPictures(f"{seed}.png", rgb, ir)


def off(matrix: object, truth: NDArray[np.float64], moved: tuple[int, int], fixed: tuple[int, int]) -> float:
    """Median distance, in pixels of the fixed picture, of what two maps make of the points that both cameras see."""
    grid = np.stack(np.meshgrid(*(np.linspace(0.1, 0.9, 5) * side for side in moved)), axis=2).reshape(-1, 2)
    places = through(truth, grid)
    seen = ((places >= 0) & (places <= fixed)).all(axis=1)
    assert seen.sum() > 5
    return float(np.median(np.linalg.norm(through(np.array(matrix), grid[seen]) - places[seen], axis=1)))


def write_set(root: Path, seeds: tuple[int, ...] = (1, 2)) -> Path:
    """The pairs of these seeds as a data set: `rgb/`, `ir/`, `train.json` and `dataset.toml`."""
    images = []
    for seed in seeds:
        one = pair(seed)
        for folder, picture in (("rgb", one.rgb[..., ::-1]), ("ir", one.ir)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / folder / one.name), picture)
        names = {"file_name": f"rgb/{one.name}", "file_name_IR": f"ir/{one.name}"}
        images.append({"id": seed, "width": WIDTH, "height": HEIGHT, **names})
    info = {"caffdet": {"version": 1, "label_spectrum": "ir"}}
    content = {"info": info, "images": images, "annotations": [], "categories": [{"id": 0, "name": "person"}]}
    (root / "train.json").write_text(json.dumps(content))
    (root / "dataset.toml").write_text(
        '[data]\nname = "two"\nroot = "."\n[data.splits.train]\nannotations = ["train.json"]\n'
    )
    return root
