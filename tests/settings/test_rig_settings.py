"""A rig is refused where no two cameras can have it."""

import math

import pytest
from pydantic import ValidationError

from caffdet_cli.settings.rig import Rig

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def rig(homography=IDENTITY, **changes: object) -> Rig:
    facts = {"moved": "rgb", "homography": homography, "moved_size": (640, 512), "fixed_size": (640, 512)}
    return Rig.model_validate({**facts, **changes})


def test_a_homography_is_the_same_times_any_number():
    assert rig(((-2.0, 0.0, 0.0), (0.0, -2.0, 0.0), (0.0, 0.0, -2.0))).homography == IDENTITY


@pytest.mark.parametrize(
    ("homography", "reason"),
    [
        (((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)), "cannot be turned round"),
        (((1.0, 2.0, 0.0), (2.0, 4.0, 0.0), (0.0, 0.0, 1.0)), "cannot be turned round"),
        (((1e200, 0.0, 0.0), (0.0, 1e200, 0.0), (0.0, 0.0, 1.0)), "cannot be turned round"),
        (((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)), "last number is 0"),
        (((-1.0, 0.0, 640.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), "mirrors"),
        (((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1 / 320, 0.0, 1.0)), "horizon"),
        (((0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 1.0)), "absurdly small"),
        (((100.0, 0.0, 0.0), (0.0, 100.0, 0.0), (0.0, 0.0, 1.0)), "absurdly small or large"),
    ],
)
def test_what_folds_mirrors_or_crushes_a_picture_is_refused(homography, reason):
    with pytest.raises(ValidationError, match=reason):
        rig(homography)


@pytest.mark.parametrize(
    "changes",
    [
        {"moved": "both"},
        {"moved_size": (0, 512)},
        {"fixed_size": (640, -1)},
        {"residual": math.nan},
        {"residual": -1.0},
        {"homography": ((math.inf, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
        {"homography": ((math.nan, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
        {"homographie": IDENTITY},
    ],
)
def test_numbers_that_are_none_and_misspelt_keys_are_refused(changes):
    with pytest.raises(ValidationError):
        rig(**changes)
