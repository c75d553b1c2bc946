"""One look at every picture of a split, in the order of the split."""

from contextlib import closing
from functools import partial

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.inspection.pictures import PairFacts, look_at
from caffdet_cli.data.threads import in_threads
from caffdet_cli.progress import Progress


def survey(annotations: AnnotationSet, label: str, progress: Progress, workers: int | None = None) -> list[PairFacts]:
    """Facts of every example, in their order.

    Args:
        label: what progress says is done.
        workers: threads; 0: none beside this one; None: as many as there are processors, at most 8.
    """
    look = partial(look_at, label_spectrum=annotations.label_spectrum, rig=annotations.rig)
    with closing(in_threads(look, annotations.examples, workers)) as results:
        return list(progress.track(results, label, total=len(annotations.examples)))
