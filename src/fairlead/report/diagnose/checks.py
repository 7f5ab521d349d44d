"""The shape of a check: what is read, what is normal, and what to do where it is not."""

from dataclasses import dataclass
from enum import StrEnum

from fairlead.report.diagnose.evidence import Part, Reading


class Area(StrEnum):
    """What can be at fault, in the order in which one spoils the next."""

    DATA = "data"
    SFT = "sft"
    REWARD_MODEL = "reward_model"
    RL = "rl"
    """The stage that optimises the policy, on rollouts or on comparisons."""


@dataclass(frozen=True)
class Check:
    """One thing to look at in the stages that do a part of the work."""

    what: str
    part: Part
    """The stages it is read from."""
    area: Area
    """What is at fault where it is bad."""
    read: Reading
    normal: tuple[float, float]
    odd: tuple[float, float]
    """Beyond this it is bad; between the two ranges it is odd."""
    remedy: str
    reason: str
    """Why it matters, or who found so."""
    where: str = ""
    """Only for stages that log a metric which begins so."""
    optional: bool = False
    """Left out, instead of "not measured", where most runs cannot have it."""
    fewest: int = 0
    """Fewer independent units than this are never bad, only odd."""
    decisive: bool = False
    """One of the checks without which a stage is not cleared."""
