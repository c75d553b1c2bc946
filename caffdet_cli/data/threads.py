"""Pictures looked at by several threads, in their order and in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import cv2

_THREADS = 8  # at most by default; decoding lets other threads run
_AHEAD = 8  # pictures that are asked for before they are needed, for each thread

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Generator[Result, None, None]:
    """`map` in threads that stay only a little ahead of who takes the results; OpenCV is silent meanwhile.

    Closing it waits for running calls.

    Args:
        threads: 0: none beside this one; None: as many as there are processors, at most 8.
    """
    count = min(_THREADS, os.cpu_count() or 1) if threads is None else threads
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)  # what is wrong with a picture is said once, by the caller
    try:
        yield from _ahead(function, items, count) if count else map(function, items)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
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
