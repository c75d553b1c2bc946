"""One look at every picture of a split, by several threads, in the order of the split and in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import cv2

from caffdet_cli.data.annotations import AnnotationSet
from caffdet_cli.data.inspection.pictures import PairFacts, look_at
from caffdet_cli.progress import Progress

_THREADS = 8  # at most by default; decoding lets other threads run
_AHEAD = 8  # pictures that are asked for before they are needed, for each thread

Item = TypeVar("Item")
Result = TypeVar("Result")


def survey(annotations: AnnotationSet, label: str, progress: Progress, workers: int | None = None) -> list[PairFacts]:
    """Facts of every example, in their order.

    Args:
        label: what progress says is done.
        workers: threads; 0: none beside this one; None: as many as there are processors, at most 8.
    """
    threads = min(_THREADS, os.cpu_count() or 1) if workers is None else workers
    look = partial(look_at, label_spectrum=annotations.label_spectrum)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)  # what is wrong with a picture is in its facts
    results = _in_order(look, annotations.examples, threads)
    try:
        return list(progress.track(results, label, total=len(annotations.examples)))
    finally:
        results.close()
        cv2.utils.logging.setLogLevel(level)


def _in_order(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
    """`map` in threads that stay only a little ahead of who takes the results; closing it waits for running calls."""
    if threads < 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        try:
            waiting.extend(pool.submit(function, item) for item in islice(rest, threads * _AHEAD))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
                yield result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
