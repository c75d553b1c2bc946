"""Errors a person can fix. Anything else is a bug and keeps its traceback.

CaffdetError (exit code 2: the request or the input is wrong)
├── ConfigError      a setting is unknown, missing or out of range
├── DatasetError     files, annotations or pairs do not fit together
├── WeightsError     a checkpoint cannot be found, read or does not fit
├── OutputError      a result exists already, or its place cannot be written
└── RunError         the request was right and failed (exit code 1)
    ├── Diverged     the loss is not finite
    ├── DiskFull     there is no room for a result
    └── Findings     a --strict check found something
Stopped (exit code 143: SIGTERM came, the step was finished and saved)
"""


class CaffdetError(Exception):
    """One sentence that says what is wrong, where, and what to do."""

    exit_code = 2


class ConfigError(CaffdetError):
    """A setting is unknown, missing or out of range."""


class DatasetError(CaffdetError):
    """Files, annotations or pairs do not fit together."""


class WeightsError(CaffdetError):
    """A checkpoint cannot be found, read, or does not fit the model."""


class OutputError(CaffdetError):
    """A result exists already, or its place cannot be written."""


class RunError(CaffdetError):
    """The request was right and failed."""

    exit_code = 1


class Diverged(RunError):
    """The loss is not finite."""


class DiskFull(RunError):
    """There is no room for a result."""


class Findings(RunError):
    """A strict check found something."""


class Stopped(CaffdetError):
    """SIGTERM came; the step was finished and saved."""

    exit_code = 143
