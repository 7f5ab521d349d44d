"""A published number is an estimate with an interval, never a bare figure."""

from pydantic import BaseModel, ConfigDict


class Estimate(BaseModel):
    """A value with its 95 % confidence interval and how it was obtained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    """Lower bound of the 95 % interval."""
    high: float
    """Upper bound of the 95 % interval."""
    n: int
    """Independent units behind the value: prompts or pairs, not tokens."""
    method: str
    """How the interval was made, in words."""
    seed: int | None = None
    """Seed of the resampling or of the run; None where nothing is random."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.n})"


class NamedEstimate(Estimate):
    """An estimate as a report lists it."""

    name: str
