"""Files that torch.save wrote, read without running anything from them."""

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from caffdet_cli.errors import WeightsError


def read_pickle(path: Path, allowed: Sequence[type] = ()) -> Any:
    """The content of a file of tensors and plain values, on the CPU.

    Args:
        allowed: other classes that may be made.

    Raises:
        WeightsError: the file cannot be read, is broken, or carries code, which is named and does not run.
    """
    can_be_read(path)
    try:
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise WeightsError(
                f"{path} carries code ({found[1]}) and was not loaded; get the file from its authors"
            ) from error
        raise WeightsError(f"cannot read {path}: it is no checkpoint, or broken") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError, TypeError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"cannot read {path}: it is truncated or no checkpoint ({reason})") from error


def can_be_read(path: Path) -> None:
    """Say what the system says; readers of formats hide it.

    Raises:
        WeightsError: missing, a folder, no permission.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
