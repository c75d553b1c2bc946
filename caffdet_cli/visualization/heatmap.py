"""Where the boxes of a data set are, as a picture per class."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from caffdet_cli.visualization.sheet import contact_sheet
from caffdet_cli.visualization.text import Picture

_CLASSES = 11  # those with the most boxes; with all together a sheet of 12
_WIDTH = 400  # pixels of one map


def draw_heatmaps(heat: Mapping[str, NDArray[np.float64]], boxes: Mapping[str, int], aspect: float) -> Picture:
    """All boxes together and each class alone; dark where no box is, light where most are.

    Args:
        heat: by class, (n, n): boxes on each field of the picture; one class at least.
        boxes: by class, how many there are.
        aspect: width by height of the pictures.

    Returns:
        (H, W, 3) RGB.
    """
    names = sorted((name for name in heat if boxes[name]), key=lambda name: (-boxes[name], name))
    maps = {"all": sum(heat[name] for name in names), **{name: heat[name] for name in names[:_CLASSES]}}
    if len(names) == 1:
        del maps["all"]
    counts = {"all": sum(boxes[name] for name in names), **boxes}
    captions = [f"{name}: {counts[name]} boxes, at most {np.max(one):.0f} on a spot" for name, one in maps.items()]
    return contact_sheet([_coloured(np.asarray(one), aspect) for one in maps.values()], captions)


def _coloured(counts: NDArray[np.float64], aspect: float) -> Picture:
    levels = np.asarray(counts / max(1.0, counts.max()) * 255, np.uint8)
    size = _WIDTH, max(1, round(_WIDTH / aspect))
    large = cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(large, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)
