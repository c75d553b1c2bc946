"""Permission faults that are real even where the tests run as root."""

import ctypes
import os


def without_privileges() -> None:
    """Before exec: file modes count for root too (without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH)."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        drop_from_bounding_set = 24
        for capability in (1, 2):
            if libc.prctl(drop_from_bounding_set, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")
