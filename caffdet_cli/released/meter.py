"""How a transfer tells how far it is. This one says a plain line now and then; terminals get bars from the commands."""

import time
from typing import TextIO

from caffdet_cli.progress import Progress


class Meter:
    """Plain lines through a `Progress`, with rate and time left."""

    def __init__(self, progress: Progress | None = None, interval: float = 10.0):
        self.progress = progress or Progress()
        self._interval = interval
        self.begin("", None, 0)

    def say(self, text: str) -> None:
        self.progress.say(text)

    def warn(self, text: str) -> None:
        self.progress.warn(text)

    def begin(self, label: str, size: int | None, done: int) -> None:
        """A connection is there: `done` bytes of `size` are on the disk already."""
        self._label, self._size, self._begun_with, self._done = label, size, done, done
        self._start = self._told = time.monotonic()

    def moved(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= self._interval:
            self._told = now
            self.say(f"{self._label}: {how_far(self._done, self._size, self.rate())}")

    def end(self) -> None:
        """The connection is over, whatever came."""

    def rate(self) -> float:
        """Bytes per second since `begin`."""
        return (self._done - self._begun_with) / max(time.monotonic() - self._start, 1e-6)


class StreamMeter(Meter):
    """For callers without a `Progress`: one line on a stream for every file, and one now and then."""

    def __init__(self, stream: TextIO):
        super().__init__()
        self._stream = stream

    def say(self, text: str) -> None:
        print(f"caffdet: {text}", file=self._stream, flush=True)

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")


def how_far(done: int, size: int | None, rate: float) -> str:
    """`34.1 of 180.3 MB, 2.1 MB/s, 1:10 left`."""
    if size is None:
        return f"{megabytes(done)}, {megabytes(rate)}/s"
    left = "" if rate < 1 else f", {_clock((size - done) / rate)} left"
    return f"{megabytes(done).removesuffix(' MB')} of {megabytes(size)}, {megabytes(rate)}/s{left}"


def megabytes(count: float) -> str:
    """Thousands and millions of bytes, as servers and disks count them."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
