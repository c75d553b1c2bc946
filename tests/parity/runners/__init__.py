"""Which code runs a case: one runner per family and kind. Reading this file answers "what is covered?"."""

from collections.abc import Callable

from harness import Case

from runners.paired_loader import paired_loader
from runners.transforms import transforms
from runners.voc_to_coco import voc_to_coco

Runner = Callable[[Case], None]

RUNNERS: dict[tuple[str, str], Runner] = {
    ("caff_dino", "paired_loader"): paired_loader,
    ("caff_dino", "voc_to_coco"): voc_to_coco,
    ("lite_dino", "transforms"): transforms,
}
