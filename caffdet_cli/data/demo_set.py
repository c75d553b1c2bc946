"""The data set `demo`: RGB + infrared pairs that are made, not downloaded. Its scenes are in `demo_scenes.py`."""

from pathlib import Path

import cv2
import numpy as np

from caffdet_cli.data.annotations import AnnotationSet, Category, Example, Objects
from caffdet_cli.data.demo_canvas import Bytes
from caffdet_cli.data.demo_scenes import CLASSES, Scene, scene
from caffdet_cli.data.formats.coco_write import write_coco
from caffdet_cli.errors import OutputError
from caffdet_cli.folders import whole_folder
from caffdet_cli.paths import cache, data_root
from caffdet_cli.progress import Progress
from caffdet_cli.settings.data import Data

VERSION = 1
"""Part of the folder's name in the cache; another one where the same seed gives other pictures."""

TRAIN, VAL, SEED, SIZE = 512, 128, 0, (128, 160)


def demo_root(progress: Progress | None = None) -> Path:
    """The folder of the data set in the cache; made at first use, and again where files are missing.

    Several processes may ask at once: each file appears whole, and all of them would write the same bytes.

    Raises:
        OutputError: the cache cannot be written.
        DiskFull: there is no room for it.
    """
    folder = cache() / f"demo-v{VERSION}"
    if not _is_whole(folder):
        try:
            make_demo(folder, progress=progress, overwrite=True)
        except OutputError as error:
            raise OutputError(
                f"cannot keep the demo data set in {folder} ({error.__cause__ or error}); "
                "set CAFFDET_CACHE to a folder that can be written"
            ) from error
    return folder


def place_of(data: Data, said: Path | None = None, progress: Progress | None = None) -> Path | None:
    """The `root` for `load_split`: what was said, or of the data set `demo` its folder in the cache.

    None where the settings or `$CAFFDET_DATA` say it.
    """
    kept = data_root(data.name)
    if said is not None or data.root or data.name != "demo" or (kept is not None and kept.is_dir()):
        return said
    return demo_root(progress)


def make_demo(
    folder: Path,
    *,
    train: int = TRAIN,
    val: int = VAL,
    seed: int = SEED,
    size: tuple[int, int] = SIZE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the data set in the paired COCO form: rgb/, ir/, train.json, val.json.

    Args:
        train, val: number of pairs.
        seed: 0 or more; another one gives other scenes. The first scenes stay the same when there are more.
        size: height and width of the pictures in pixels; 64 or more, and not higher than wide.
        overwrite: replace files of the same names in a folder that is not empty.

    Raises:
        OutputError, DiskFull: `folder` is not empty, or cannot be written.
    """
    if min(size) < 64 or size[0] > size[1]:
        raise ValueError(f"size = {size}: height and width are 64 or more, and the height is not above the width")
    plan = [(split, number) for split, count in (("train", train), ("val", val)) for number in range(count)]
    with whole_folder(folder, overwrite=overwrite) as part:
        for spectrum in ("rgb", "ir"):
            (part / spectrum).mkdir()
        examples: dict[str, list[Example]] = {"train": [], "val": []}
        for split, number in (progress or Progress()).track(plan, "drawing the demo data set", total=len(plan)):
            drawn = scene((seed, 0 if split == "train" else 1, number), size)
            first = 1 + sum(len(example.objects) for example in examples[split])
            examples[split].append(_write_pair(part, drawn, split, number, first))
        for split, pairs in examples.items():
            _write_annotations(part, split, pairs, seed)


def _write_pair(folder: Path, drawn: Scene, split: str, number: int, first: int) -> Example:
    """Write both pictures; `first` is the id of the first annotation."""
    rgb, ir = _pictures(folder, split, number)
    _write_png(rgb, drawn.rgb[:, :, ::-1])
    _write_png(ir, drawn.ir)
    boxes = drawn.boxes.astype(np.float64)
    objects = Objects(
        boxes=boxes,
        labels=np.array([CLASSES.index(name) for name in drawn.names], np.int64),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        crowd=np.zeros(len(boxes), np.bool_),
        ids=tuple(range(first, first + len(boxes))),
    )
    height, width = drawn.ir.shape
    return Example(id=number + 1, rgb=rgb, ir=ir, width=width, height=height, objects=objects)


def _pictures(folder: Path, split: str, number: int) -> tuple[Path, Path]:
    """The files of one pair."""
    name = f"{split}_{number:04}.png"
    return folder / "rgb" / name, folder / "ir" / name


def _write_png(path: Path, picture: Bytes) -> None:
    _, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    path.write_bytes(data.tobytes())


def _write_annotations(folder: Path, split: str, examples: list[Example], seed: int) -> None:
    annotations = AnnotationSet(
        examples=tuple(examples),
        categories=tuple(Category(number, name) for number, name in enumerate(CLASSES, start=1)),
        label_spectrum="ir",
        source=folder / f"{split}.json",
    )
    write_coco(annotations, annotations.source, root=folder, made_by=f"caffdet demo data set {VERSION}, seed {seed}")


def _is_whole(folder: Path) -> bool:
    """Whether all files of the default data set are there and none is empty."""
    plan = [(split, number) for split, count in (("train", TRAIN), ("val", VAL)) for number in range(count)]
    files = [folder / "train.json", folder / "val.json"]
    files += [path for split, number in plan for path in _pictures(folder, split, number)]
    try:
        return all(path.stat().st_size > 0 for path in files)
    except OSError:
        return False
