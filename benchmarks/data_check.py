"""Time and memory of `caffdet data check` on a large data set.

    python benchmarks/data_check.py [--pairs 15000] [--distinct 200] [--size 640x512] [--workers N] [--json FILE]

Writes `distinct` pairs of JPEG files and gives each many names by hard links, a fifth of them in val; then runs the
command in a process of its own. Links are found as the same picture again and again, so the number of findings is as
large as it can be. The folder is removed at the end.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_OBJECTS = 5


def scene(random: np.random.Generator, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An RGB and an infrared picture with the same edges, about as large as JPEGs of a street are."""
    rough = cv2.resize(random.integers(0, 160, (height // 16, width // 16, 3), np.uint8), (width, height))
    for _ in range(40):
        x, y, colour = int(random.integers(width)), int(random.integers(height)), random.integers(0, 255, 3).tolist()
        cv2.rectangle(rough, (x, y), (x + int(random.integers(10, 90)), y + int(random.integers(10, 90))), colour, -1)
    noise = random.normal(0, 6, (height, width, 3))
    rgb = np.clip(rough + noise, 0, 255).astype(np.uint8)
    ir = np.clip(255 - cv2.cvtColor(rough, cv2.COLOR_BGR2GRAY) + noise[..., 0], 0, 255).astype(np.uint8)
    return rgb, ir


def write_set(root: Path, pairs: int, distinct: int, width: int, height: int) -> None:
    """`dataset.toml`, `train.json`, `val.json` and the pictures."""
    random = np.random.default_rng(0)
    for spectrum in ("rgb", "ir"):
        (root / spectrum).mkdir()
    for number in range(distinct):
        for spectrum, pixels in zip(("rgb", "ir"), scene(random, width, height), strict=True):
            cv2.imwrite(str(root / spectrum / f"{number}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
    for number in range(distinct, pairs):
        for spectrum in ("rgb", "ir"):
            os.link(root / spectrum / f"{number % distinct}.jpg", root / spectrum / f"{number}.jpg")
    tables = []
    for split, numbers in (("train", range(pairs // 5, pairs)), ("val", range(pairs // 5))):
        (root / f"{split}.json").write_text(json.dumps(annotations(random, numbers, width, height)))
        tables.append(f'[data.splits.{split}]\nannotations = ["{split}.json"]\n')
    (root / "dataset.toml").write_text('[data]\nroot = "."\n' + "".join(tables))


def annotations(random: np.random.Generator, numbers: range, width: int, height: int) -> dict[str, Any]:
    """Paired COCO with a few boxes in each picture."""
    images = [
        {"id": one, "width": width, "height": height, "file_name": f"rgb/{one}.jpg", "file_name_IR": f"ir/{one}.jpg"}
        for one in numbers
    ]
    corners = random.integers(0, (width - 60, height - 60), (len(numbers) * _OBJECTS, 2)).tolist()
    objects = [
        {"id": row + 1, "image_id": numbers[row // _OBJECTS], "category_id": 0, "bbox": [*corner, 30, 50]}
        for row, corner in enumerate(corners)
    ]
    info = {"caffdet": {"version": 1, "label_spectrum": "ir"}}
    return {"info": info, "images": images, "annotations": objects, "categories": [{"id": 0, "name": "person"}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15_000)
    parser.add_argument("--distinct", type=int, default=200, help="pairs of files")
    parser.add_argument("--size", default="640x512", metavar="WxH")
    parser.add_argument("--workers", type=int, help="as of the command")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_set(root, options.pairs, min(options.distinct, options.pairs), width, height)
        words = [sys.executable, "-m", "caffdet_cli", "data", "check", folder, "-o", str(root / "out"), "--quiet"]
        words += [] if options.workers is None else ["--workers", str(options.workers)]
        start = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        report = json.loads((root / "out" / "report.json").read_text())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, busy = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
    pictures = 2 * options.pairs
    print(
        f"{pictures} pictures of {options.size} in {seconds:.1f} s ({pictures / seconds:.0f} per second) on "
        f"{os.cpu_count()} processors, {busy:.0f} s of processor time, peak {peak:.0f} MB; {report['faults']} faults"
    )
    if options.json:
        subject = f"data check, {pictures} pictures of {options.size}"
        row = {"subject": subject, "seconds": seconds, "processor_seconds": busy, "peak_MB": peak}
        options.json.write_text(json.dumps({"rows": [row], "machine": platform.platform()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
