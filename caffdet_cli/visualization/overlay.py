"""Two pictures in one: infrared in red, visible in cyan. What lies on itself is grey, what does not has coloured rims.

Shapes: H x W pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.visualization.text import Picture

_TILES = 8  # parts of a side whose contrast is made equal
_STRENGTH = 3.0


def overlay(rgb: NDArray[np.float32], ir: NDArray[np.float32]) -> Picture:
    """Grey pictures (H, W) in 0..1 of one size as (H, W, 3), with equal contrast everywhere."""
    cyan, red = _even(rgb), _even(ir)
    return np.stack([red, cyan, cyan], axis=2)


def _even(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Shade and light side, night and day alike."""
    levels = np.asarray(np.round(picture * 255), np.uint8)
    return np.asarray(cv2.createCLAHE(_STRENGTH, (_TILES, _TILES)).apply(levels), np.uint8)
