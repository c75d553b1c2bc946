"""What every setting has in common."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Spectrum = Literal["rgb", "ir"]


class Settings(BaseModel):
    """Immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
