"""Draws docs/pictures/demo_pairs.png: some pairs of the data set `demo` with their boxes.

Run it from anywhere: python docs/pictures/demo_pairs.py
"""

from pathlib import Path

import numpy as np

from caffdet_cli.data.demo_scenes import scene
from caffdet_cli.data.demo_set import SEED, SIZE
from caffdet_cli.visualization.draw import Labelled
from caffdet_cli.visualization.pair import draw_pair
from caffdet_cli.visualization.sheet import contact_sheet, save_picture

PAIRS = (0, 2, 9, 13, 7, 12)  # of the training pictures: day and night, every class
STEP = 8  # between two levels of a colour: the file stays small


def main() -> None:
    tiles, captions = [], []
    for number in PAIRS:
        drawn = scene((SEED, 0, number), SIZE)
        tiles.append(draw_pair(drawn.rgb, drawn.ir, truth=Labelled(drawn.boxes, drawn.names), height=192, legend=False))
        captions.append("night" if drawn.night else "day")
    sheet = contact_sheet(tiles, captions, columns=2)
    target = Path(__file__).with_suffix(".png")
    save_picture((sheet // STEP * STEP + STEP // 2).astype(np.uint8), target)
    print(f"{target}: {target.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
