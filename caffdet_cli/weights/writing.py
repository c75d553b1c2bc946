"""`torch.save` into a file, without a second copy of the tensors and with the system's own words where that fails."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch


def write_torch(content: Mapping[str, Any], path: Path) -> None:
    """A file of `torch.save`.

    Raises:
        OSError: it cannot be written; torch itself hides why.
    """
    with path.open("wb") as file:
        kept = _Kept(file)
        try:
            torch.save(content, cast(IO[bytes], kept))
        except RuntimeError as error:
            if kept.problem is not None:
                raise kept.problem from error
            raise


class _Kept:
    """A file that keeps the error of a failed write."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.problem: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.problem = error
            raise

    def flush(self) -> None:
        self._file.flush()
