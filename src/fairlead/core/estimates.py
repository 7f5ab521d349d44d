"""A published number is an estimate with an interval, never a bare figure."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer


def _nan_for_none(value: Any) -> Any:
    return math.nan if value is None else value


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


Bound = Annotated[
    float,
    BeforeValidator(_nan_for_none),
    PlainSerializer(_finite_or_none, return_type=float | None, when_used="json"),
]
"""A number that may be undefined: nan and infinities are null in JSON, and null is read as nan."""


class Estimate(BaseModel):
    """A value with its confidence interval, of 95 % unless it says otherwise, and how it came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Bound
    low: Bound
    """Lower bound of the interval."""
    high: Bound
    """Upper bound of the interval."""
    n: int
    """Independent units behind the value: prompts or pairs, not tokens."""
    method: str
    """How the interval was made, in words."""
    seed: int | None = None
    """Seed of the resampling or of the run; None where nothing is random."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Confidence of the interval. Gates use 0.9: its upper end is a one-sided bound of 95 %."""

    def named(self, name: str) -> "NamedEstimate":
        """The same under a name."""
        return NamedEstimate(name=name, **self.model_dump())

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


class NamedEstimate(Estimate):
    """An estimate as a report lists it."""

    name: str
