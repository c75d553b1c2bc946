"""SIGTERM and Ctrl-C during training: the step is finished and saved first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopFlag:
    """Set by the first signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def catch(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second Ctrl-C interrupts at once."""
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """A flag that SIGTERM and SIGINT set while the block runs. Only the main thread can catch signals."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    caught = {number: signal.signal(number, flag.catch) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
