"""How detections of two detectors become those of one."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings.base import Settings

_LIMITS = {"iou": "above 0, at most 1", "least": "from 0 to 1", "prior": "above 0 and below 1, or uniform"}


class Late(Settings):
    """Late fusion by probabilistic ensembling; Chen et al., ECCV 2022, arXiv:2104.02904."""

    iou: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Overlap from which two detections of a class are one object."""
    least: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Score from which a detector has found something. Below it, it has said nothing: such a detection is kept as it
    is, and counts neither for nor against one of the other detector. (A DETR returns its hundreds of boxes always.)"""
    prior: Annotated[float, Field(gt=0, lt=1)] | None = 0.3
    """How likely an object of a class is where nobody has looked yet: a score that says nothing new. As long as it is
    that of `least`, to agree always makes surer. None (`uniform`): as likely as any other answer, which is 1 / 2 for a
    sigmoid head, so that two scores below that make each other less sure."""


def late_settings(words: Sequence[str]) -> Late:
    """From `iou=0.6`, `least=0.2`, `prior=0.05` or `prior=uniform`.

    Raises:
        ConfigError: no such setting, or a value out of range.
    """
    values: dict[str, Any] = {}
    for text in words:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or key not in Late.model_fields:
            raise ConfigError(f"--late {text}: it is iou=X, least=X, prior=X or prior=uniform")
        values[key] = None if (key, value) == ("prior", "uniform") else value
    try:
        return Late.model_validate(values)
    except ValidationError as error:
        key = str(error.errors(include_url=False)[0]["loc"][0])
        raise ConfigError(f"--late {key}={values[key]}: it is a number {_LIMITS[key]}") from error
