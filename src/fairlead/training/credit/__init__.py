"""Credit assignment: how the score of a reply becomes the advantage of its tokens."""

from typing import Annotated

from pydantic import Discriminator

from fairlead.training.credit.base import Credit, CreditRule, Sampled
from fairlead.training.credit.boundaries import AtTokens, NGram, Perplexity, RandomNGram
from fairlead.training.credit.critics import GAE, ConstrainedGAE, MacroGAE
from fairlead.training.credit.groups import (
    AsScored,
    Group,
    LeaveOneOut,
    NashMD,
    ReinforcePP,
    ReinforcePPBaseline,
)

AnyCredit = Annotated[
    GAE
    | MacroGAE
    | ConstrainedGAE
    | LeaveOneOut
    | Group
    | ReinforcePP
    | ReinforcePPBaseline
    | NashMD
    | AsScored,
    Discriminator("kind"),
]

__all__ = [
    "GAE",
    "AnyCredit",
    "AsScored",
    "AtTokens",
    "ConstrainedGAE",
    "Credit",
    "CreditRule",
    "Group",
    "LeaveOneOut",
    "MacroGAE",
    "NGram",
    "NashMD",
    "Perplexity",
    "RandomNGram",
    "ReinforcePP",
    "ReinforcePPBaseline",
    "Sampled",
]
