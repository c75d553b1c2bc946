"""How fast pictures become batches: our loader beside one built the way the published code does it.

    python benchmarks/data.py [--json FILE] [--data FOLDER] [--way eval train fast] [--workers 2] [--batch 2]
                              [--pictures 64] [--pairs 5]

The published way: PIL decodes and resizes every step, and a worker makes normalised floating point of it. Ours is what
`caffdet eval` and `caffdet train` use (`eval`, `train`), and `train.augment.pixels=fast` (`fast`, beside the published
training steps). A batch counts when it is normalised. Two loaders take turns on the same pictures and the same draws;
the ratio is the median over the pairs. Memory is that of the workers, shared pages counted once, after the first and
after the last turn.

--data: a converted data set of pairs; without one, noise of 1280x1024 as JPEG.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import functional

from caffdet_cli.benchmark.timing import write_pictures
from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.batches import collate, to_device
from caffdet_cli.data.dataset import PairDataset, Sample, generator
from caffdet_cli.data.geometry import Window, evaluation_geometry, training_geometry
from caffdet_cli.data.images import read_picture
from caffdet_cli.data.loading import Loader, closing_workers
from caffdet_cli.data.splits import load_split
from caffdet_cli.inference.sources import picture_set
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.train import Augment
from caffdet_cli.values import Targets
from ops import machine  # beside this file

WAYS = {"eval": None, "train": Augment(), "fast": Augment(pixels="fast")}
_EXAMPLES = 1  # the first word of our seeds, so that both draw the same


class Published(Dataset[Sample]):
    """PIL for everything, normalised floating point in the worker; the draws are ours."""

    def __init__(self, data: PairDataset):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        example, seen = self.data.annotations.examples[key[1]], self.data.conventions.input
        size = (example.height, example.width)
        if self.data.augment is None:
            geometry = evaluation_geometry(size, seen.short_side, seen.max_side)
        else:
            geometry = training_geometry(size, self.data.augment, generator(_EXAMPLES, self.data.seed, *key))
        pictures = []
        for path in (example.ir, example.rgb):
            assert path is not None
            picture = Image.open(path).convert("RGB")
            if geometry.flip:
                picture = functional.hflip(picture)
            for step in geometry.steps:
                if isinstance(step, Window):
                    picture = functional.crop(picture, *map(round, step))
                else:
                    picture = functional.resize(picture, list(step))
            pictures.append(functional.normalize(functional.to_tensor(picture), list(seen.mean), list(seen.std)))
        targets = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
        return Sample(tuple(pictures), (True, True), geometry.end, size, targets, example.id, example.name)


class Repeated(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) that go through the pictures again and again, each time with other draws."""

    def __init__(self, length: int, pictures: int, batch: int):
        self.numbers = [divmod(number, length) for number in range(pictures)]
        self.batch = batch

    def __len__(self) -> int:
        return -(-len(self.numbers) // self.batch)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.numbers[at : at + self.batch] for at in range(0, len(self.numbers), self.batch))


class Side(NamedTuple):
    """One of the two loaders."""

    batches: DataLoader[Any]
    finish: Callable[[Any], Tensor]  # what is left to do in the main process

    def turn(self, pictures: int) -> float:
        """Pairs a second."""
        begun = time.perf_counter()
        for batch, _ in self.batches:
            self.finish(batch)
        return pictures / (time.perf_counter() - begun)

    def memory(self) -> float:
        """MB of the workers."""
        workers = self.batches._iterator._workers  # type: ignore[union-attr]  # torch has no public name for it
        return sum(_memory(worker.pid) for worker in workers)


def _memory(process: int) -> float:
    """MB of a process; what it shares is divided among those that share it."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def sides(data: PairDataset, options: argparse.Namespace) -> tuple[Side, Side]:
    """The published way, and ours."""
    order = Repeated(len(data), options.pictures, options.batch)
    published = DataLoader(
        Published(data),
        batch_sampler=order,
        collate_fn=partial(collate, reference=0),
        num_workers=options.workers,
        persistent_workers=True,
        worker_init_fn=_one_thread,
    )
    product = Loader(data, order, options.workers)  # type: ignore[arg-type]  # as an EpochSampler, but it repeats
    seen = data.conventions.input
    return (
        Side(published, lambda batch: batch.spectra[0].pixels),
        Side(product, lambda batch: to_device(batch, "cpu", seen).spectra[0].pixels),
    )


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def measured(data: PairDataset, options: argparse.Namespace) -> dict[str, Any]:
    """Turns of both, after one that starts the workers."""
    with ExitStack() as stack:
        other, own = (
            one._replace(batches=stack.enter_context(closing_workers(one.batches))) for one in sides(data, options)
        )
        other.turn(options.pictures), own.turn(options.pictures)
        before = other.memory(), own.memory()
        laps = [(other.turn(options.pictures), own.turn(options.pictures)) for _ in range(options.pairs)]
        after = other.memory(), own.memory()
    ratios = sorted(two / one for one, two in laps)
    return {
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "against_pairs_per_second": statistics.median(one for one, _ in laps),
        "subject_pairs_per_second": statistics.median(two for _, two in laps),
        "against_worker_MB": [round(before[0]), round(after[0])],
        "subject_worker_MB": [round(before[1]), round(after[1])],
        "pairs": len(laps),
    }


def decoding(annotations: AnnotationSet) -> float:
    """Pairs a second that one core decodes: what no loader can beat with one worker."""
    paths = [path for example in annotations.examples for path in (example.rgb, example.ir) if path is not None]
    cv2.setNumThreads(1)
    for path in paths:
        read_picture(path)
    begun = time.perf_counter()
    for path in paths:
        read_picture(path)
    return len(annotations.examples) / (time.perf_counter() - begun)


def pairs_of(options: argparse.Namespace, folder: Path) -> AnnotationSet:
    """The pictures that are read."""
    if options.data is not None:
        data = load_config(dataset=str(options.data)).config.data
        return load_split(data, "train" if "train" in data.splits else None)[1]
    places = [write_pictures(folder / name, 1024, 1280, 8, name == "ir") for name in ("rgb", "ir")]
    return picture_set(*places, Conventions(spectra=("ir", "rgb"), label_spectrum="ir")).pictures


def differences(annotations: AnnotationSet, conventions: Conventions) -> dict[str, float]:
    """How far the fast pixels are from the exact ones, in levels of 255, over eight draws of every picture."""
    exact, fast = (PairDataset(annotations, conventions, WAYS[way], 0) for way in ("train", "fast"))
    keys = itertools.product(range(8), range(len(exact)))
    gaps = [
        (one.float() - two.float()).abs()
        for key in keys
        for one, two in zip(exact[key].pictures, fast[key].pictures, strict=True)
    ]
    means = [float(gap.mean()) for gap in gaps]
    return {
        "mean": statistics.mean(means),
        "largest_mean": max(means),
        "largest": max(float(gap.max()) for gap in gaps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a converted data set of pairs")
    parser.add_argument("--way", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=64, help="pairs in one turn")
    parser.add_argument("--pairs", type=int, default=5, help="turns")
    options = parser.parse_args()
    about, rows = machine(), []
    with tempfile.TemporaryDirectory() as folder:
        annotations = pairs_of(options, Path(folder))
        names = tuple(category.name for category in annotations.categories)
        conventions = Conventions(spectra=("ir", "rgb"), label_spectrum=annotations.label_spectrum, classes=names)
        print(
            f"{len(annotations.examples)} pairs; one core decodes {decoding(annotations):.0f} pairs a second",
            flush=True,
        )
        for way in options.way:
            row = {
                "subject": f"caffdet, {way}",
                "against": "PIL and floating point in the workers",
                **measured(PairDataset(annotations, conventions, WAYS[way], 0), options),
                "workers": options.workers,
            }
            rows.append(row)
            print(
                f"{row['subject']:<16} {row['ratio']:.2f}x ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})  "
                f"{row['against_pairs_per_second']:.1f} -> {row['subject_pairs_per_second']:.1f} pairs a second, "
                f"workers {row['against_worker_MB']} -> {row['subject_worker_MB']} MB",
                flush=True,
            )
        found = differences(annotations, conventions)
        print(f"fast beside exact pixels, levels of 255: {found}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "fast_pixels": found, "machine": about}, indent=2) + "\n")


if __name__ == "__main__":
    main()
