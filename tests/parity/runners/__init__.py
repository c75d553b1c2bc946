"""Which code runs a case: one runner per family and kind. Reading this file answers "what is covered?"."""

from collections.abc import Callable

from harness import Case

from runners import paired_loader, transforms

Runner = Callable[[Case], None]

RUNNERS: dict[tuple[str, str], Runner] = {
    ("caff_dino", "paired_loader"): paired_loader.run,
    ("lite_dino", "transforms"): transforms.run,
}
